import { describe, expect, test } from 'vitest'
import { FaultyFiles } from '../../../base/faulty-files.ts'
import { MemoryFiles } from '../../../base/memory-files.ts'
import { S3_OPTIONS, type S3Options } from '../../../connectors/s3/options.ts'
import { s3Sink } from '../../../connectors/s3/sink.ts'
import {
  type Files,
  loadCodec,
  ManualClock,
  randomInt,
  SeededRandom,
  type SinkBatch,
  type SinkTask,
} from '../../../runtime/api/index.ts'
import { packedBatch, recordsBatch } from '../../support/sink-batches.ts'
import { type TestContext, testContext } from '../../support/task-context.ts'

const SEED = Number(process.env.KTS_TEST_SEED ?? Date.now() % 1_000_000)
console.log(`seed ${SEED} (KTS_TEST_SEED)`)

const HOUR = 3_600_000
const T0 = Date.UTC(2026, 10, 20, 13, 0, 0)

function optionsOf(given: { [K in keyof S3Options]?: S3Options[K] | undefined }): S3Options {
  const defaults = Object.fromEntries(
    Object.entries(S3_OPTIONS).map(([name, spec]) => [name, spec.default ?? undefined]),
  )
  const quiet = { 'store.url': '/exports', 's3.compression.type': 'none', 'format.class': 'text' }
  return { ...defaults, ...quiet, ...given } as S3Options
}

interface Run {
  readonly task: SinkTask
  readonly context: TestContext
  readonly clock: ManualClock
  /** Committed offset of t-0 after a preCommit. */
  commit(): Promise<number | undefined>
}

async function start(files: Files, given: Partial<S3Options> = {}, offset = 0): Promise<Run> {
  const clock = new ManualClock()
  const context = testContext({ files, clock })
  const task = await s3Sink.open(optionsOf(given), context)
  await task.open([{ topic: 't', partition: 0, offset, state: null }])
  const commit = async () => (await task.preCommit()).find(p => p.topic === 't' && p.partition === 0)?.offset
  return { task, context, clock, commit }
}

async function objectsIn(files: Files, folder = '/exports'): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>()
  for (const name of await files.list(folder).catch(() => [] as readonly string[])) {
    const path = `${folder}/${name}`
    if (name === '.unfinished') continue
    const { kind, size } = await files.stat(path)
    if (kind === 'directory') {
      for (const [key, bytes] of await objectsIn(files, path)) found.set(key, bytes)
      continue
    }
    const bytes = Buffer.alloc(size)
    const file = await files.open(path, 'read')
    await file.read(bytes, 0, size, 0)
    await file.close()
    found.set(path.slice('/exports/'.length), bytes)
  }
  return found
}

async function textsIn(files: Files): Promise<Record<string, string>> {
  const objects = [...(await objectsIn(files))].sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(objects.map(([key, bytes]) => [key, bytes.toString()]))
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `line ${from + i}`)
const disk = () => new MemoryFiles(new SeededRandom(SEED))

