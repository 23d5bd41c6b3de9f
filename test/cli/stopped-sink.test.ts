import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { RunningCli } from '../support/cli.ts'

let folder: string
let worker: RunningCli | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kts-stopped-sink-'))
})
afterEach(async () => {
  await worker?.kill()
  worker = undefined
  await rm(folder, { recursive: true, force: true })
})

/** Both topics forget after a second; only `kept` has a sink. */
const PIPELINE = `name: p
worker: { rest.port: 0 }
broker: { log.retention.check.interval.ms: 10ms }
x-short: &short { retention.ms: 1s, segment.bytes: 10KiB, segment.ms: 1s }
topics: { kept: *short, unread: *short }
sources:
  a: { type: file, paths: [in.txt], topic: kept }
  b: { type: file, paths: [in.txt], topic: unread }
sinks:
  copy: { type: file, topics: [kept], file: ./out/copy.txt }
`

let written: string

/** Writes lines until the worker has said that it deleted segments of the topic that nobody reads. */
async function writeUntilForgotten(running: RunningCli): Promise<void> {
  let forgotten = false
  const said = running.said(/"partition":"unread-0","logStartOffset":[1-9]/).then(() => {
    forgotten = true
  })
  for (let i = 0; !forgotten; i++) {
    const text = Array.from({ length: 20 }, (_, n) => `${i} ${n} ${'x'.repeat(90)}\n`).join('')
    await appendFile(join(folder, 'in.txt'), text)
    written += text
    await Promise.race([said, new Promise(resolve => setTimeout(resolve, 20))])
  }
}

async function stop(): Promise<void> {
  worker?.signal('SIGTERM')
  expect((await worker?.ended)?.code).toBe(0)
}

async function delivered(): Promise<void> {
  for (;;) {
    const text = await readFile(join(folder, 'out/copy.txt'), 'utf8').catch(() => '')
    if (text.length >= written.length) return expect(text === written).toBe(true)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

it('a sink stopped for longer than the retention gets every record, once, from whatever folder it is started', async () => {
  await writeFile(join(folder, 'p.yaml'), PIPELINE)
  written = ''
  // A file where the sink wants a folder: the sink cannot run.
  await writeFile(join(folder, 'out'), '')
  worker = new RunningCli(['start', 'p.yaml'], { cwd: folder })
  await worker.said(/"connector":"copy".*the task failed/)
  await writeUntilForgotten(worker)
  await stop()
  expect(worker.stdout).not.toContain('"partition":"kept-0"')

  await rm(join(folder, 'out'))
  worker = new RunningCli(['start', join(folder, 'p.yaml')], { cwd: tmpdir() })
  await delivered()
  await stop()

  await appendFile(join(folder, 'in.txt'), 'one more\n')
  written += 'one more\n'
  worker = new RunningCli(['start', 'p.yaml'], { cwd: folder })
  await delivered()
  await stop()
  expect((await readFile(join(folder, 'out/copy.txt'), 'utf8')) === written).toBe(true)
})
