import { BATCH_HEADER_BYTES, batchBaseOffset, batchMaxTimestamp, batchSize, writeBatchHeader } from './batch.ts'
import { batchRecords } from './batch-records.ts'
import type { Marker, Outcome, Producer } from './producers.ts'

/** Key: version (i16), type (i16); value: version (i16), coordinator epoch (i32). Both as Kafka's control records. */
const KEY_BYTES = 4
const VALUE_BYTES = 6
const RECORD = [0, 0, 0, KEY_BYTES << 1, 0, 0, 0, 0, VALUE_BYTES << 1, 0, 0, 0, 0, 0, 0, 0]
const TYPE_AT = 6
const COORDINATOR_EPOCH_AT = 11

const ABORT = 0
const COMMIT = 1

/** The end of a transaction as it goes into the log. */
export interface TransactionEnd {
  readonly producer: Producer
  readonly outcome: Outcome
  readonly coordinatorEpoch: number
}

/**
 * The batch that ends a transaction, as Kafka writes it: one control record, 78 bytes in all. `timestamp`: milliseconds
 * since the epoch.
 */
export function encodeMarker(
  { outcome, producer: { id, epoch }, coordinatorEpoch }: TransactionEnd,
  { baseOffset, leaderEpoch }: { readonly baseOffset: number; readonly leaderEpoch: number },
  timestamp: number,
  logAppendTime: boolean,
): Buffer {
  // Every byte is written below.
  const bytes = Buffer.allocUnsafe(BATCH_HEADER_BYTES + 1 + RECORD.length)
  bytes[BATCH_HEADER_BYTES] = RECORD.length << 1
  bytes.set(RECORD, BATCH_HEADER_BYTES + 1)
  const record = BATCH_HEADER_BYTES + 1
  bytes.writeInt16BE(outcome === 'commit' ? COMMIT : ABORT, record + TYPE_AT)
  bytes.writeInt32BE(coordinatorEpoch, record + COORDINATOR_EPOCH_AT)
  const header = {
    baseOffset,
    leaderEpoch,
    codecId: 0,
    logAppendTime,
    baseTimestamp: timestamp,
    maxTimestamp: timestamp,
    count: 1,
    producer: { id, epoch, baseSequence: -1, transactional: true, control: true },
  }
  writeBatchHeader(bytes, 0, header, 1 + RECORD.length)
  return bytes
}

/** The marker in the whole control batch at `at`; undefined for another kind of control record. */
export async function readMarker(bytes: Buffer, at: number): Promise<Marker | undefined> {
  if (batchSize(bytes, at) === BATCH_HEADER_BYTES) return undefined
  const records = await batchRecords(bytes, at)
  const key = records.count === 0 ? null : records.key(0)
  const value = records.count === 0 ? null : records.value(0)
  if (key === null || key.length < KEY_BYTES) return undefined
  const type = key.readInt16BE(2)
  if (type !== ABORT && type !== COMMIT) return undefined
  return {
    offset: batchBaseOffset(bytes, at),
    outcome: type === COMMIT ? 'commit' : 'abort',
    coordinatorEpoch: value === null || value.length < VALUE_BYTES ? -1 : value.readInt32BE(2),
    timestamp: batchMaxTimestamp(bytes, at),
  }
}
