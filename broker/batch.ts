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
const TRANSACTIONAL = 0x10
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

/** Belongs to a transaction: a marker decides on it. */
export function batchIsTransactional(bytes: Buffer, at: number): boolean {
  return (bytes.readInt16BE(at + 21) & TRANSACTIONAL) !== 0
}

export function batchLastOffset(bytes: Buffer, at: number): number {
  return readInt64(bytes, at) + bytes.readInt32BE(at + 23)
}

/** One less than the offsets that the batch takes. */
export function batchLastOffsetDelta(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at + 23)
}

/** Milliseconds since the epoch; record times are deltas to it. */
export function batchBaseTimestamp(bytes: Buffer, at: number): number {
  return readInt64(bytes, at + 27)
}

/** Largest time of a record; -1 where there is none. */
export function batchMaxTimestamp(bytes: Buffer, at: number): number {
  return readInt64(bytes, at + 35)
}

/** -1 where there is none. */
export function batchProducerId(bytes: Buffer, at: number): number {
  return readInt64(bytes, at + 43)
}

export function batchProducerEpoch(bytes: Buffer, at: number): number {
  return bytes.readInt16BE(at + 51)
}

/** Sequence of the first record; the others follow, with 0 behind 2^31 - 1. */
export function batchBaseSequence(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at + 53)
}

/** Sequence of the last record, counted by offsets: compaction takes records away, and leaves their numbers. */
export function batchLastSequence(bytes: Buffer, at: number): number {
  const first = batchBaseSequence(bytes, at)
  return first < 0 ? first : sequenceAfter(first, bytes.readInt32BE(at + 23))
}

export function sequenceAfter(sequence: number, steps: number): number {
  return (sequence + steps) % 2 ** 31
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

/** Who wrote a batch, and its place among the batches of that producer. */
export interface BatchProducer {
  readonly id: number
  readonly epoch: number
  /** Of the first record; -1 in a marker. */
  readonly baseSequence: number
  readonly transactional: boolean
  readonly control: boolean
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
  /** None: no idempotence, and no transaction. */
  readonly producer?: BatchProducer | undefined
}

/**
 * Writes the header of a batch in front of its records: `bytes[at + 61 ...]`, then `rest`, hold them
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
  bytes.writeInt16BE(attributesOf(header), at + 21)
  bytes.writeInt32BE(header.count - 1, at + 23)
  writeInt64(bytes, at + 27, header.baseTimestamp)
  writeInt64(bytes, at + 35, header.maxTimestamp)
  writeProducer(bytes, at, header.producer)
  bytes.writeInt32BE(header.count, at + 57)
  const crc = crc32c(bytes.subarray(at + CRC_FROM, at + BATCH_HEADER_BYTES + recordsSize))
  bytes.writeUInt32BE(rest === undefined ? crc : crc32c(rest, crc), at + 17)
}

/** Fills in what a log decides, which the checksum does not cover. */
export function writeBatchPlace(bytes: Buffer, at: number, baseOffset: number, leaderEpoch: number): void {
  writeInt64(bytes, at, baseOffset)
  bytes.writeInt32BE(leaderEpoch, at + 12)
}

/** Gives every record of the batch that time, in milliseconds since the epoch; the whole batch must lie in `bytes`. */
export function writeBatchAppendTime(bytes: Buffer, at: number, timestamp: number): void {
  bytes.writeInt16BE(bytes.readInt16BE(at + 21) | LOG_APPEND_TIME, at + 21)
  writeInt64(bytes, at + 35, timestamp)
  writeChecksum(bytes, at)
}

/** Says that the records behind the header, to the end of `bytes`, are compressed so. */
export function writeBatchCodec(bytes: Buffer, at: number, codecId: number): void {
  bytes.writeInt32BE(bytes.length - at - LENGTH_FIELD_END, at + 8)
  bytes.writeInt16BE((bytes.readInt16BE(at + 21) & ~COMPRESSION_MASK) | codecId, at + 21)
  writeChecksum(bytes, at)
}

function writeChecksum(bytes: Buffer, at: number): void {
  bytes.writeUInt32BE(crc32c(bytes.subarray(at + CRC_FROM, at + batchSize(bytes, at))), at + 17)
}

function attributesOf({ codecId, logAppendTime, producer }: BatchHeader): number {
  let attributes = codecId
  if (logAppendTime) attributes |= LOG_APPEND_TIME
  if (producer?.transactional === true) attributes |= TRANSACTIONAL
  if (producer?.control === true) attributes |= CONTROL
  return attributes
}

function writeProducer(bytes: Buffer, at: number, producer: BatchProducer | undefined): void {
  if (producer === undefined) {
    bytes.fill(0xff, at + 43, at + 57)
    return
  }
  writeInt64(bytes, at + 43, producer.id)
  bytes.writeInt16BE(producer.epoch, at + 51)
  bytes.writeInt32BE(producer.baseSequence, at + 53)
}
