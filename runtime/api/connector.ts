import type { Clock, Files, JsonObject, Logger, Random } from '../../base/index.ts'
import type { OptionProblem, OptionSpecs, OptionValues } from './options.ts'
import type { SinkBatch, SourcePart } from './record.ts'

/**
 * A connector is a value: a name, declared options, and functions. It is looked up by name in a catalogue that is handed
 * in; nothing registers itself. A task opens from plain data alone (options, checkpoint), so it can move to a thread.
 */
export interface SourceConnector<S extends OptionSpecs = OptionSpecs> {
  readonly kind: 'source'
  /** Short: `file`. */
  readonly name: string
  /** Well-known Java class names that mean this connector. */
  readonly aliases: readonly string[]
  readonly version: string
  /** One paragraph for `--help`, REST and docs. */
  readonly doc: string
  readonly options: S
  /** What its values are in the log when nobody says otherwise: the name of a converter. */
  readonly defaultConverter: 'bytes' | 'string' | 'json'
  /**
   * Which options do not fit together, although each is fine by itself; [] when all do. Pure: asked while the
   * configuration is read, so that it is told, with its place, before anything runs.
   */
  problems?(options: OptionValues<S>): readonly OptionProblem[]
  /**
   * True when tasks with these options say where transactions end (`SourceBatch.transaction`), as KIP-618's
   * canDefineTransactionBoundaries. Where it is not, `transaction.boundary: connector` is refused.
   */
  canDefineTransactionBoundaries?(options: OptionValues<S>): boolean
  /** Topics this configuration may write, for creation and for the converter's default; [] when not known before. */
  topics(options: OptionValues<S>): readonly string[]
  /** Splits the work into at most `tasksMax` tasks; each gets its own options. At least one. */
  plan(options: OptionValues<S>, tasksMax: number): readonly OptionValues<S>[]
  /**
   * `checkpoints` are all of the connector's, so a plan may change between runs. Rejections with a retriable code are
   * tried again with back-off.
   */
  open(options: OptionValues<S>, checkpoints: readonly SourceCheckpoint[], context: TaskContext): Promise<SourceTask>
  /** `validate --connect`: rejects with what is missing and how to mend it. */
  check?(options: OptionValues<S>, context: CheckContext): Promise<void>
  /**
   * `kts-connect delete`: takes back what the connector made in the system it reads, and answers what it did, a line each.
   * No task of it runs. Its checkpoints are forgotten afterwards.
   */
  cleanUp?(options: OptionValues<S>, request: CleanUpRequest, context: CheckContext): Promise<readonly string[]>
}

export interface CleanUpRequest {
  readonly checkpoints: readonly SourceCheckpoint[]
  /** `--drop-slot`: also what the source system keeps its changes by. */
  readonly dropSlot: boolean
  /** `--offline`: the system is gone, or not to be asked. The answer is what would be left in it. */
  readonly offline: boolean
}

/**
 * A request to a running source task: Debezium's signals (`execute-snapshot`, `stop-snapshot`, `pause-snapshot`,
 * `resume-snapshot`, `log`), from the command line, REST or a signal table.
 */
export interface TaskSignal {
  readonly id: string
  readonly type: string
  readonly data: JsonObject
}

/**
 * Order, never otherwise: records and checkpoint are durable, then `committed`. Calls never overlap, but for `committed`
 * and `close`, which may come while a poll is under way.
 */
export interface SourceTask {
  /**
   * The next batch, at most about a megabyte; waits for data until `signal` aborts, then answers `idle`. Also `idle` now
   * and then while there is nothing, so the loop can breathe. After `finished` it is not called again.
   */
  poll(signal: AbortSignal): Promise<SourceBatch | 'idle' | 'finished'>
  /**
   * All polls up to and including the one that carried this checkpoint are durable: upstream may be released, and the
   * bytes of their packed parts may be used again. The objects are those of the polls. Must tolerate repeats. A
   * failure is never told: the task is closed and reopened from the committed checkpoint. Of a transaction that the task
   * itself aborted its positions are told, once they are committed.
   */
  committed?(checkpoints: readonly SourceCheckpoint[]): void | Promise<void>
  /**
   * May come at any time between `open` and `close`. Answers in a sentence what will be done; rejects with CONFIG_INVALID
   * for a signal that it does not know or cannot follow.
   */
  signal?(signal: TaskSignal): Promise<string>
  /**
   * The log is below its disk reserve (true) or has room again (false): until then there are no polls.
   */
  paused?(paused: boolean): void
  close(): Promise<void>
}

