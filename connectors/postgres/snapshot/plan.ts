import type { SourceCheckpoint } from '../../../runtime/api/index.ts'
import type { SnapshotOptions } from '../snapshot-options.ts'
import type { TableInfo } from '../table-info.ts'
import { readProgress } from './progress.ts'

/** Which tables are read, and how. Those in no list are done, or not asked for. */
export interface SnapshotPlan {
  /** From the exported snapshot of a slot that is made now; empty when there is none to make, or nothing to read. */
  readonly initial: readonly TableInfo[]
  /** While streaming: what an earlier run left, new tables, and with `always` every table. */
  readonly live: readonly TableInfo[]
  /** With `no_data`: are written down as done, so that another mode later does not take them for new. */
  readonly skipped: readonly TableInfo[]
  /** False: the connector is finished behind the initial snapshot. */
  readonly stream: boolean
}

export interface PlanParts {
  readonly options: Pick<SnapshotOptions, 'snapshot.mode' | 'snapshot.include.collection.list'>
  /** `topic.prefix`, which names the connector's checkpoints. */
  readonly server: string
  readonly checkpoints: readonly SourceCheckpoint[]
  /** All that are captured. */
  readonly tables: readonly TableInfo[]
  /**
   * Does the stream go on from a committed position? False at the very first start, and where the slot was lost and the
   * mode is `when_needed`: a slot is made, and all is read. With `initial_only` there is no stream to go on, so a snapshot
   * that a kill cut short begins again, with a slot of its own.
   */
  readonly resumes: boolean
}

export function planSnapshots(parts: PlanParts): SnapshotPlan {
  const { options, tables } = parts
  const mode = options['snapshot.mode']
  const wanted = tables.filter(included(options['snapshot.include.collection.list']))
  const done = new Set(readProgress(parts.server, parts.checkpoints).flatMap(p => (p.done && !p.adHoc ? [p.of] : [])))
  const left = wanted.filter(table => !done.has(table.oid))
  const none = { initial: [], live: [], skipped: [], stream: true }
  if (mode === 'no_data') return { ...none, skipped: left }
  if (mode === 'initial_only') return { ...none, initial: left.length === 0 ? [] : wanted, stream: false }
  if (!parts.resumes) return { ...none, initial: wanted }
  return { ...none, live: mode === 'always' ? wanted : left }
}

/** Is a table to be snapshotted, by `snapshot.include.collection.list`? */
export function included(patterns: readonly string[]): (table: TableInfo) => boolean {
  const expressions = patterns.map(pattern => new RegExp(`^(?:${pattern})$`, 'i'))
  return ({ schema, table }) => expressions.length === 0 || expressions.some(e => e.test(`${schema}.${table}`))
}
