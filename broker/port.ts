import type { CodecName, JsonObject, PackedRecords } from '../base/index.ts'

/**
 * The broker's port: what the runtime knows of a log, whichever engine is behind it. `embedded` keeps the log on local
 * disk in this process; `kafka` will be a cluster through a client library; test/support has one in memory. All pass one
 * contract suite (test/contract/broker.ts). The port shows no file, no segment and no synchronous end
 * offset, and nothing here is per record.
 *
 * Every method may reject with a KtsError whose code is in broker/errors.ts.
 */
export interface Broker {
  /** `embedded`, `kafka`, or what a test made. */
  readonly engine: string
  /**
   * Creates what is missing and applies changed settings; answers how the topic stands. Partitions are never removed. A
   * change that would delete records, or part those of a key, rejects with DESTRUCTIVE_CHANGE unless it is allowed.
   */
  ensureTopic(topic: TopicSpec, options?: EnsureOptions): Promise<TopicDescription>
  /** Rejects as `ensureTopic` would, and changes nothing. */
  checkTopic(topic: TopicSpec, options?: EnsureOptions): Promise<void>
  /** With all its records and the positions of its groups. Who reads it gets UNKNOWN_TOPIC_OR_PARTITION. */
  deleteTopic(name: string): Promise<void>
  /** Deletes the records below `offset` (-1: all that are readable) and answers the new start of the log. */
  deleteRecords(topic: string, partition: number, offset: number): Promise<number>
  /** Undefined when there is none. */
  topic(name: string): Promise<TopicDescription | undefined>
  /** In order of name; internal topics included and marked. */
  topics(): Promise<readonly TopicDescription[]>
  /** Offsets of one partition as they stand now, and the bytes it holds (-1: the engine cannot tell). */
  partition(topic: string, partition: number): Promise<PartitionDescription>
  /**
   * The first offset whose record has `timestamp` or a later one (exact to the record, as ListOffsets), or undefined.
   */
  offsetForTime(topic: string, partition: number, timestamp: number): Promise<number | undefined>

  /**
   * The only way to write. Opening a writer fences every earlier one with the same `id`: their calls reject with FENCED.
   * Whatever they left undecided is completed or aborted before this resolves, so checkpoints and offsets read
   * afterwards are final. Rejects with STORAGE_FAILED where that cannot be done before the log is opened again.
   */
  writer(id: string, options?: WriterOptions): Promise<Writer>
  /**
   * A member of group `subscription.group`, which shares the partitions among its members. A second one under the same
   * member name fences the first.
   */
  subscribe(subscription: Subscription): Promise<Reader>
  /** Reads without a group: one partition from `offset`. For tools, tests and internal topics. */
  read(topic: string, partition: number, offset: number, options: ReadOptions): Promise<ReadResult>

  /** Positions that `group` has committed, as the last commit left them. */
  committed(group: string): Promise<readonly GroupOffset[]>
  /** Every group that has committed anything. */
  groups(): Promise<readonly string[]>
  /**
   * Forgets every position of a group, as Kafka's DeleteGroups; nothing where it has none. Rejects with FENCED while it has
   * members.
   */
  forgetGroup(group: string): Promise<void>
  /** Newest checkpoints of a connector: a source's positions, or a sink's state by topic and partition. */
  checkpoints(connector: string): Promise<readonly Checkpoint[]>

  /**
   * Retention holds what these groups have not committed in the topics they read (DESIGN 3). The worker names its sinks
   * here before anything is deleted; each call replaces the set.
   */
  holdFor(consumers: readonly Consumer[]): Promise<void>
  /** False while the disk is below its reserve: sources pause, sinks go on. */
  acceptsAppends(): boolean
  /** Finishes what was committed, refuses the rest with CLOSED. */
  close(): Promise<void>
}

export interface TopicSpec {
  readonly name: string
  /** Undefined: the broker's `num.partitions`. */
  readonly partitions?: number | undefined
  /** Kafka's topic settings in its own names, as strings (`retention.ms`, `compression.type`, ...). */
  readonly configs: Readonly<Record<string, string>>
}

export interface EnsureOptions {
  /** Also what deletes records or parts those of a key. */
  readonly allowDestructive?: boolean
}

export interface TopicDescription {
  readonly name: string
  /** 16 random bytes in base64url, as Kafka's topic id. */
  readonly id: string
  readonly partitions: number
  readonly internal: boolean
  /** As given, without defaults. */
  readonly configs: Readonly<Record<string, string>>
}

export interface PartitionDescription {
  readonly logStartOffset: number
  /** Highest readable offset + 1: nothing at or behind it is durable yet. */
  readonly highWatermark: number
  /** First offset of the oldest undecided transaction; equals highWatermark when there is none. */
  readonly lastStableOffset: number
  readonly bytes: number
  /** Offsets that retention deleted before a configured sink had committed them, since the start; absent where unknown. */
  readonly unconsumedDeleted?: number
}

export interface WriterOptions {
  /**
   * Default true. False is at least once, as Connect's `exactly.once.source.support: disabled`: records are written as they
   * come, readable once they are durable, and stay when the transaction is aborted; checkpoints and offsets follow them.
   */
  readonly transactional?: boolean
  /**
   * Milliseconds from the first append of a transaction; an older one that is still open is aborted, and its writer
   * fenced with TRANSACTION_TIMED_OUT. 1 to 900,000 (Kafka's `transaction.max.timeout.ms`), default 60,000.
   */
  readonly transactionTimeoutMs?: number
  /** For topics that say `compression.type: producer`; default none. */
  readonly compression?: CodecName
}

