import { describe, expect, test } from 'vitest'
import {
  type CodecName,
  loadCodec,
  type PackedRecords,
  PackedWriter,
  randomInt,
  SeededRandom,
} from '../../base/index.ts'
import {
  batchBaseTimestamp,
  batchChecksumHolds,
  batchCount,
  batchIsSane,
  batchLastOffset,
  batchMaxTimestamp,
  batchSize,
  writeBatchAppendTime,
} from '../../broker/batch.ts'
import { batchRecords } from '../../broker/batch-records.ts'
import { BatchWriter } from '../../broker/batch-writer.ts'
import { deleteHorizon, rewriteBatch } from '../../broker/compaction-batch.ts'

const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const satisfies readonly CodecName[]
const BASE = 1_700_000_000_000
const BASE_OFFSET = 70

/** Records of all shapes: with and without key, value and headers, short and long; times that go both ways, or one for all. */
function anyRecords(random: SeededRandom): PackedRecords {
  const writer = new PackedWriter()
  const oneTime = random.next() < 0.3
  const count = 1 + randomInt(random, 200)
  for (let i = 0; i < count; i++) {
    const part = (share: number) => (random.next() < share ? random.bytes(randomInt(random, 300)) : null)
    const headers = random.next() < 0.2 ? [{ key: 'h', value: part(0.5) }] : undefined
    writer.add(part(0.8), part(0.8), headers, oneTime ? BASE : BASE + randomInt(random, 2 ** 30) - 2 ** 29)
  }
  return writer.build()
}

async function encode(records: PackedRecords, codec: CodecName, before: number): Promise<Buffer> {
  const writer = new BatchWriter(Buffer.alloc(1 << 20))
  writer.start(1 << 20, BASE)
  writer.add(records, 0)
  const { buffers } = await writer.finish(BASE_OFFSET, 0, await loadCodec(codec))
  return Buffer.concat([Buffer.alloc(before, 0xee), ...buffers, Buffer.alloc(9, 0xdd)])
}

/** Everything of the records for which `kept` has a 1. */
function shown(records: PackedRecords, kept: Uint8Array): unknown[] {
  return [...kept.keys()]
    .filter(i => kept[i] === 1)
    .map(i => [
      records.offset(i),
      records.timestamp(i),
      ...[records.key(i), records.value(i), records.headerBlock(i)].map(part => part?.toString('hex')),
    ])
}

describe.each(CODECS)('a rewritten batch in %s', codec => {
  test('holds the kept records as they were, and says what Kafka says of them', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = new SeededRandom(seed)
      const at = randomInt(random, 50)
      const bytes = await encode(anyRecords(random), codec, at)
      const appendTime = random.next() < 0.2
      if (appendTime) writeBatchAppendTime(bytes, at, BASE + 5)
      const records = await batchRecords(bytes, at)
      const share = random.next()
      const kept = Uint8Array.from({ length: records.count }, () => (random.next() < share ? 1 : 0))
      kept[randomInt(random, records.count)] = 1
      const horizon = random.next() < 0.3 ? BASE + 1e9 : undefined
      const expected = shown(records, kept)
      const last = batchLastOffset(bytes, at)
      const behind = bytes.subarray(at + batchSize(bytes, at)).toString('hex')

      const rewritten = await rewriteBatch(bytes, at, records, kept, horizon)

      const batch = Buffer.concat(rewritten.buffers)
      const place = `seed ${seed}`
      expect(batch.length, place).toBe(rewritten.bytes)
      expect(batchIsSane(batch, 0) && batchSize(batch, 0) === batch.length, place).toBe(true)
      expect(batchChecksumHolds(batch, 0), place).toBe(true)
      const found = await batchRecords(batch, 0)
      expect(shown(found, new Uint8Array(found.count).fill(1)), place).toEqual(expected)
      const times = expected.map(record => (record as [number, number])[1])
      expect(batchMaxTimestamp(batch, 0), place).toBe(Math.max(...times))
      expect(batchBaseTimestamp(batch, 0), place).toBe(horizon ?? times[0])
      expect(deleteHorizon(batch, 0), place).toBe(horizon)
      expect([batchCount(batch, 0), batchLastOffset(batch, 0)], place).toEqual([expected.length, last])
      // What lies around it in the window is others' or has been read.
      expect(batchLastOffset(bytes, at), place).toBe(last)
      expect(bytes.subarray(-behind.length / 2).toString('hex'), place).toBe(behind)
    }
  })
})
