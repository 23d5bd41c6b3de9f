import { readFile } from 'node:fs/promises'
import { beforeEach, describe, expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { type JsonValue, ManualClock, parseJson, SeededRandom, silentLogger } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { Checkpoints, checkpointRecords } from '../../broker/checkpoints.ts'
import { FileCache } from '../../broker/file-cache.ts'
import { KeyedState } from '../../broker/keyed-state.ts'
import { Partition } from '../../broker/partition.ts'
import { ReadAhead } from '../../broker/read-ahead.ts'
import { parseTopicConfigs } from '../../broker/topic-configs.ts'
import { rejection } from '../support/broker-drivers.ts'
import { sharedData } from '../support/shared-data.ts'

const TOPIC_ID = 'A'.repeat(22)

describe('keyed state', () => {
  let disk: MemoryFiles
  let files: FaultyFiles
  const clock = new ManualClock()
  beforeEach(async () => {
    disk = new MemoryFiles(new SeededRandom(5), { clock })
    await disk.mkdir('/data/meta')
    files = new FaultyFiles(disk)
  })

  /** Opens the partition anew, as a process does that found no clean marker. */
  async function open(options: { snapshotEvery?: number; rewriteAbove?: number } = {}) {
    const { settings } = parseTopicConfigs({ 'segment.bytes': '2000', 'cleanup.policy': 'compact' })
    const log = await Partition.open({
      directory: '/data/s-0',
      topic: 's',
      partition: 0,
      topicId: TOPIC_ID,
      settings,
      files,
      clock,
      log: silentLogger,
      cache: new FileCache(files, 16),
      readAhead: new ReadAhead(4),
      recoveryPoint: 0,
      clean: false,
      checkCrcs: true,
    })
    const view = new Checkpoints()
    const parts = {
      topic: 's',
      topicId: TOPIC_ID,
      log,
      view,
      files,
      snapshotPath: '/data/meta/s.json',
      logger: silentLogger,
    }
    return { log, view, state: await KeyedState.open({ ...parts, ...options }) }
  }

  const entry = (file: number, at: number) =>
    checkpointRecords([{ connector: 'c', partition: { file }, value: { at } }])

  test('stays small however often its entries change, and loses none', async () => {
    const options = { rewriteAbove: 10_000 }
    const { log, state } = await open(options)
    await state.put(entry(0, -1))
    for (let at = 0; at < 600; at++) await state.put(entry(1 + (at % 3), at))
    await state.settled()
    expect(log.nextOffset).toBeGreaterThan(600)
    expect(log.sizeBytes).toBeLessThan(15_000)
    expect(log.logStartOffset).toBeGreaterThan(0)
    const expected = [-1, 597, 598, 599]
    const values = (view: Checkpoints) =>
      view
        .of('c')
        .map(c => c.value?.at)
        .sort((a, b) => Number(a) - Number(b))
    expect(values((await open(options)).view)).toEqual(expected)
    await disk.unlink('/data/meta/s.json')
    expect(values((await open(options)).view)).toEqual(expected)
  })

  test('answers many writers in the order in which they came, with few syncs', async () => {
    const { view, state } = await open()
    const before = files.count('datasync')
    await Promise.all(Array.from({ length: 100 }, (_, at) => state.put(entry(1, at))))
    expect(view.of('c').map(c => c.value)).toEqual([{ at: 99 }])
    expect(files.count('datasync') - before).toBeLessThan(10)
    expect((await open()).view.of('c').map(c => c.value)).toEqual([{ at: 99 }])
  })

  test('a write that failed is not in the map', async () => {
    const { view, state } = await open()
    await state.put(entry(1, 1))
    files.fail({ call: 'datasync', error: 'EIO', path: path => path.endsWith('.log') })
    expect(await rejection(state.put(entry(1, 2)))).toMatchObject({ code: 'STORAGE_FAILED' })
    expect(view.of('c').map(c => c.value)).toEqual([{ at: 1 }])
  })

  test('a snapshot that cannot be written costs nothing but time', async () => {
    const { view, state } = await open({ snapshotEvery: 1 })
    files.fail({
      call: 'open',
      error: 'ENOSPC',
      path: path => path.includes('s.json'),
      times: Number.POSITIVE_INFINITY,
    })
    for (let at = 0; at < 5; at++) await state.put(entry(1, at))
    await state.snapshot()
    expect(view.of('c').map(c => c.value)).toEqual([{ at: 4 }])
    files.clear()
    expect((await open()).view.of('c').map(c => c.value)).toEqual([{ at: 4 }])
  })
})

const golden = sharedData('connect-golden/internal-topics/connect-offsets.jsonl')
test.skipIf(golden === undefined)('the connect-offsets of a real Connect are read', async () => {
  const view = new Checkpoints()
  const newest = new Map<string, JsonValue>()
  const lines = (await readFile(golden!, 'utf8')).trim().split('\n')
  expect(lines.length).toBeGreaterThan(3)
  for (const line of lines) {
    const { key, value } = parseJson(line) as { key: string; value: string | null }
    view.apply(Buffer.from(key), value === null ? null : Buffer.from(value))
    const id = view.identify(Buffer.from(key))
    if (value === null) newest.delete(id)
    else newest.set(id, parseJson(value))
  }
  const names = new Set(lines.map(line => JSON.parse(JSON.parse(line).key)[0] as string))
  const read = [...names].flatMap(name => view.of(name))
  expect(read.map(c => c.value)).toHaveLength(newest.size)
  for (const c of read) {
    const [record] = checkpointRecords([c])
    expect(c.value).toEqual(newest.get(view.identify(record!.key)))
  }
})

test('a checkpoint key that is not one is refused', () => {
  for (const key of ['"c"', '["c"]', '[1,{}]', '["c",[]]', '["c",null]', '["c",{},1]'])
    expect(() => new Checkpoints().identify(Buffer.from(key)), key).toThrow(/expected a key \["connector",\{\.\.\.\}\]/)
})
