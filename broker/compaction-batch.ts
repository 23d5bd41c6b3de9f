import {
  type Codec,
  codecById,
  crc32c,
  type PackedRecords,
  VarintReader,
  varlongSize,
  writeVarint,
  writeVarlong,
} from '../base/index.ts'
import {
  BATCH_HEADER_BYTES,
  batchBaseTimestamp,
  batchCodecId,
  batchIsLogAppendTime,
  batchMaxTimestamp,
} from './batch.ts'
import { writeInt64 } from './int64.ts'

/** The base timestamp is when deletions in the batch may go, and the records' times are deltas to that. */
const DELETE_HORIZON = 0x40
const COMPRESSION_MASK = 0x07
const CRC_FROM = 21
const LENGTH_FIELD_END = 12
/** Of a record whose time is written anew: a longer time, and a longer length. */
const TIME_GROWTH_MAX = 12
const LOOP_BYTES_MAX = 96

/** A batch as it goes into the cleaned segment. */
export interface RewrittenBatch {
  readonly buffers: readonly Uint8Array[]
  readonly bytes: number
  readonly maxTimestamp: number
}

/** Milliseconds since the epoch from which deletions and markers in the batch may go; undefined before a first pass. */
export function deleteHorizon(bytes: Buffer, at: number): number | undefined {
  return (bytes.readInt16BE(at + 21) & DELETE_HORIZON) === 0 ? undefined : batchBaseTimestamp(bytes, at)
}

/**
 * The batch at `at` with the records for which `kept` has a 1, as Kafka's cleaner leaves it: offsets, sequences and the
 * range of offsets stay, gaps are where records were, the codec is the batch's own. `bytes` behind the header and those of
 * `records` are void afterwards.
 */
export async function rewriteBatch(
  bytes: Buffer,
  at: number,
  records: PackedRecords,
  kept: Uint8Array,
  horizon: number | undefined,
): Promise<RewrittenBatch> {
  const appendTime = batchIsLogAppendTime(bytes, at)
  const baseTimestamp = horizon ?? records.timestamp(kept.indexOf(1))
  const from = records.bytes === bytes ? at + BATCH_HEADER_BYTES : 0
  const moves = appendTime || baseTimestamp !== batchBaseTimestamp(bytes, at)
  const body = moves
    ? withTimesFrom(baseTimestamp, records, from, kept)
    : records.bytes.subarray(from, pushTogether(records.bytes, from, kept))
  const codec: Codec = await codecById(batchCodecId(bytes, at))
  const packed = await codec.compress(body)
  const header = Buffer.from(bytes.subarray(at, at + BATCH_HEADER_BYTES))
  const { count, maxTimestamp } = summaryOf(records, kept)
  const attributes = header.readInt16BE(21) & ~DELETE_HORIZON
  header.writeInt16BE(horizon === undefined ? attributes : attributes | DELETE_HORIZON, 21)
  const times = { baseTimestamp, maxTimestamp: appendTime ? batchMaxTimestamp(bytes, at) : maxTimestamp }
  finishHeader(header, { ...times, count }, packed)
  return { buffers: [header, packed], bytes: BATCH_HEADER_BYTES + packed.length, maxTimestamp: times.maxTimestamp }
}

/** Its header alone, which still says the offsets, the producer and its sequences. */
export function emptyBatch(bytes: Buffer, at: number): RewrittenBatch {
  const header = Buffer.from(bytes.subarray(at, at + BATCH_HEADER_BYTES))
  header.writeInt16BE(header.readInt16BE(21) & ~(DELETE_HORIZON | COMPRESSION_MASK), 21)
  const maxTimestamp = batchMaxTimestamp(bytes, at)
  finishHeader(header, { baseTimestamp: -1, maxTimestamp, count: 0 }, new Uint8Array(0))
  return { buffers: [header], bytes: BATCH_HEADER_BYTES, maxTimestamp }
}

function finishHeader(
  header: Buffer,
  fields: { readonly baseTimestamp: number; readonly maxTimestamp: number; readonly count: number },
  records: Uint8Array,
): void {
  header.writeInt32BE(BATCH_HEADER_BYTES + records.length - LENGTH_FIELD_END, 8)
  writeInt64(header, 27, fields.baseTimestamp)
  writeInt64(header, 35, fields.maxTimestamp)
  header.writeInt32BE(fields.count, 57)
  header.writeUInt32BE(crc32c(records, crc32c(header.subarray(CRC_FROM))), 17)
}

function summaryOf(records: PackedRecords, kept: Uint8Array): { count: number; maxTimestamp: number } {
  let count = 0
  let maxTimestamp = -1
  for (let i = 0; i < kept.length; i++) {
    if (kept[i] !== 1) continue
    count++
    maxTimestamp = Math.max(maxTimestamp, records.timestamp(i))
  }
  return { count, maxTimestamp }
}

/** Moves the kept ones of the records that begin at `from` together, as they are; answers where they end. */
function pushTogether(bytes: Buffer, from: number, kept: Uint8Array): number {
  const reader = new VarintReader(bytes, from)
  let end = from
  let runStart = from
  for (let i = 0; i < kept.length; i++) {
    const start = reader.position
    const length = reader.int()
    reader.position += length
    if (kept[i] === 1) continue
    // Here a run of kept records ends, if any.
    if (start > runStart) bytes.copyWithin(end, runStart, start)
    end += start - runStart
    runStart = reader.position
  }
  bytes.copyWithin(end, runStart, reader.position)
  return end + reader.position - runStart
}

/** The kept ones, their times as deltas to another base. What is behind the offset is copied as it is. */
function withTimesFrom(baseTimestamp: number, records: PackedRecords, from: number, kept: Uint8Array): Buffer {
  const { bytes } = records
  const into = Buffer.allocUnsafeSlow(keptBytes(bytes, from, kept) + kept.length * TIME_GROWTH_MAX)
  const reader = new VarintReader(bytes, from)
  let at = 0
  for (let i = 0; i < kept.length; i++) {
    const length = reader.int()
    const end = reader.position + length
    if (kept[i] === 1) {
      reader.position++
      reader.long()
      const rest = reader.position
      const timeDelta = records.timestamp(i) - baseTimestamp
      at = writeVarint(into, at, 1 + varlongSize(timeDelta) + end - rest)
      into[at++] = 0
      at = writeVarlong(into, at, timeDelta)
      at += copyRange(bytes, rest, end, into, at)
    }
    reader.position = end
  }
  return into.subarray(0, at)
}

function keptBytes(bytes: Buffer, from: number, kept: Uint8Array): number {
  const reader = new VarintReader(bytes, from)
  let sum = 0
  for (let i = 0; i < kept.length; i++) {
    const start = reader.position
    const length = reader.int()
    reader.position += length
    if (kept[i] === 1) sum += reader.position - start
  }
  return sum
}

/** Answers how many they are. A loop does a few bytes before a call has begun. */
function copyRange(bytes: Buffer, start: number, end: number, into: Buffer, at: number): number {
  if (end - start > LOOP_BYTES_MAX) return bytes.copy(into, at, start, end)
  for (let i = start, to = at; i < end; ) into[to++] = bytes[i++]!
  return end - start
}
