import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { loadCodec, ManualClock, PackedRecords, packRecords } from '../../base/index.ts'
import { batchBaseOffset, batchChecksumHolds, batchCount, batchSize } from '../../broker/batch.ts'
import { batchRecords } from '../../broker/batch-records.ts'
import { BatchWriter } from '../../broker/batch-writer.ts'
import {
  copyOfGolden,
  expectedOf,
  golden,
  openPartition,
  plainRecords,
  readAll,
  SETTINGS,
  temporaryDirectory,
  topicIdOf,
} from '../support/golden.ts'

const V4 = 'kafka-4.1.2'
const V3 = 'kafka-3.9.2'

/** Version, folder, partition: all that has an expectation. */
const READABLE: readonly (readonly [string, string, string])[] = [
  ...['none', 'gzip', 'snappy', 'lz4', 'zstd'].map(codec => [V4, '1-codecs', `codec-${codec}-0`] as const),
  [V4, '1-codecs', 'noidem-0'],
  ...[V4, V3].flatMap(v => ['txn-0', 'txn-multi-0', 'txn-multi-1', 'txn-open-0'].map(t => [v, '2-txn', t] as const)),
  ...['before', 'after1', 'after2'].flatMap(phase =>
    ['compact-keep-0', 'compact-drop-0', 'compact-txn-0'].map(t => [V4, `3-compacted/${phase}`, t] as const),
  ),
  ...['before', 'after1'].map(phase => [V4, `3-compacted/${phase}`, 'compact-empty-0'] as const),
  ...['compact-keep-0', 'compact-txn-0'].map(t => [V3, '3-compacted/after1', t] as const),
  [V4, '4-segments', 'segments-0'],
  ...[V4, V3].flatMap(v =>
    ['__consumer_offsets-0', '__transaction_state-0', 'grp-0', 'grp-1'].map(t => [v, '5-internal', t] as const),
  ),
  [V4, '6-appendtime', 'appendtime-0'],
  [V4, '6-appendtime', 'appendtime-1'],
  [V4, '7-damaged/intact', 'torn-0'],
  [V4, '7-damaged/intact', 'flip-0'],
  ...[V4, V3].flatMap(v => ['torn-0', 'flip-0'].map(t => [v, '7-damaged/recovered', t] as const)),
]

function open(path: string, clean: boolean) {
  const directory = copyOfGolden(path, temporaryDirectory(onTestFinished))
  return openPartition(directory, { topicId: topicIdOf(directory), clean })
}

function split(partition: string): [string, number] {
  const dash = partition.lastIndexOf('-')
  return [partition.slice(0, dash), Number(partition.slice(dash + 1))]
}

