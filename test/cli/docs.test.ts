import { execFile } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { CLI } from '../support/cli.ts'

const run = promisify(execFile)

let folder: string
let env: NodeJS.ProcessEnv

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kts-docs-'))
  const bin = await mkdtemp(join(tmpdir(), 'kts-bin-'))
  await writeFile(join(bin, 'kts-connect'), `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`)
  await chmod(join(bin, 'kts-connect'), 0o755)
  env = { ...process.env, PATH: [bin, process.env.PATH].join(delimiter) }
})
afterAll(() => rm(folder, { recursive: true, force: true }))

it('every shell block of docs/cli.md does what it says', async () => {
  const text = await readFile(new URL('../../docs/cli.md', import.meta.url), 'utf8')
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(match => match[1]!)
  expect(blocks.length).toBeGreaterThan(8)
  for (const block of blocks) {
    // -e: the first command that fails fails the block, and the error shows it.
    const { stdout } = await run('sh', ['-e', '-c', block], { cwd: folder, env })
    const promised = /# (one, two, three|four, five)$/m.exec(block)?.[1]
    if (promised !== undefined) expect(stdout.endsWith(`${promised.replaceAll(', ', '\n')}\n`)).toBe(true)
  }
})