describe('where records go', () => {
  test('the default partitioner gives Confluent’s layout, rotation by record count exact', async () => {
    const files = disk()
    const { task, commit } = await start(files, { 'flush.size': 2 })
    await task.put([packedBatch(['a', 'b', 'c', 'd', 'e'], { offset: 7 })])
    expect(await commit()).toBe(11)
    expect(await textsIn(files)).toEqual({
      'topics/t/partition=0/t+0+0000000007.txt': 'a\nb\n',
      'topics/t/partition=0/t+0+0000000009.txt': 'c\nd\n',
    })
    await task.drain()
    expect(await commit()).toBe(12)
    expect((await textsIn(files))['topics/t/partition=0/t+0+0000000011.txt']).toBe('e\n')
  })

  test('hourly and daily folders follow the time of the record in UTC, late ones join their hour', async () => {
    const times = [T0, T0 + HOUR, T0 + HOUR - 1, T0 + 24 * HOUR]
    const files = disk()
    const { task } = await start(files, { 'partitioner.class': 'hourly' })
    await task.put([packedBatch(['a', 'b', 'late', 'c'], { timestamp: times })])
    await task.drain()
    expect(await textsIn(files)).toEqual({
      'topics/t/year=2026/month=11/day=20/hour=13/t+0+0000000000.txt': 'a\nlate\n',
      'topics/t/year=2026/month=11/day=20/hour=14/t+0+0000000001.txt': 'b\n',
      'topics/t/year=2026/month=11/day=21/hour=13/t+0+0000000003.txt': 'c\n',
    })
    const other = disk()
    const daily = await start(other, { 'partitioner.class': 'daily' })
    await daily.task.put([packedBatch(['a', 'b', 'late', 'c'], { timestamp: times })])
    await daily.task.drain()
    expect(Object.keys(await textsIn(other))).toEqual([
      'topics/t/year=2026/month=11/day=20/t+0+0000000000.txt',
      'topics/t/year=2026/month=11/day=21/t+0+0000000003.txt',
    ])
  })

  test('two topics that a transform routes into one never overwrite each other', async () => {
    const files = disk()
    const { task } = await start(files)
    await task.open([{ topic: 'u', partition: 0, offset: 0, state: null }])
    await task.put([
      recordsBatch(['a'], { topic: 't', routed: 'all' }),
      recordsBatch(['b'], { topic: 'u', routed: 'all' }),
    ])
    await task.drain()
    expect(await textsIn(files)).toEqual({
      'topics/all/partition=0/t+0+0000000000.txt': 'a\n',
      'topics/all/partition=0/u+0+0000000000.txt': 'b\n',
    })
  })

  test('a routed topic that would leave the directory is a bad record', async () => {
    const { task } = await start(disk())
    await expect(task.put([recordsBatch(['a'], { routed: '../../etc' })])).rejects.toMatchObject({
      code: 'RECORD_INVALID',
      rejected: [{ batch: 0, record: 0 }],
    })
  })

  test('a record without a time is rejected by a time partitioner, the others are taken', async () => {
    const files = disk()
    const { task, commit } = await start(files, { 'partitioner.class': 'hourly' })
    const put = task.put([packedBatch(['a', 'none', 'b'], { timestamp: [T0, -1, T0] })])
    await expect(put).rejects.toMatchObject({ rejected: [{ batch: 0, record: 1 }] })
    await task.drain()
    expect(await commit()).toBe(3)
    expect(Object.values(await textsIn(files))).toEqual(['a\nb\n'])
  })

  test('null values fail, are left out and counted, or are written, as asked', async () => {
    const fail = await start(disk())
    await expect(fail.task.put([packedBatch(['a', null])])).rejects.toMatchObject({
      rejected: [{ batch: 0, record: 1 }],
    })
    const files = disk()
    const ignore = await start(files, { 'behavior.on.null.values': 'ignore' })
    await ignore.task.put([packedBatch([null, 'a', null, 'b', null])])
    await ignore.task.drain()
    expect(await ignore.commit()).toBe(5)
    expect(ignore.context.counts['null.values.ignored']).toBe(3)
    expect(await textsIn(files)).toEqual({ 'topics/t/partition=0/t+0+0000000001.txt': 'a\nb\n' })
    const others = disk()
    const write = await start(others, { 'behavior.on.null.values': 'write', 'format.class': 'json' })
    await write.task.put([packedBatch(['a', null])])
    await write.task.drain()
    expect(Object.values(await textsIn(others))).toEqual(['"a"\nnull\n'])
  })
})

describe('when an object ends', () => {
  test('record time: a record so much later begins the next object; idle: silence ends it; the offset follows', async () => {
    const files = disk()
    const { task, commit, clock } = await start(files, { 'rotate.interval.ms': 60_000, 'rotate.idle.ms': 5000 })
    await task.put([packedBatch(['a', 'b', 'c'], { timestamp: [T0, T0 + 59_999, T0 + 60_000] })])
    expect(await commit()).toBe(2)
    await clock.advance(4999)
    expect(await commit()).toBe(2)
    await clock.advance(1)
    expect(await commit()).toBe(3)
    expect(Object.values(await textsIn(files))).toEqual(['a\nb\n', 'c\n'])
  })

  test('a trickle that is never idle is stored after the scheduled interval', async () => {
    const { task, commit, clock } = await start(disk(), { 'rotate.schedule.interval.ms': 10_000 })
    for (let i = 0; i < 4; i++) {
      await task.put([packedBatch([`${i}`], { offset: i })])
      expect(await commit()).toBe(0)
      await clock.advance(2500)
    }
    expect(await commit()).toBe(4)
  })

  test('beyond the open files allowed, the folder that got nothing for longest is finished', async () => {
    const files = disk()
    const { task, commit } = await start(files, { 'partitioner.class': 'hourly', 'partitioner.max.open.files': 2 })
    await task.put([packedBatch(['0', '1', '0', '2'], { timestamp: [0, 1, 0, 2].map(h => T0 + h * HOUR) })])
    expect(await commit()).toBe(0)
    expect(Object.values(await textsIn(files))).toEqual(['1\n'])
  })

  test('over the memory allowed the largest are finished early, and nothing is lost', async () => {
    const files = disk()
    const { task, context } = await start(files, {
      'buffer.memory': 4 << 20,
      'partitioner.class': 'hourly',
      'partitioner.max.open.files': 1000,
    })
    const line = 'x'.repeat(70_000)
    for (let i = 0; i < 40; i++) await task.put([packedBatch([line], { offset: i, timestamp: T0 + i * HOUR })])
    await task.drain()
    expect(context.counts['objects.finished.early']).toBeGreaterThan(0)
    expect((await objectsIn(files)).size).toBe(40)
  })
})

