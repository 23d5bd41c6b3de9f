import type { PackedRecords } from '../../base/index.ts'
import type { Schema } from './schema.ts'

/**
 * One record as transforms, parsers and typed formats see it. Owned by the pipeline: a transform may change it in place
 * and return it. Absent is not null: a missing member is `undefined`.
 */
export interface ConnectRecord {
  topic: string
  /** Undefined: the topic's partitioner chooses. */
  partition: number | undefined
  key: unknown
  keySchema: Schema | undefined
  /** Without a schema: string, number, bigint, boolean, Uint8Array, array, or an object with a null prototype. */
  value: unknown
  valueSchema: Schema | undefined
  /** Ordered; duplicates are allowed. */
  headers: Header[] | undefined
  /** Milliseconds since the epoch; undefined becomes the time of the append. */
  timestamp: number | undefined
}

/** A record that came from the log. `topic` and `partition` may have been changed by a transform; `origin` never is. */
export interface SinkRecord extends ConnectRecord {
  readonly origin: { readonly topic: string; readonly partition: number; readonly offset: number }
}

export interface Header {
  readonly key: string
  readonly value: unknown
  readonly schema: Schema | undefined
}

/**
 * What the bytes of a packed batch's values mean, so that a sink can copy them without decoding: `bytes` is anything (a
 * line of a log), `json` is one JSON text without schema, `other` needs the converter.
 */
export type Encoding = 'bytes' | 'json' | 'other'

/**
 * The unit of I/O, acknowledgement, retry and metric, in one of two forms. `packed` is there as long as nothing has
 * looked inside: one buffer plus positions. `records()` makes objects, once, for whoever must. A task that can work on
 * the packed form takes it when it is there and falls back to the records when it is not.
 */
export interface SinkBatch {
  readonly topic: string
  readonly partition: number
  readonly count: number
  /** Undefined as soon as a transform has touched the batch. Offsets are set; filtered records are simply not in it. */
  readonly packed: PackedRecords | undefined
  /** What the packed values are; meaningless without `packed`. */
  readonly encoding: Encoding
  /** In offset order. Throws RecordError for a record that does not decode, when the policy says fail. */
  records(): readonly SinkRecord[]
  /** Where the log goes on behind this batch, filtered and skipped records included. */
  readonly nextOffset: number
}

/**
 * What one poll brought, in order. Packed for what is already bytes (lines), records for what has structure. A packed
 * part is one topic's.
 */
export type SourcePart = PackedPart | RecordsPart

export interface PackedPart {
  readonly kind: 'packed'
  readonly topic: string
  /** Undefined: by `orderKey`, else by each record's key, else whole batches in turn. */
  readonly partition?: number | undefined
  /**
   * Parts with one order key go to one partition (murmur2 of it): how a source keeps the order of a source partition
   * without giving its records keys.
   */
  readonly orderKey?: string | undefined
  /** What keys and values are; `bytes` when it is not said. */
  readonly encoding?: 'bytes' | 'json' | undefined
  readonly packed: PackedRecords
}

export interface RecordsPart {
  readonly kind: 'records'
  /** As in PackedPart, for records that name no partition. */
  readonly orderKey?: string | undefined
  readonly records: ConnectRecord[]
}
