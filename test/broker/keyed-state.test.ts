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
  async function open(options: { snapshotEvery?: number; beforeSnapshot?: () => Promise<void> } = {}) {
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
      readAhead: new ReadAhead(8 << 20),
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
      lossMeans: 'positions are lost',
      logger: silentLogger,
    }
    return { log, view, state: await KeyedState.open({ ...parts, ...options }) }
  }

  const removal = (file: number) => checkpointRecords([{ connector: 'c', partition: { file }, value: null }])
  const entry = (file: number, at: number) =>
    checkpointRecords([{ connector: 'c', partition: { file }, value: { at } }])

  const values = (view: Checkpoints) =>
    view
      .of('c')
      .map(c => [c.partition.file, c.value?.at])
      .sort()

  test('takes records of a transaction when it is committed, and never those of an aborted one', async () => {
    const { log, view, state } = await open()
    const [a, b] = [
      { id: 1, epoch: 0 },
      { id: 2, epoch: 0 },
    ]
    const first = await state.append(entry(1, 1), a)
    await state.append(entry(2, 2), b)
    await log.sync()
    expect(values(view)).toEqual([])
    await Promise.all([log.endTransaction({ id: 1, epoch: 1 }, 'commit'), state.apply(first)])
    await log.endTransaction({ id: 2, epoch: 1 }, 'abort')
    expect(values(view)).toEqual([[1, 1]])
    await log.sync()
    expect(values((await open()).view)).toEqual([[1, 1]])
  })

  test.each([1, 2])(
    'of one key, what stands later in the log holds, whichever is committed first (%i)',
    async first => {
      const { log, view, state } = await open({ snapshotEvery: 1 })
      await state.put([...entry(1, 0), ...entry(2, 0)])
      const producers = [
        { id: 1, epoch: 0 },
        { id: 2, epoch: 0 },
      ]
      const written = [
        await state.append([...entry(1, 1), ...entry(2, 1)], producers[0]!),
        await state.append([...entry(1, 2), ...removal(2)], producers[1]!),
      ]
      await log.sync()
      for (const i of first === 1 ? [0, 1] : [1, 0]) {
        void log.endTransaction({ id: producers[i]!.id, epoch: 1 }, 'commit')
        state.apply(written[i]!)
        await state.settled()
        // A snapshot was written while the other one may still be open.
        expect(state.snapshotOffset).toBeLessThanOrEqual(log.lastStableOffset)
      }
      expect(values(view)).toEqual([[1, 2]])
      await log.sync()
      expect(values((await open()).view)).toEqual([[1, 2]])
      await disk.unlink('/data/meta/s.json')
      expect(values((await open()).view)).toEqual([[1, 2]])
    },
  )

  test('does not say that recovery points are kept before they are', async () => {
    const order: string[] = []
    const beforeSnapshot = async () => {
      order.push(
        await disk.stat('/data/meta/s.json').then(
          () => 'late',
          () => 'before',
        ),
      )
    }
    const { state } = await open({ beforeSnapshot })
    await state.put(entry(1, 1))
    await state.snapshot()
    expect(order).toEqual(['before'])
    expect(state.snapshotOffset).toBe(1)
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