test('objects are the same bytes, however the records were cut into batches', async () => {
  const random = new SeededRandom(SEED)
  const values = Array.from({ length: 30_000 }, (_, i) => `${i} ${'é"\\x'.repeat(randomInt(random, 30))}`)
  const times = values.map((_, i) => T0 + i * 700 - (i % 11 === 0 ? 30 * 60_000 : 0))
  const given = {
    'partitioner.class': 'hourly',
    'flush.bytes': 200_000,
    'flush.size': 3000,
    'rotate.interval.ms': 600_000,
    's3.compression.type': 'zstd',
    'format.class': 'json',
  } as const
  const seen: Map<string, Buffer>[] = []
  for (const most of [30_000, 997, 10]) {
    const files = disk()
    const { task } = await start(files, given)
    for (let i = 0; i < values.length; ) {
      const to = Math.min(values.length, i + 1 + randomInt(random, most))
      await task.put([packedBatch(values.slice(i, to), { offset: i, timestamp: times.slice(i, to) })])
      if (randomInt(random, 5) === 0) await task.preCommit()
      i = to
    }
    await task.drain()
    seen.push(await objectsIn(files))
  }
  expect(seen[0]!.size).toBeGreaterThan(10)
  for (const other of seen.slice(1)) expect(other).toEqual(seen[0])
})

test('the last object and how to read it are reported', async () => {
  const { task, context } = await start(disk(), { 's3.compression.type': 'zstd' })
  await task.put([packedBatch(['a'])])
  await task.drain()
  expect(context.facts).toEqual({
    'last object': '/exports/topics/t/partition=0/t+0+0000000000.txt.zst',
    'read it with': 'zstd -dc /exports/topics/t/partition=0/t+0+0000000000.txt.zst | head',
    objects: 1,
  })
})

