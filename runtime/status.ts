/** What `GET /connectors/{name}/status`, `kts-connect status` and the live display show. Plain data. */
export interface WorkerStatus {
  readonly version: string
  readonly startedAt: number
  readonly dataDir: string
  readonly connectors: readonly ConnectorStatus[]
}

/** Connect's states, and FINISHED for a source that has read all there is. */
export type TaskState = 'UNASSIGNED' | 'RUNNING' | 'PAUSED' | 'FAILED' | 'RESTARTING' | 'FINISHED' | 'STOPPED'

export interface ConnectorStatus {
  readonly name: string
  readonly pipeline: string
  readonly kind: 'source' | 'sink'
  /** Short name of the connector: `file`, `s3`. */
  readonly type: string
  readonly topics: readonly string[]
  readonly state: TaskState
  readonly tasks: readonly TaskStatus[]
  readonly counters: Counters
  /** Sinks: records in the log that are not yet committed by it. */
  readonly lag: number | undefined
  /** What tasks reported: `last object`, `reading`, ... */
  readonly facts: Readonly<Record<string, string | number>>
  /** Connector-specific events: `lines.too.long`, `parse.errors`, ... */
  readonly events: Readonly<Record<string, number>>
}

export interface TaskStatus {
  readonly id: number
  readonly state: TaskState
  /** The error that failed it, first line without secrets; with how it will be restarted. */
  readonly trace: string | undefined
  readonly restarts: number
}

/**
 * Conservation, since the worker started:
 * read = logged or delivered + filtered + dead-lettered + skipped + aborted + in flight + abandoned.
 * A record's fate is counted when the commit that decides it is durable; until then it is in flight.
 */
export interface Counters {
  readonly recordsRead: number
  readonly bytesRead: number
  /** Sources: durable in the log. */
  readonly recordsLogged: number
  /** Sinks: durable downstream. */
  readonly recordsDelivered: number
  /** Sources: bytes made durable in the log. Sinks: bytes handed to the task. */
  readonly bytesOut: number
  /** Dropped by a transform. */
  readonly recordsFiltered: number
  readonly recordsDeadLettered: number
  /** Bad, and passed over because `errors.tolerance` is `all` and no dead-letter topic is named. */
  readonly recordsSkipped: number
  /** Sources: in a transaction that the connector itself aborted. */
  readonly recordsAborted: number
  /** Read, and their fate not yet durable. */
  readonly recordsInFlight: number
  /**
   * In flight when a task failed or lost its partition: they are read again, and counted again. Sinks: also read again
   * after an earlier run had committed their dead letter.
   */
  readonly recordsAbandoned: number
  readonly errors: number
  readonly retries: number
}