describe.skipIf(golden === undefined)("what Kafka's brokers wrote", () => {
  for (const [version, folder, name] of READABLE) {
    for (const clean of [true, false]) {
      test(`${version}/${folder}/${name} reads record for record, ${clean ? 'clean' : 'checked'}`, async () => {
        const [topic, number] = split(name)
        const expected = expectedOf(`${version}/${folder}/${topic}`, number)
        const partition = await open(`${version}/${folder}/${name}`, clean)
        expect(partition.recovered.truncatedBytes).toBe(0)
        expect(partition.recovered.segments.flatMap(s => s.holes)).toEqual([])
        const { logStartOffset, highWatermark, lastStableOffset, nextOffset } = partition
        const { logStart, end, lastStable } = expected
        expect([logStartOffset, lastStableOffset, highWatermark, nextOffset]).toEqual([logStart, lastStable, end, end])
        for (const bytesMax of [1, 1 << 20]) {
          expect(plainRecords(await readAll(partition, 0, bytesMax))).toEqual(expected.records)
          expect(plainRecords(await readAll(partition, 0, bytesMax, 'read_committed'))).toEqual(expected.committed)
        }
        await partition.close()
      })
    }
  }

  test('every offset can be read from, in the middle of batches too', async () => {
    const partition = await open(`${V4}/4-segments/segments-0`, true)
    for (let offset = 0; offset <= 240; offset++) {
      const { batches } = await partition.read(offset, 1, 'read_committed')
      expect(batches[0]?.offset(0)).toBe(offset === 240 ? undefined : offset)
    }
    await partition.close()
  })

  test('the offset of a time is exact to the record, with times that go back', async () => {
    const { records } = expectedOf(`${V4}/4-segments/segments`, 0)
    const partition = await open(`${V4}/4-segments/segments-0`, true)
    for (let time = 1_699_999_999_000; time < 1_700_000_242_000; time += 500) {
      const first = records.find(([, timestamp]) => timestamp >= time)
      expect(await partition.offsetForTime(time)).toBe(first?.[0])
    }
    await partition.close()
  })

  test('a torn tail of Kafka is cut where Kafka cuts it', async () => {
    const partition = await open(`${V4}/7-damaged/damaged/torn-0`, false)
    const expected = expectedOf(`${V4}/7-damaged/recovered/torn`, 0)
    expect(partition.recovered.truncatedBytes).toBe(150)
    expect(partition.nextOffset).toBe(50)
    expect(plainRecords(await readAll(partition))).toEqual(expected.records)
    await partition.close()
  })

  test('a flipped bit costs its own batch, where Kafka drops what is behind it too', async () => {
    const partition = await open(`${V4}/7-damaged/damaged/flip-0`, false)
    const { records } = expectedOf(`${V4}/7-damaged/intact/flip`, 0)
    expect(partition.nextOffset).toBe(60)
    const before = await partition.read(0, 1 << 20, 'read_committed')
    expect(plainRecords(before.batches)).toEqual(records.slice(0, 30))
    for (let offset = 30; offset < 40; offset++) {
      await expect(partition.read(offset, 1 << 20, 'read_committed')).rejects.toMatchObject({
        code: 'CORRUPT_MESSAGE',
        details: { position: 883, firstOffset: 30, lastOffset: 39, nextOffset: 40 },
      })
    }
    expect(plainRecords(await readAll(partition, 40))).toEqual(records.slice(40))
    await partition.close()
  })

  test('the same batches make the same segments, indexes and names as in Kafka', async () => {
    const source = join(golden!, V4, '4-segments/segments-0')
    const directory = temporaryDirectory(onTestFinished)
    const partition = await openPartition(directory, {
      clock: new ManualClock(1_700_000_000_000),
      settings: { ...SETTINGS, segmentMs: 60_000, indexIntervalBytes: 512 },
    })
    const logs = readdirSync(source).filter(name => name.endsWith('.log'))
    for (const log of logs) {
      for await (const records of batchesOf(join(source, log))) await partition.append([records])
    }
    await partition.close()
    for (const name of readdirSync(source)) {
      const [ours, theirs] = [readFileSync(join(directory, name)), readFileSync(join(source, name))]
      if (name.endsWith('.log')) expect(ours.length).toBe(theirs.length)
      else if (/index$/.test(name)) expect(ours.toString('hex')).toBe(theirs.toString('hex'))
    }
    expect(readdirSync(directory).sort()).toEqual(readdirSync(source).sort())
  })

  test.each(['.index', '.timeindex'])("a rebuilt %s is byte for byte Kafka's", async suffix => {
    const temporary = temporaryDirectory(onTestFinished)
    const directory = copyOfGolden(`${V4}/4-segments/segments-0`, temporary)
    const names = readdirSync(directory).filter(name => name.endsWith(suffix))
    const before = names.map(name => readFileSync(join(directory, name)).toString('hex'))
    const { unlinkSync } = await import('node:fs')
    for (const name of names) unlinkSync(join(directory, name))
    const settings = { ...SETTINGS, indexIntervalBytes: 512 }
    const partition = await openPartition(directory, { topicId: topicIdOf(directory), clean: true, settings })
    expect(partition.recovered.segments.map(s => s.indexesRebuilt)).toEqual([true, true, true, true])
    await partition.close()
    expect(names.map(name => readFileSync(join(directory, name)).toString('hex'))).toEqual(before)
  })

  test('batches without producer id come out byte for byte as the Java client made them', async () => {
    const theirs = readFileSync(join(golden!, V4, '1-codecs/noidem-0/00000000000000000000.log'))
    const writer = new BatchWriter(Buffer.alloc(1 << 20))
    const none = await loadCodec('none')
    let batches = 0
    for (let at = 0; at < theirs.length; at += batchSize(theirs, at), batches++) {
      const records = await batchRecords(theirs, at)
      writer.start(1 << 20, 0)
      expect(writer.add(records, 0)).toBe(records.count)
      const { buffers, bytes } = await writer.finish(batchBaseOffset(theirs, at), 0, none)
      expect(bytes).toBe(batchSize(theirs, at))
      expect(Buffer.concat(buffers).toString('hex')).toBe(theirs.subarray(at, at + bytes).toString('hex'))
    }
    expect(batches).toBeGreaterThan(1)
  })
})

/** The batches of a log file as records without offsets. */
async function* batchesOf(path: string): AsyncGenerator<PackedRecords> {
  const bytes = readFileSync(path)
  for (let at = 0; at < bytes.length; at += batchSize(bytes, at)) {
    expect(batchChecksumHolds(bytes, at)).toBe(true)
    expect(batchCount(bytes, at)).toBeGreaterThan(0)
    const { baseOffset: _, ...rest } = await batchRecords(bytes, at)
    yield new PackedRecords(rest as PackedRecords)
  }
}

test('a record of every shape survives the batch format', async () => {
  const writer = new BatchWriter(Buffer.alloc(4096))
  const records = packRecords([
    { key: null, value: null, timestamp: 5 },
    { key: '', value: '', timestamp: 3 },
    { key: 'k', value: 'v'.repeat(70), headers: [{ key: 'h', value: null }], timestamp: Number.MAX_SAFE_INTEGER },
    { value: 'x'.repeat(200), headers: [{ key: '', value: Buffer.alloc(0) }], timestamp: 0 },
  ])
  for (const name of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const) {
    writer.start(1 << 20, 9)
    writer.add(records, 0)
    const { buffers } = await writer.finish(7, 0, await loadCodec(name))
    const back = await batchRecords(Buffer.concat(buffers), 0)
    expect(plainRecords([back]).map(r => r.slice(1))).toEqual(plainRecords([records]).map(r => r.slice(1)))
    expect(back.baseOffset).toBe(7)
  }
})
