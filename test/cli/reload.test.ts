import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadPipeline, type Pipeline, startConfig } from '../../cli/compose.ts'
import { Reloading, stateOf } from '../../cli/reload.ts'
import { recordingLogger } from '../support/recording-logger.ts'

let folder: string
let pipeline: Pipeline
let reloading: Reloading
let ended: AbortController
let followed: Promise<void>
let log: ReturnType<typeof recordingLogger>

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kts-reload-'))
  log = recordingLogger()
  await write('a.txt', 'a1\n')
  await write('b.txt', 'b1\n')
  await write('p.yaml', yaml())
  const files = [join(folder, 'p.yaml')]
  const state = await stateOf(files)
  pipeline = await startConfig(await loadPipeline(files))
  ended = new AbortController()
  reloading = new Reloading({ files, pipeline, log, signal: ended.signal, lookMs: 20 })
  followed = reloading.run(state)
})

afterEach(async () => {
  ended.abort()
  await followed
  await pipeline.stop()
  await rm(folder, { recursive: true })
})

const SINK = '  all: { type: file, topics.regex: ".*", file: out.txt }\n'
const A = '  a: { type: file, paths: [a.txt], topic: a }\n'
const B = '  b: { type: file, paths: [b.txt], topic: b }\n'

function yaml(sources = A, sinks = SINK, more = ''): string {
  return `name: p\nworker: { rest.port: 0, offset.flush.interval.ms: 20${more} }\nsources:\n${sources}sinks:\n${sinks}`
}

function write(name: string, text: string): Promise<void> {
  return writeFile(join(folder, name), text)
}

async function delivered(): Promise<string[]> {
  const text = await readFile(join(folder, 'out.txt'), 'utf8').catch(() => '')
  return text.split('\n').filter(Boolean).sort()
}

const told = (message: string | RegExp) => log.lines.filter(line => line.message.match(message) !== null)
const quick = { timeout: 15_000 }

async function task(name: string) {
  return (await pipeline.status()).connectors.find(connector => connector.name === name)
}

test('a new source starts without a restart, and its new topic reaches the sink by pattern', async () => {
  await expect.poll(delivered, quick).toEqual(['a1'])
  await write('p.yaml', yaml(A + B))
  await expect.poll(delivered, quick).toEqual(['a1', 'b1'])
  expect(told('the files were read again')).toMatchObject([{ fields: { added: ['b'], changed: [], removed: [] } }])
  expect(pipeline.config.sources.map(source => source.name)).toEqual(['a', 'b'])
  const connectors = (await (await fetch(`${pipeline.url}/connectors`)).json()) as string[]
  expect(connectors).toEqual(['a', 'b', 'all'])
})

test('only what differs is started anew, from where it was', async () => {
  await write('p.yaml', yaml(A + B))
  await expect.poll(delivered, quick).toEqual(['a1', 'b1'])
  const counted = (await task('a'))?.counters.recordsRead
  await write('b2.txt', 'b2\n')
  await write('p.yaml', yaml(A + B.replace('[b.txt]', '[b.txt, b2.txt]')))
  await expect.poll(delivered, quick).toEqual(['a1', 'b1', 'b2'])
  expect(told('the files were read again').at(-1)).toMatchObject({ fields: { added: [], changed: ['b'], removed: [] } })
  // Its counters are those of the run before; the other's begin again, and its file is not read twice.
  expect((await task('a'))?.counters.recordsRead).toBe(counted)
  expect((await task('b'))?.counters.recordsRead).toBe(1)
})

test('a sink is started anew where a source writes its topic otherwise', async () => {
  await expect.poll(delivered, quick).toEqual(['a1'])
  await write('p.yaml', yaml(A.replace('topic: a', 'topic: a, value.converter: json')))
  await expect.poll(() => told('the files were read again').length, quick).toBe(1)
  await write('a.txt', 'a1\na2\n')
  expect(told('the files were read again')).toMatchObject([{ fields: { changed: ['a', 'all'] } }])
  await expect.poll(delivered, quick).toEqual(['"a2"', 'a1'])
})

test('a source that no file names any more stops, keeps its position, and goes on where it was when it is back', async () => {
  await write('p.yaml', yaml(A + B))
  await expect.poll(delivered, quick).toEqual(['a1', 'b1'])
  await write('p.yaml', yaml())
  await expect.poll(() => told(/^stopped: .*positions are kept/).length, quick).toBe(1)
  await expect.poll(async () => task('b'), quick).toBeUndefined()
  await write('b.txt', 'b1\nb2\n')
  await write('p.yaml', yaml(A + B))
  await expect.poll(delivered, quick).toEqual(['a1', 'b1', 'b2'])
})

test('files that are not valid are told with every problem, and nothing changes until they are mended', async () => {
  await expect.poll(delivered, quick).toEqual(['a1'])
  await write('p.yaml', yaml('  a: { type: file, paths: [a.txt], topc: a }\n'))
  await expect.poll(() => told('the files were not followed').length, quick).toBe(1)
  expect(told(/p\.yaml:4:\d+ sources\.a\.topc: expected .*did you mean topic/)).toHaveLength(1)
  await write('a.txt', 'a1\na2\n')
  await expect.poll(delivered, quick).toEqual(['a1', 'a2'])
  expect((await task('a'))?.state).toBe('RUNNING')
  await write('p.yaml', yaml(A + B))
  await expect.poll(delivered, quick).toEqual(['a1', 'a2', 'b1'])
})

test('a change that would delete records is refused as a whole', async () => {
  const kept = (days: number) => `${yaml(A + B)}topics: { a: { retention.ms: ${days}d } }\n`
  await write('p.yaml', kept(7))
  await expect.poll(() => told('the files were read again').length, quick).toBe(1)
  await write('p.yaml', kept(1).replace(B, ''))
  await expect.poll(() => told('the files were not followed').length, quick).toBe(1)
  expect(told(/retention\.ms/)).toHaveLength(1)
  expect((await task('b'))?.state).toBe('RUNNING')
})

test('settings of the process are told to wait for its next start', async () => {
  await write('p.yaml', yaml(A + B, SINK, ', task.restart.backoff.ms: 7'))
  await expect.poll(delivered, quick).toEqual(['a1', 'b1'])
  expect(told('taken at its next start')).toMatchObject([{ fields: { settings: ['worker.task.restart.backoff.ms'] } }])
  expect(pipeline.config.worker['task.restart.backoff.ms']).toBe(1000)
})

test('asked to, it reads files that have not changed: what they refer to may have', async () => {
  reloading.ask()
  await expect.poll(() => told('the files were read again').length, quick).toBe(1)
  expect(told('the files were read again')).toMatchObject([{ fields: { added: [], changed: [], removed: [] } }])
})

test('a worker whose sources have all ended ends, also after a change', async () => {
  const ending = (source: string) => source.replace('topic:', 'at.end: stop, topic:')
  await write('p.yaml', yaml(A + ending(B)))
  await expect.poll(async () => (await task('b'))?.state, quick).toBe('FINISHED')
  await write('p.yaml', yaml(ending(A) + ending(B)))
  await pipeline.finished
  expect(await delivered()).toEqual(['a1', 'b1'])
})
