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

export interface MarkerBatch {
  readonly outcome: Outcome
  readonly producer: Producer
  readonly coordinatorEpoch: number
  /** Milliseconds since the epoch. */
  readonly timestamp: number
  readonly logAppendTime: boolean
  readonly baseOffset: number
  readonly leaderEpoch: number
}

/** The batch that ends a transaction, as Kafka writes it: one control record, 78 bytes in all. */
export function encodeMarker(marker: MarkerBatch): Buffer {
  const { producer, timestamp } = marker
  const bytes = Buffer.alloc(BATCH_HEADER_BYTES + 1 + RECORD.length)
  bytes[BATCH_HEADER_BYTES] = RECORD.length << 1
  bytes.set(RECORD, BATCH_HEADER_BYTES + 1)
  const record = BATCH_HEADER_BYTES + 1
  bytes.writeInt16BE(marker.outcome === 'commit' ? COMMIT : ABORT, record + TYPE_AT)
  bytes.writeInt32BE(marker.coordinatorEpoch, record + COORDINATOR_EPOCH_AT)
  const header = {
    baseOffset: marker.baseOffset,
    leaderEpoch: marker.leaderEpoch,
    codecId: 0,
    logAppendTime: marker.logAppendTime,
    baseTimestamp: timestamp,
    maxTimestamp: timestamp,
    count: 1,
    producer: { ...producer, baseSequence: -1, transactional: true, control: true },
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
