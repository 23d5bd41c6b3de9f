import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { RunningCli, runCli } from '../support/cli.ts'

// One in a whole option, one inside a longer string, one from a file, one written out: Connect once leaked the second kind.
const CANARY = {
  env: 'canary-env-1f7a',
  inside: 'canary-inside-2c9b',
  file: 'canary-file-3d8e',
  plain: 'canary-plain-4b6f',
}

let folder: string
let worker: RunningCli
let url: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kts-secrets-'))
  // An S3 server that refuses everything and says so with what it was sent.
  const s3 = createServer((request, answer) => {
    answer.writeHead(403, { 'content-type': 'application/xml' })
    answer.end(`<Error><Code>AccessDenied</Code><Message>no: ${request.headers.authorization}</Message></Error>`)
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => s3.once('listening', resolve))
  const { port } = s3.address() as AddressInfo
  const sink = (secret: string) => `
    type: s3
    topics: [lines]
    s3.bucket.name: b
    store.url: http://127.0.0.1:${port}
    rotate.idle.ms: 50ms
    aws.access.key.id: id
    aws.secret.access.key: ${secret}`
  await writeFile(join(folder, 'secrets.properties'), `key=${CANARY.file}\n`)
  await writeFile(join(folder, 'in.txt'), 'a line\n')
  await writeFile(
    join(folder, 'p.yaml'),
    `name: p
worker: { rest.port: 0 }
sources:
  lines: { type: file, paths: [in.txt], topic: lines }
sinks:
  one: ${sink(`\${env:SECRET}`)}
  two: ${sink(`prefix-\${env:INSIDE}-suffix`)}
  three: ${sink(`\${file:${folder}/secrets.properties:key}`)}
  four: ${sink(CANARY.plain)}
`,
  )
  worker = new RunningCli(['start', 'p.yaml', '--log-level', 'debug', '--verbose'], { cwd: folder, env: env() })
  url = (await worker.said(/"url":"(http:[^"]+)"/))[1]!
  for (const name of ['one', 'two', 'three', 'four'])
    await worker.said(
      new RegExp(
        `"connector":"${name}".*ACCESS_DENIED|ACCESS_DENIED.*"connector":"${name}"|"level":"error".*"connector":"${name}"`,
      ),
    )
  return () => s3.close()
})
afterAll(async () => {
  await worker?.kill()
  await rm(folder, { recursive: true, force: true })
})

function env() {
  return { SECRET: CANARY.env, INSIDE: CANARY.inside }
}

function canariesIn(text: string): readonly string[] {
  return Object.values(CANARY).filter(canary => text.includes(canary))
}

it('no endpoint shows one', async () => {
  const paths = [
    '/',
    '/health',
    '/connectors',
    '/connectors?expand=info&expand=status',
    '/kts/status',
    '/kts/topics',
    '/nope',
  ]
  for (const name of ['lines', 'one', 'two', 'three', 'four', 'nope']) {
    for (const part of ['', '/config', '/status', '/tasks', '/tasks/0/status', '/topics'])
      paths.push(`/connectors/${name}${part}`)
  }
  const bodies = await Promise.all(paths.map(async path => (await fetch(url + path)).text()))
  expect(canariesIn(bodies.join('\n'))).toEqual([])
  // The options are there all the same, so that this looks in the right place.
  expect(bodies.join('\n')).toContain('aws.secret.access.key')
})

it('no command and no log line shows one, however it fails', async () => {
  const outputs = await Promise.all([
    runCli(['status', '--json'], { cwd: folder }),
    runCli(['validate', 'p.yaml', '--connect', '--verbose'], { cwd: folder, env: env() }),
    runCli(['start', 'p.yaml', '--verbose'], { cwd: folder, env: env() }),
    runCli(['consume', '__consumer_offsets', '--from-beginning', '--timeout-ms', '10'], { cwd: folder }),
  ])
  const text = outputs.map(({ stdout, stderr }) => stdout + stderr).join('\n')
  expect(outputs[1]).toMatchObject({ code: 1 })
  expect(canariesIn(text)).toEqual([])
  expect(canariesIn(worker.stdout + worker.stderr)).toEqual([])
})

it('a mistake in a secret option does not print its value', async () => {
  const bad = `name: p\nsources: {}\nsinks:\n  s: { type: s3, topics: [t], aws.secret.access.key: [${CANARY.plain}], aws.secret.acces.key: ${CANARY.plain} }\n`
  await writeFile(join(folder, 'bad.yaml'), bad)
  const { code, stdout, stderr } = await runCli(['validate', 'bad.yaml', '--verbose'], { cwd: folder })
  expect(code).toBe(2)
  expect(canariesIn(stdout + stderr)).toEqual([])
})
