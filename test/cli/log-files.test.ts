import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RunningCli, runCli } from '../support/cli.ts'

let folder: string
const log = (...args: string[]) => runCli(['log', ...args], { cwd: folder })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kts-files-'))
  await writeFile(join(folder, 'in.txt'), 'one\ntwo\nthree\n')
  await writeFile(join(folder, 'stop.yaml'), pipeline('stop'))
  await writeFile(join(folder, 'follow.yaml'), pipeline('follow'))
  expect(await runCli(['start', 'stop.yaml'], { cwd: folder })).toMatchObject({ code: 0 })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const pipeline = (atEnd: string) => `name: p
worker: { rest.port: 0 }
sources:
  lines: { type: file, paths: [in.txt], topic: lines, at.end: ${atEnd}, compression.type: lz4 }
`

async function segment(): Promise<string> {
  const names = await readdir(join(folder, '.kts-connect/lines-0'))
  return join(folder, '.kts-connect/lines-0', names.find(name => name.endsWith('.log'))!)
}

describe('log', () => {
  it('dump prints batches in the codec that the source asked for, and records as JSON', async () => {
    const text = await log('dump', '.kts-connect/lines-0', '--deep')
    expect(text).toMatchObject({ code: 0, stderr: '' })
    expect(text.stdout).toMatch(/^baseOffset: 0 lastOffset: 2 count: 3 .* compresscodec: lz4 crc: \d+ isvalid: true$/m)
    const { stdout } = await log('dump', '.kts-connect/lines-0', '--deep', '--json')
    const records = stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as { kind: string; value?: string })
    expect(records.flatMap(record => (record.kind === 'record' && record.value?.length ? [record.value] : []))).toEqual(
      expect.arrayContaining(['one', 'two', 'three']),
    )
  })

  it('what is no log is said to be none, with exit code 1; a file with 2', async () => {
    expect(await log('verify', '.')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/expected a data directory/),
    })
    expect(await log('verify', 'in.txt')).toMatchObject({ code: 2, stderr: expect.stringMatching(/name its folder/) })
  })

  it('a worker at work is told of by verify, and stops a repair', async () => {
    const worker = new RunningCli(['start', 'follow.yaml'], { cwd: folder })
    try {
      await worker.said(/"url":"http:/)
      expect((await log('verify', '.kts-connect')).stderr).toMatch(/is in use by process \d+/)
      expect(await log('repair', '.kts-connect', '--yes')).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/in use/),
      })
    } finally {
      worker.signal('SIGTERM')
      await worker.ended
    }
  })

  it('verify ends with 1 for damage; repair tells, then does, and verify ends with 0', async () => {
    const path = await segment()
    const bytes = await readFile(path)
    bytes[80]! ^= 4
    await writeFile(path, bytes)
    const found = await log('verify', '.kts-connect', '--json')
    expect(found.code).toBe(1)
    expect(JSON.parse(found.stdout)).toMatchObject({ problems: [{ position: 0, firstOffset: 0, lastOffset: 2 }] })
    const plan = await log('repair', '.kts-connect')
    expect(plan).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/lost: offsets 0 to 2\n.*Nothing has been changed/s),
    })
    expect(await readFile(path)).toEqual(bytes)
    expect(await log('repair', '.kts-connect', '--yes')).toMatchObject({ code: 0, stderr: '' })
    expect(await log('verify', '.kts-connect')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/nothing is wrong\n$/),
    })
    expect(await log('repair', '.kts-connect', '--yes')).toMatchObject({
      code: 0,
      stdout: 'There is nothing to repair.\n',
    })
  })
})
