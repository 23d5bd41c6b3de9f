import { KtsError } from '../base/index.ts'
import { FieldReader, FieldWriter } from './fields.ts'
import { TRANSACTIONS_TOPIC } from './internal-topics.ts'

/** Kafka's, by their ids in the record. */
const STATES = [
  'Empty',
  'Ongoing',
  'PrepareCommit',
  'PrepareAbort',
  'CompleteCommit',
  'CompleteAbort',
  'Dead',
  'PrepareEpochFence',
] as const

export type TransactionState = (typeof STATES)[number]

export interface TransactionPartitions {
  readonly topic: string
  readonly partitions: readonly number[]
}

/** Everything of the partition below `end` was synced when the record was written. */
export interface DurableEnd {
  /** 16 bytes in base64url. */
  readonly topicId: string
  readonly partition: number
  readonly end: number
}

/** What `__transaction_state` says of one transactional id. */
export interface TransactionRecord {
  readonly producerId: number
  readonly previousProducerId: number
  readonly nextProducerId: number
  /** From transaction version 2 on (KIP-890) an ended state has that of the markers, which is the records' + 1. */
  readonly producerEpoch: number
  readonly nextProducerEpoch: number
  readonly timeoutMs: number
  readonly state: TransactionState
  readonly partitions: readonly TransactionPartitions[]
  /** Milliseconds since the epoch. */
  readonly updatedAt: number
  /** Milliseconds since the epoch; -1 when none has begun. */
  readonly startedAt: number
  /** `transaction.version` of the client. */
  readonly clientVersion: number
  /** Ours; empty in Kafka's records. */
  readonly durableEnds: readonly DurableEnd[]
}

const PREVIOUS_PRODUCER_ID = 0
const NEXT_PRODUCER_ID = 1
const CLIENT_VERSION = 2
const NEXT_PRODUCER_EPOCH = 3
/** Far from the tags that Kafka counts up; its readers pass over tags that they do not know. */
const DURABLE_ENDS = 10_000

/** Schema TransactionLogKey, version 0. */
export function encodeTransactionKey(transactionalId: string): Buffer {
  return new FieldWriter().int16(0).string(transactionalId).build()
}

/** The transactional id. Throws CORRUPT_MESSAGE for any other key. */
export function decodeTransactionKey(key: Buffer): string {
  const reader = new FieldReader(key, TRANSACTIONS_TOPIC)
  const version = reader.int16()
  if (version === 0) return reader.string()
  throw new KtsError('CORRUPT_MESSAGE', `${TRANSACTIONS_TOPIC}: expected a key of version 0, got ${version}`)
}

/** Schema TransactionLogValue, version 1, with our tagged field of durable ends where there are any. */
export function encodeTransactionValue(record: TransactionRecord): Buffer {
  const out = new FieldWriter().int16(1).int64(record.producerId).int16(record.producerEpoch)
  out.int32(record.timeoutMs).int8(STATES.indexOf(record.state))
  out.unsignedVarint(record.partitions.length + 1)
  for (const { topic, partitions } of record.partitions) {
    out.compactString(topic).unsignedVarint(partitions.length + 1)
    for (const partition of partitions) out.int32(partition)
    out.tagged([])
  }
  out.int64(record.updatedAt).int64(record.startedAt)
  return out.tagged(taggedFields(record)).build()
}

function taggedFields(record: TransactionRecord): (readonly [number, Buffer])[] {
  const fields: (readonly [number, Buffer])[] = []
  const add = (tag: number, field: FieldWriter) => fields.push([tag, field.build()])
  if (record.previousProducerId !== -1) add(PREVIOUS_PRODUCER_ID, new FieldWriter().int64(record.previousProducerId))
  if (record.nextProducerId !== -1) add(NEXT_PRODUCER_ID, new FieldWriter().int64(record.nextProducerId))
  if (record.clientVersion !== 0) add(CLIENT_VERSION, new FieldWriter().int16(record.clientVersion))
  if (record.nextProducerEpoch !== -1) add(NEXT_PRODUCER_EPOCH, new FieldWriter().int16(record.nextProducerEpoch))
  if (record.durableEnds.length > 0) {
    const ends = new FieldWriter()
    for (const { topicId, partition, end } of record.durableEnds)
      ends.raw(Buffer.from(topicId, 'base64url')).int32(partition).int64(end)
    add(DURABLE_ENDS, ends)
  }
  return fields
}

/** Versions 0 (Kafka before 4.0) and 1. Throws CORRUPT_MESSAGE. */
export function decodeTransactionValue(value: Buffer): TransactionRecord {
  const reader = new FieldReader(value, TRANSACTIONS_TOPIC)
  const version = reader.int16()
  if (version !== 0 && version !== 1) {
    throw new KtsError(
      'CORRUPT_MESSAGE',
      `${TRANSACTIONS_TOPIC}: expected a value of version 0 or 1, got ${version}; it was written by a newer Kafka`,
    )
  }
  const flexible = version === 1
  const producerId = reader.int64()
  const producerEpoch = reader.int16()
  const timeoutMs = reader.int32()
  const state = STATES[reader.int8()]
  if (state === undefined)
    throw new KtsError('CORRUPT_MESSAGE', `${TRANSACTIONS_TOPIC}: a transaction has a state that is not known`)
  const partitions = readPartitions(reader, flexible)
  const updatedAt = reader.int64()
  const startedAt = reader.int64()
  const tagged = flexible ? reader.tagged() : new Map<number, Buffer>()
  return {
    producerId,
    previousProducerId: numberOf(tagged.get(PREVIOUS_PRODUCER_ID), 8, -1),
    nextProducerId: numberOf(tagged.get(NEXT_PRODUCER_ID), 8, -1),
    producerEpoch,
    nextProducerEpoch: numberOf(tagged.get(NEXT_PRODUCER_EPOCH), 2, -1),
    timeoutMs,
    state,
    partitions,
    updatedAt,
    startedAt,
    clientVersion: numberOf(tagged.get(CLIENT_VERSION), 2, 0),
    durableEnds: readEnds(tagged.get(DURABLE_ENDS)),
  }
}

function readPartitions(reader: FieldReader, flexible: boolean): TransactionPartitions[] {
  // A null list has the length -1 and means none.
  const length = () => (flexible ? reader.unsignedVarint() - 1 : reader.int32())
  const topics: TransactionPartitions[] = []
  for (let left = length(); left > 0; left--) {
    const topic = flexible ? reader.compactString() : reader.string()
    const partitions: number[] = []
    for (let count = length(); count > 0; count--) partitions.push(reader.int32())
    if (flexible) reader.tagged()
    topics.push({ topic, partitions })
  }
  return topics
}

function readEnds(field: Buffer | undefined): DurableEnd[] {
  const ends: DurableEnd[] = []
  if (field === undefined) return ends
  const reader = new FieldReader(field, TRANSACTIONS_TOPIC)
  for (let at = 0; at < field.length; at += 28) {
    const topicId = reader.raw(16).toString('base64url')
    ends.push({ topicId, partition: reader.int32(), end: reader.int64() })
  }
  return ends
}

function numberOf(field: Buffer | undefined, size: 2 | 8, otherwise: number): number {
  if (field === undefined) return otherwise
  const reader = new FieldReader(field, TRANSACTIONS_TOPIC)
  return size === 2 ? reader.int16() : reader.int64()
}