/** One writer has at most one open transaction at a time, as a Kafka producer has. */
export interface Writer {
  readonly id: string
  /** Rejects with FENCED when a newer writer has taken the id. One at a time: a second begin is our own bug. */
  begin(): Promise<Transaction>
  /** Aborts what is open. */
  close(): Promise<void>
}

/**
 * Appends, checkpoints and group offsets that become visible and durable together, or not at all: whatever happens, a
 * reader of committed records never sees a part of them. While it is open, records that others commit behind its own in
 * a partition may wait for its end, as in Kafka.
 */
export interface Transaction {
  /**
   * Adds one batch behind the earlier ones of the same partition; nothing is readable before the commit. The records'
   * bytes belong to the transaction until it ends. Resolves when the engine can take more: awaiting it is the
   * back-pressure. Keys, values, headers and timestamps are kept as they are, timestamps of -1 become the append time.
   * UNKNOWN_TOPIC_OR_PARTITION, INVALID_RECORD and MESSAGE_TOO_LARGE leave nothing of the call, and the transaction goes
   * on; after any other rejection it can only be aborted.
   */
  append(topic: string, partition: number, records: PackedRecords): Promise<void>
  /** Replaces the connector's checkpoints of the same partitions; a null value forgets one. */
  checkpoint(entries: readonly Checkpoint[]): void
  /** Moves the group's positions. `group` as the Reader gave it, so a cluster can fence a member that lost its place. */
  offsets(group: GroupMember, offsets: readonly GroupOffset[]): void
  /**
   * Durable when it resolves, in full. A rejection has aborted the transaction; with code COMMIT_UNKNOWN it may be either:
   * reopen and read back.
   */
  commit(): Promise<void>
  /** No reader of committed records sees anything of it. */
  abort(): Promise<void>
}

/**
 * What a connector needs to go on after a restart. A source keys it by source partition, a sink by topic and partition
 * (`{"kafka_topic": ..., "kafka_partition": ...}`, as Connect's offsets endpoint shows them). Keyed by connector, not by
 * task, so changing `tasks.max` strands nothing. Stored as Connect stores source offsets: key `["connector",{...}]`.
 */
export interface Checkpoint {
  readonly connector: string
  readonly partition: JsonObject
  readonly value: JsonObject | null
}

export interface GroupOffset {
  readonly topic: string
  readonly partition: number
  /** The next offset to read. */
  readonly offset: number
  /** Free text, kept as given; empty when there is none. */
  readonly metadata: string
}

export interface Consumer {
  readonly group: string
  readonly topics: readonly string[]
  readonly topicsRegex?: RegExp | undefined
}

export interface Subscription extends Consumer {
  /** Unique within the group; the connector's task id. */
  readonly member: string
  readonly isolation: 'read_committed' | 'read_uncommitted'
  /** Where a partition without a committed position begins. A position outside the log never falls back to this. */
  readonly reset: 'earliest' | 'latest'
  /** Most bytes of one partition in one poll; one batch is always returned whole. */
  readonly partitionBytesMax: number
  /** Most bytes in one poll. */
  readonly bytesMax: number
}

export interface GroupMember {
  readonly group: string
  readonly member: string
  readonly generation: number
}

/** Owned by one loop: calls must not overlap. */
export interface Reader {
  /** Changes with every assignment. */
  readonly group: GroupMember
  /**
   * What happened next: a change of assignment, records, or nothing within `waitMs`. Partitions are lost for good only at
   * the following poll: until then offsets may still be committed for them. Positions move past what is returned.
   * Rejects with OFFSET_OUT_OF_RANGE when a position lies outside the log (with the lost range in `details`), and with
   * CORRUPT_MESSAGE when the next batch is damaged; never skips in silence.
   */
  poll(waitMs: number, signal: AbortSignal): Promise<ReaderEvent>
  /**
   * Where the next poll reads a partition that this reader owns: behind what was returned, and behind markers and aborted
   * records too, which no poll returns.
   */
  position(topic: string, partition: number): number
  /** Moves a partition this reader owns. */
  seek(topic: string, partition: number, offset: number): void
  /** A paused partition stays owned and returns nothing. */
  pause(topic: string, partition: number): void
  resume(topic: string, partition: number): void
  close(): Promise<void>
}

export type ReaderEvent =
  | { readonly kind: 'assigned'; readonly partitions: readonly AssignedPartition[] }
  | { readonly kind: 'revoked'; readonly partitions: readonly TopicPosition[] }
  | { readonly kind: 'records'; readonly batches: readonly LogRecords[]; readonly release: Release }
  | { readonly kind: 'idle' }

/**
 * Gives the bytes of what was read back to the engine, which uses them again: nothing may look at the batches afterwards.
 * Need not be called; further calls do nothing.
 */
export type Release = () => void

export interface TopicPosition {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export interface AssignedPartition extends TopicPosition {
  /** Where reading begins: the committed position, or by `reset`. */
  readonly offset: number
  /** Of the committed position, as it was given; '' when there is none. */
  readonly metadata: string
}

/** Consecutive records of one partition. */
export interface LogRecords {
  readonly topic: string
  readonly partition: number
  readonly records: PackedRecords
  /** Where reading goes on: behind gaps, control and aborted records too, so it may be past the last record + 1. */
  readonly nextOffset: number
}

export interface ReadOptions {
  readonly isolation: 'read_committed' | 'read_uncommitted'
  readonly bytesMax: number
  /** Waits so long for a first record; 0 answers at once. */
  readonly waitMs: number
  readonly signal?: AbortSignal
}

export interface ReadResult extends PartitionDescription {
  /** Empty at the end of the log. */
  readonly batches: readonly LogRecords[]
  readonly release: Release
}
