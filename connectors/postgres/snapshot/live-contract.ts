import type pg from 'pg'
import type { Clock, Logger, Random, SourceCheckpoint, TaskSignal } from '../../../runtime/api/index.ts'
import type { CommittedTransaction, LogicalMessage, OldRow } from '../changes.ts'
import type { Relation } from '../relation.ts'
import type { SnapshotOptions } from '../snapshot-options.ts'
import type { TableInfo } from '../table-info.ts'
import type { Tuple } from '../tuple.ts'
import type { SnapshotPlan } from './plan.ts'
import type { NeededColumns, RowHandler } from './rows.ts'

export interface LiveSnapshotParts {
  /** A connection of its own for each call, with the settings that every session has; it is closed here. */
  readonly connect: () => Promise<pg.Client>
  /** The same for the replication protocol: tables without a key need a temporary slot. */
  readonly replication: () => Promise<pg.Client>
  /** `topic.prefix`, which names the connector's checkpoints. */
  readonly server: string
  readonly checkpoints: readonly SourceCheckpoint[]
  /** `live` (with those that the initial one left as rewritten) and `skipped` are looked at. */
  readonly plan: Pick<SnapshotPlan, 'live' | 'skipped'>
  /** All captured tables, as they are now; signals choose among them. */
  readonly tables: () => readonly TableInfo[]
  /** From the catalogue, read anew; undefined for one that is gone. */
  readonly table: (oid: number) => Promise<TableInfo | undefined>
  readonly options: SnapshotOptions
  /** The stream sends values in the binary form: rows are read so too, since keys of both are compared. */
  readonly binary: boolean
  readonly generatedColumns: boolean
  readonly needed?: NeededColumns | undefined
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly report: (facts: Readonly<Record<string, string | number>>) => void
  readonly count: (name: string, by?: number) => void
  /** `ready` has become true, perhaps while the stream is waited for. */
  readonly wake: () => void
}

/**
 * Tables that are read while the stream runs. Everything that the stream tells must be told here too, in its order (what
 * was passed over as told by an earlier run must not).
 */
export interface LiveSnapshots {
  begin(transaction: CommittedTransaction): void
  /** An insert (`old` undefined), an update, or a delete (`row` undefined). Costs next to nothing while nothing is read. */
  changed(relation: Relation, old: OldRow | undefined, row: Tuple | undefined): void
  /** An update that no event is made of. */
  leftOut(relation: Relation, old: OldRow | undefined, row: Tuple): void
  truncated(relations: readonly Relation[]): void
  /** Messages with a prefix that begins with `kts-connect.`. */
  message(message: LogicalMessage): void
  /** Rows wait (or an error): the stream must not go on (`full`) before `read` has told them. */
  readonly ready: boolean
  /** Tells rows until `rows.full` or until there are none. Rejects with what went wrong in reading. */
  read(rows: RowHandler, signal: AbortSignal): Promise<void>
  /**
   * What has changed since the last call, to be committed together with the stream's position; [] for nothing. Undefined
   * in the midst of a chunk: nothing may be committed yet, the position neither.
   */
  checkpoints(): SourceCheckpoint[] | undefined
  /** There is something to commit, if only a request: do not stay idle. */
  readonly changedState: boolean
  committed(checkpoints: readonly SourceCheckpoint[]): void
  /** As SourceTask.signal; resolves once the request is durable. */
  signal(signal: TaskSignal): Promise<string>
  /**
   * Tables that are new among the captured ones: they are read in their turn, but for those of which all rows are in the
   * stream (`streamed`), which are written down as read.
   */
  add(tables: readonly TableInfo[], streamed: readonly TableInfo[]): void
  /** Tables that are captured no more: they are not read on, and nothing of them is written down. */
  forget(tables: readonly TableInfo[]): void
  close(): Promise<void>
}
