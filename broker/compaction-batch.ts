import {
  type Codec,
  codecById,
  crc32c,
  type PackedRecords,
  varintSize,
  varlongSize,
  writeVarlong,
} from '../base/index.ts'
import {
  BATCH_HEADER_BYTES,
  batchBaseOffset,
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
 * range of offsets stay, gaps are where records were, the codec is the batch's own.
 */
export async function rewriteBatch(
  bytes: Buffer,
  at: number,
  records: PackedRecords,
  kept: Uint8Array,
  horizon: number | undefined,
): Promise<RewrittenBatch> {
  const first = kept.indexOf(1)
  const appendTime = batchIsLogAppendTime(bytes, at)
  const baseTimestamp = horizon ?? records.timestamp(first)
  const baseOffset = batchBaseOffset(bytes, at)
  const body = encodeRecords(records, kept, baseOffset, baseTimestamp)
  const codec: Codec = await codecById(batchCodecId(bytes, at))
  const packed = await codec.compress(body.bytes)
  const header = Buffer.from(bytes.subarray(at, at + BATCH_HEADER_BYTES))
  const maxTimestamp = appendTime ? batchMaxTimestamp(bytes, at) : body.maxTimestamp
  const attributes = header.readInt16BE(21) & ~DELETE_HORIZON
  header.writeInt16BE(horizon === undefined ? attributes : attributes | DELETE_HORIZON, 21)
  finishHeader(header, { baseTimestamp, maxTimestamp, count: body.count }, packed)
  return { buffers: [header, packed], bytes: BATCH_HEADER_BYTES + packed.length, maxTimestamp }
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

function encodeRecords(records: PackedRecords, kept: Uint8Array, baseOffset: number, baseTimestamp: number) {
  const overheadMax = 32
  const into = Buffer.allocUnsafe(records.size + overheadMax * records.count)
  let at = 0
  let count = 0
  let maxTimestamp = -1
  for (let i = 0; i < records.count; i++) {
    if (kept[i] !== 1) continue
    at = encodeRecord(into, at, records, i, records.timestamp(i) - baseTimestamp, records.offset(i) - baseOffset)
    maxTimestamp = Math.max(maxTimestamp, records.timestamp(i))
    count++
  }
  return { bytes: into.subarray(0, at), count, maxTimestamp }
}

function encodeRecord(
  into: Buffer,
  from: number,
  records: PackedRecords,
  i: number,
  timeDelta: number,
  offsetDelta: number,
): number {
  const key = records.key(i)
  const value = records.value(i)
  const headers = records.headerBlock(i)
  const length =
    1 +
    varlongSize(timeDelta) +
    varintSize(offsetDelta) +
    fieldSize(key) +
    fieldSize(value) +
    (headers === undefined ? 1 : headers.length)
  let at = writeVarlong(into, from, length)
  into[at++] = 0
  at = writeVarlong(into, at, timeDelta)
  at = writeVarlong(into, at, offsetDelta)
  at = writeField(into, at, key)
  at = writeField(into, at, value)
  if (headers === undefined) into[at++] = 0
  else at += headers.copy(into, at)
  return at
}

function fieldSize(field: Buffer | null): number {
  return field === null ? 1 : varintSize(field.length) + field.length
}

function writeField(into: Buffer, at: number, field: Buffer | null): number {
  if (field === null) return writeVarlong(into, at, -1)
  const start = writeVarlong(into, at, field.length)
  return start + field.copy(into, start)
}
