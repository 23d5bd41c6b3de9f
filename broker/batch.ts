import { crc32c } from '../base/index.ts'
import { readInt64, writeInt64 } from './int64.ts'

/**
 * The header of a record batch, version 2, read in place (https://kafka.apache.org/documentation/#recordbatch). All
 * functions take the buffer and the position where the batch begins. Base offset and leader epoch lie before the bytes
 * that the checksum covers, so the log fills them in without computing it again.
 */
export const BATCH_HEADER_BYTES = 61

/** The length field counts what is behind it. */
const LENGTH_FIELD_END = 12
const CRC_FROM = 21
const MAGIC = 2

const COMPRESSION_MASK = 0x07
const LOG_APPEND_TIME = 0x08
const CONTROL = 0x20

export function batchBaseOffset(bytes: Buffer, at: number): number {
  return readInt64(bytes, at)
}

/** Bytes of the whole batch, header included, as its length field says. */
export function batchSize(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at + 8) + LENGTH_FIELD_END
}

export function batchCodecId(bytes: Buffer, at: number): number {
  return bytes.readInt16BE(at + 21) & COMPRESSION_MASK
}

/** Every record's time is the batch's largest timestamp. */
export function batchIsLogAppendTime(bytes: Buffer, at: number): boolean {
  return (bytes.readInt16BE(at + 21) & LOG_APPEND_TIME) !== 0
}

/** Holds a transaction marker, which is no reader's record. */
export function batchIsControl(bytes: Buffer, at: number): boolean {
  return (bytes.readInt16BE(at + 21) & CONTROL) !== 0
}

export function batchLastOffset(bytes: Buffer, at: number): number {
  return readInt64(bytes, at) + bytes.readInt32BE(at + 23)
}

/** Milliseconds since the epoch; record times are deltas to it. */
export function batchBaseTimestamp(bytes: Buffer, at: number): number {
  return readInt64(bytes, at + 27)
}

/** Largest time of a record; -1 where there is none. */
export function batchMaxTimestamp(bytes: Buffer, at: number): number {
  return readInt64(bytes, at + 35)
}

/** Records in the batch: fewer than offsets after compaction, and 0 where only the header was kept. */
export function batchCount(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at + 57)
}

/** Could this be a header at all? `size` bytes from here may still be missing, and the checksum may fail. */
export function batchIsSane(bytes: Buffer, at: number): boolean {
  return (
    bytes[at + 16] === MAGIC &&
    batchSize(bytes, at) >= BATCH_HEADER_BYTES &&
    bytes.readInt32BE(at) >= 0 &&
    bytes.readInt32BE(at + 23) >= 0 &&
    batchCount(bytes, at) >= 0 &&
    Number.isSafeInteger(batchLastOffset(bytes, at))
  )
}

/** Whether the whole batch, which must lie in `bytes`, is as it was written. */
export function batchChecksumHolds(bytes: Buffer, at: number): boolean {
  return crc32c(bytes.subarray(at + CRC_FROM, at + batchSize(bytes, at))) === bytes.readUInt32BE(at + 17)
}

/** What `writeBatchHeader` needs to know. Timestamps in milliseconds since the epoch. */
export interface BatchHeader {
  readonly baseOffset: number
  readonly leaderEpoch: number
  readonly codecId: number
  readonly logAppendTime: boolean
  readonly baseTimestamp: number
  readonly maxTimestamp: number
  readonly count: number
}

/**
 * Writes the header of a batch without producer id in front of its records: `bytes[at + 61 ...]`, then `rest`, hold them
 * already. `recordsSize` bytes lie in the first place, all of `rest` in the second.
 */
export function writeBatchHeader(
  bytes: Buffer,
  at: number,
  header: BatchHeader,
  recordsSize: number,
  rest?: Uint8Array,
): void {
  const size = BATCH_HEADER_BYTES + recordsSize + (rest?.length ?? 0)
  writeInt64(bytes, at, header.baseOffset)
  bytes.writeInt32BE(size - LENGTH_FIELD_END, at + 8)
  bytes.writeInt32BE(header.leaderEpoch, at + 12)
  bytes[at + 16] = MAGIC
  bytes.writeInt16BE(header.codecId | (header.logAppendTime ? LOG_APPEND_TIME : 0), at + 21)
  bytes.writeInt32BE(header.count - 1, at + 23)
  writeInt64(bytes, at + 27, header.baseTimestamp)
  writeInt64(bytes, at + 35, header.maxTimestamp)
  // Producer id, epoch and base sequence: none.
  bytes.fill(0xff, at + 43, at + 57)
  bytes.writeInt32BE(header.count, at + 57)
  const crc = crc32c(bytes.subarray(at + CRC_FROM, at + BATCH_HEADER_BYTES + recordsSize))
  bytes.writeUInt32BE(rest === undefined ? crc : crc32c(rest, crc), at + 17)
}
