import { describe, expect, test } from 'vitest'
import { FaultyFiles } from '../../../base/faulty-files.ts'
import { MemoryFiles } from '../../../base/memory-files.ts'
import { s3Sink } from '../../../connectors/s3/sink.ts'
import { loadCodec, randomInt, SeededRandom } from '../../../runtime/api/index.ts'
import { numbers, objectsIn, optionsOf, startSink, textsIn } from '../../support/s3-sink.ts'
import { packedBatch, recordsBatch } from '../../support/sink-batches.ts'
import { testContext } from '../../support/task-context.ts'

const SEED = Number(process.env.KTS_TEST_SEED ?? Date.now() % 1_000_000)
console.log(`seed ${SEED} (KTS_TEST_SEED)`)

const HOUR = 3_600_000
const T0 = Date.UTC(2026, 10, 20, 13, 0, 0)
const disk = () => new MemoryFiles(new SeededRandom(SEED))

describe('where records go', () => {
  test('the default partitioner gives Confluent’s layout, rotation by record count exact', async () => {
    const files = disk()
    const { task, commit } = await startSink(files, { 'flush.size': 2 })
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
    const { task } = await startSink(files, { 'partitioner.class': 'hourly' })
    await task.put([packedBatch(['a', 'b', 'late', 'c'], { timestamp: times })])
    await task.drain()
    expect(await textsIn(files)).toEqual({
      'topics/t/year=2026/month=11/day=20/hour=13/t+0+0000000000.txt': 'a\nlate\n',
      'topics/t/year=2026/month=11/day=20/hour=14/t+0+0000000001.txt': 'b\n',
      'topics/t/year=2026/month=11/day=21/hour=13/t+0+0000000003.txt': 'c\n',
    })
    const other = disk()
    const daily = await startSink(other, { 'partitioner.class': 'daily' })
    await daily.task.put([packedBatch(['a', 'b', 'late', 'c'], { timestamp: times })])
    await daily.task.drain()
    expect(Object.keys(await textsIn(other))).toEqual([
      'topics/t/year=2026/month=11/day=20/t+0+0000000000.txt',
      'topics/t/year=2026/month=11/day=21/t+0+0000000003.txt',
    ])
  })

  test('two topics that a transform routes into one never overwrite each other', async () => {
    const files = disk()
    const { task } = await startSink(files)
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
    const { task } = await startSink(disk())
    await expect(task.put([recordsBatch(['a'], { routed: '../../etc' })])).rejects.toMatchObject({
      code: 'RECORD_INVALID',
      rejected: [{ batch: 0, record: 0 }],
    })
  })

  test('a record without a time is rejected by a time partitioner, the others are taken', async () => {
    const files = disk()
    const { task, commit } = await startSink(files, { 'partitioner.class': 'hourly' })
    const put = task.put([packedBatch(['a', 'none', 'b'], { timestamp: [T0, -1, T0] })])
    await expect(put).rejects.toMatchObject({ rejected: [{ batch: 0, record: 1 }] })
    await task.drain()
    expect(await commit()).toBe(3)
    expect(Object.values(await textsIn(files))).toEqual(['a\nb\n'])
  })

  test('null values fail, are left out and counted, or are written, as asked', async () => {
    const fail = await startSink(disk())
    await expect(fail.task.put([packedBatch(['a', null])])).rejects.toMatchObject({
      rejected: [{ batch: 0, record: 1 }],
    })
    const files = disk()
    const ignore = await startSink(files, { 'behavior.on.null.values': 'ignore' })
    await ignore.task.put([packedBatch([null, 'a', null, 'b', null])])
    await ignore.task.drain()
    expect(await ignore.commit()).toBe(5)
    expect(ignore.context.counts['null.values.ignored']).toBe(3)
    expect(await textsIn(files)).toEqual({ 'topics/t/partition=0/t+0+0000000001.txt': 'a\nb\n' })
    const others = disk()
    const write = await startSink(others, { 'behavior.on.null.values': 'write', 'format.class': 'json' })
    await write.task.put([packedBatch(['a', null])])
    await write.task.drain()
    expect(Object.values(await textsIn(others))).toEqual(['"a"\nnull\n'])
  })
})

describe('when an object ends', () => {
  test('record time: a record so much later begins the next object; idle: silence ends it; the offset follows', async () => {
    const files = disk()
    const { task, commit, clock } = await startSink(files, { 'rotate.interval.ms': 60_000, 'rotate.idle.ms': 5000 })
    await task.put([packedBatch(['a', 'b', 'c'], { timestamp: [T0, T0 + 59_999, T0 + 60_000] })])
    expect(await commit()).toBe(2)
    await clock.advance(4999)
    expect(await commit()).toBe(2)
    await clock.advance(1)
    expect(await commit()).toBe(3)
    expect(Object.values(await textsIn(files))).toEqual(['a\nb\n', 'c\n'])
  })

  test('a trickle that is never idle is stored after the scheduled interval', async () => {
    const { task, commit, clock } = await startSink(disk(), { 'rotate.schedule.interval.ms': 10_000 })
    for (let i = 0; i < 4; i++) {
      await task.put([packedBatch([`${i}`], { offset: i })])
      expect(await commit()).toBe(0)
      await clock.advance(2500)
    }
    expect(await commit()).toBe(4)
  })

  test('beyond the open files allowed, the folder that got nothing for longest is finished', async () => {
    const files = disk()
    const { task, commit } = await startSink(files, { 'partitioner.class': 'hourly', 'partitioner.max.open.files': 2 })
    await task.put([packedBatch(['0', '1', '0', '2'], { timestamp: [0, 1, 0, 2].map(h => T0 + h * HOUR) })])
    expect(await commit()).toBe(0)
    expect(Object.values(await textsIn(files))).toEqual(['1\n'])
  })

  test('over the memory allowed the largest are finished early, and nothing is lost', async () => {
    const files = disk()
    const { task, context } = await startSink(files, {
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
    const { task } = await startSink(files, given)
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
  const { task, context } = await startSink(disk(), { 's3.compression.type': 'zstd' })
  await task.put([packedBatch(['a'])])
  await task.drain()
  expect(context.facts).toEqual({
    'last object': '/exports/topics/t/partition=0/t+0+0000000000.txt.zst',
    'read it with': 'zstd -dc /exports/topics/t/partition=0/t+0+0000000000.txt.zst | head',
    objects: 1,
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
})

test('a compressed object is read back by the codec, frame by frame of a mebibyte', async () => {
  const files = disk()
  const { task } = await startSink(files, { 's3.compression.type': 'gzip' })
  const values = numbers(0, 200_000)
  await task.put([packedBatch(values)])
  await task.drain()
  const [bytes] = [...(await objectsIn(files)).values()]
  const text = await (await loadCodec('gzip')).decompress(bytes!, 1 << 30)
  expect(text.equals(Buffer.from(`${values.join('\n')}\n`))).toBe(true)
})