export interface SourceBatch {
  readonly parts: readonly SourcePart[]
  /**
   * Positions behind these records, by source partition; committed with them. Empty: may not resume here (inside an
   * upstream transaction), so the commit waits for a later batch.
   */
  readonly checkpoints: readonly SourceCheckpoint[]
  /**
   * Ends the transaction behind this batch; without it the next batch goes into the same one. Looked at only where
   * `TaskContext.definesTransactions`. `commit`: what was polled since the last end becomes visible together, with its
   * positions. `abort`: its records are gone for good, and its positions are committed all the same, so that they are not
   * read again (KIP-618); a task that wants them read again rejects instead.
   */
  readonly transaction?: 'commit' | 'abort' | undefined
  /** The source has more at hand: the worker may commit this batch some milliseconds later, together with what follows. */
  readonly more?: boolean | undefined
}

export interface SourceCheckpoint {
  readonly partition: JsonObject
  /** Null forgets the source partition. */
  readonly position: JsonObject | null
}

export interface SinkConnector<S extends OptionSpecs = OptionSpecs> {
  readonly kind: 'sink'
  readonly name: string
  readonly aliases: readonly string[]
  readonly version: string
  readonly doc: string
  readonly options: S
  /**
   * True when a task keeps nothing of a batch once its put has resolved: neither its packed bytes nor a byte value of its
   * records. The engine then uses the memory again, which halves the cost of reading.
   */
  readonly copiesBatches?: boolean
  /** As of a source. */
  problems?(options: OptionValues<S>): readonly OptionProblem[]
  open(options: OptionValues<S>, context: TaskContext): Promise<SinkTask>
  check?(options: OptionValues<S>, context: CheckContext): Promise<void>
}

/**
 * Calls never overlap. Order: put, then preCommit, then the commit of what it answered. What put, preCommit or drain
 * rejects with a retriable code is called again, with back-off.
 */
export interface SinkTask {
  /** Partitions this task now has, each with what the task itself last saved for it. */
  open(partitions: readonly OpenPartition[]): Promise<void>
  /**
   * Takes the batches; may buffer, and then bounds what it holds. Batches of one partition come in offset order. A
   * retriable rejection means: the same batches again, nothing was taken. RejectedRecords: all but those were taken.
   */
  put(batches: readonly SinkBatch[]): Promise<void>
  /**
   * What is durable downstream now. Called at intervals (`offset.flush.interval.ms`), before a rebalance and at a stop;
   * it may finish what is due (rotation by time), but need not force a file closed: committed offsets may lag.
   */
  preCommit(): Promise<readonly SinkProgress[]>
  /** No more records will come and the pipeline ends: makes everything that was put durable. */
  drain(): Promise<void>
  /** These partitions go; what is not durable is given up and will be delivered again. */
  closePartitions(partitions: readonly TopicPartition[]): Promise<void>
  close(): Promise<void>
}

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export interface OpenPartition extends TopicPartition {
  /** Where delivery begins. */
  readonly offset: number
  readonly state: JsonObject | null
}

export interface SinkProgress extends TopicPartition {
  /** Everything below is durable downstream; undefined leaves the committed offset. */
  readonly offset?: number | undefined
  /** Replaces the partition's durable state; undefined leaves it. Committed together with the offset. */
  readonly state?: JsonObject | null | undefined
}

export interface TaskContext {
  readonly pipeline: string
  readonly connector: string
  readonly task: number
  /** Relative paths in options were resolved against the YAML file before they came here. */
  readonly clock: Clock
  readonly random: Random
  readonly files: Files
  readonly log: Logger
  /** The process's environment, for options whose defaults stand there (`PGHOST`). Never to be printed. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** A folder of this task alone for files that it can make again; may be missing, or hold what an earlier run left. */
  readonly scratch: string
  /** Aborts when the task must stop waiting. */
  readonly signal: AbortSignal
  /** `transaction.boundary: connector`: the task's batches say where transactions end. */
  readonly definesTransactions: boolean
  /**
   * Sources: true when a topic takes plain JSON and nothing looks into its records, so that the task may pack their JSON
   * itself (`PackedPart.encoding`). What is packed otherwise is decoded again.
   */
  packsJson(topic: string): boolean
  /** Makes state durable at once, before the offsets move (DESIGN 4: the plan of an object before its upload). Sinks only. */
  saveState(progress: readonly SinkProgress[]): Promise<void>
  /** A fact for `status` and the live display, e.g. `{ 'last object': 's3://…' }`; replaces earlier values by name. */
  report(facts: Readonly<Record<string, string | number>>): void
  /** Counts an event that is neither a record nor an error: `count('lines.too.long')`. Shown in status. */
  count(name: string, by?: number): void
}

export type CheckContext = Pick<TaskContext, 'connector' | 'clock' | 'random' | 'files' | 'log' | 'env' | 'signal'>

/** A connector's options are known inside it and data outside, where connectors of all kinds stand in one catalogue. */
export function defineSource<const S extends OptionSpecs>(connector: SourceConnector<S>): SourceConnector {
  return connector as unknown as SourceConnector
}

export function defineSink<const S extends OptionSpecs>(connector: SinkConnector<S>): SinkConnector {
  return connector as unknown as SinkConnector
}