describe('nothing is lost', () => {
  /** Delivers all lines from the committed offset, as the sink loop does, until the disk says stop. */
  async function deliver(files: Files, committed: number, total: number, random: SeededRandom): Promise<number> {
    let safe = committed
    const { task, commit } = await start(files, { 'flush.size': 7, 's3.compression.type': 'none' }, committed)
    for (let at = committed; at < total; ) {
      const to = Math.min(total, at + 1 + randomInt(random, 10))
      await task.put([packedBatch(numbers(at, to), { offset: at })])
      if (randomInt(random, 3) === 0) safe = (await commit()) ?? safe
      at = to
    }
    await task.drain()
    return (await commit()) ?? safe
  }

  const total = 200

  async function linesFrom(files: Files): Promise<string[]> {
    const objects = [...(await objectsIn(files))].sort(([a], [b]) => (a < b ? -1 : 1))
    return objects.flatMap(([, bytes]) => bytes.toString().split('\n').slice(0, -1))
  }

  test('a power cut at any call: committed records are in whole objects, and the next run completes them once', async () => {
    let cuts = 0
    for (let n = 1; ; n += 3) {
      const memory = disk()
      const random = new SeededRandom(SEED + n)
      let safe = 0
      const cutting = new FaultyFiles(memory, (_call, _path, number) => {
        if (number >= n) throw Object.assign(new Error('cut'), { code: 'EIO' })
      })
      const run = start(cutting, { 'flush.size': 7 })
      try {
        const { task, commit } = await run
        for (let at = 0; at < total; at += 10) {
          await task.put([packedBatch(numbers(at, at + 10), { offset: at })])
          safe = (await commit()) ?? safe
        }
        await task.drain()
        safe = (await commit()) ?? safe
      } catch (error) {
        expect((error as Error).message).toMatch(/cut|EIO/)
      }
      const after = memory.powerCut()
      const durable = await linesFrom(after)
      for (const line of numbers(0, safe)) expect(durable).toContain(line)
      if (safe === total) break
      cuts++
      expect(await deliver(after, safe, total, random)).toBe(total)
      const all = await linesFrom(after)
      expect([...new Set(all)]).toEqual(numbers(0, total))
    }
    expect(cuts).toBeGreaterThan(20)
  })

  test('a full disk moves no offset and loses nothing taken: when there is room again each line is there once', async () => {
    const memory = disk()
    const faulty = new FaultyFiles(memory)
    const { task, commit, context } = await start(faulty, { 'flush.size': 5 })
    const batches = [packedBatch(numbers(0, 12))]
    await task.put(batches)
    const clear = faulty.fail({ call: 'write', error: 'ENOSPC', partialBytes: 3, times: Number.POSITIVE_INFINITY })
    await task.put([packedBatch(numbers(12, 24), { offset: 12 })])
    expect(await commit()).toBeLessThan(20)
    expect(context.counts['uploads.delayed']).toBe(1)
    await expect(task.drain()).rejects.toMatchObject({ code: 'ENOSPC' })
    clear()
    await task.drain()
    expect(await commit()).toBe(24)
    expect(await linesFrom(memory)).toEqual(numbers(0, 24))
  })

  test('a disk that did not confirm a sync is not asked again: the task fails and the object is written anew', async () => {
    const memory = disk()
    const faulty = new FaultyFiles(memory)
    faulty.fail({ call: 'datasync', error: 'EIO' })
    const { task } = await start(faulty)
    await task.put([packedBatch(numbers(0, 3))])
    await expect(task.drain()).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    await expect(task.drain()).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    await task.close()
    expect(await linesFrom(memory)).toEqual([])
    expect(await deliver(memory, 0, 3, new SeededRandom(1))).toBe(3)
    expect(await linesFrom(memory)).toEqual(numbers(0, 3))
  })

  test('a record that does not decode is heard of before anything is taken', async () => {
    const files = disk()
    const { task, commit } = await start(files)
    const bad: SinkBatch = {
      ...recordsBatch(['b'], { offset: 1 }),
      records: () => {
        throw new Error('does not decode')
      },
    }
    await expect(task.put([packedBatch(['a']), bad])).rejects.toThrow('does not decode')
    await task.put([packedBatch(['a']), packedBatch(['b'], { offset: 1 })])
    await task.drain()
    expect(await commit()).toBe(2)
    expect(await linesFrom(files)).toEqual(['a', 'b'])
  })

  test('partitions that go are given up: nothing of them appears, and their offset was not moved', async () => {
    const files = disk()
    const { task, commit } = await start(files)
    await task.put([packedBatch(['a'])])
    expect(await commit()).toBe(0)
    await task.closePartitions([{ topic: 't', partition: 0 }])
    expect(await commit()).toBeUndefined()
    await task.drain()
    expect((await objectsIn(files)).size).toBe(0)
    expect(await files.list('/exports/topics/.unfinished').catch(() => [])).toEqual([])
  })
})

describe('check', () => {
  test('a directory that may be written is fine and stays empty', async () => {
    const files = disk()
    await s3Sink.check!(optionsOf({}), testContext({ files }))
    expect((await objectsIn(files)).size).toBe(0)
  })

  test('no permission: says which path and the command that mends it', async () => {
    const faulty = new FaultyFiles(disk())
    faulty.fail({ call: 'open', error: 'EACCES', times: Number.POSITIVE_INFINITY })
    await expect(s3Sink.check!(optionsOf({}), testContext({ files: faulty }))).rejects.toMatchObject({
      code: 'ACCESS_DENIED',
      message: expect.stringMatching(/\/exports.*chown/),
    })
  })

  test('neither bucket nor directory, or half of the credentials: a configuration error', async () => {
    const check = (given: object) => s3Sink.check!(optionsOf({ 'store.url': undefined, ...given }), testContext())
    await expect(check({})).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('s3.bucket.name'),
    })
    await expect(check({ 's3.bucket.name': 'b', 'aws.access.key.id': 'a' })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    })
    await expect(check({ 'store.url': 'ftp://x' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  })
})

test('a compressed object is read back by the codec, frame by frame of a mebibyte', async () => {
  const files = disk()
  const { task } = await start(files, { 's3.compression.type': 'gzip' })
  const values = numbers(0, 200_000)
  await task.put([packedBatch(values)])
  await task.drain()
  const [bytes] = [...(await objectsIn(files)).values()]
  const text = await (await loadCodec('gzip')).decompress(bytes!, 1 << 30)
  expect(text.equals(Buffer.from(`${values.join('\n')}\n`))).toBe(true)
})
