/**
 * Snapshots, as the task calls them. Two kinds, and a plan that says which tables need which:
 *
 * - the *initial* one reads before anything streams, rows of the slot's exported snapshot (`openInitialSnapshot`);
 * - *live* ones read while the stream runs: what a killed initial one left, new tables, and what signals ask for
 *   (`openLiveSnapshots`).
 *
 * The task's loop, with `handler` its ChangeHandler for the stream and `rows` its RowHandler:
 *
 * ```
 * plan = planSnapshots(…)
 * if (plan.initial) until 'finished': await initial.read(rows, signal); batch, with initial.checkpoints()
 * live = openLiveSnapshots(…, plan.live)
 * for ever: if (live.ready) await live.read(rows, signal) else await stream.read(handler, …); batch, with live.checkpoints()
 * handler: begin → live.begin; insert, update, delete, truncate, message → the same of `live`; full: batch full || live.ready
 * rows: full: batch full (and not `live.ready`, or nothing is ever told)
 * ```
 */
export { type InitialSnapshot, type InitialSnapshotParts, openInitialSnapshot } from './initial-snapshot.ts'
export { checkCondition } from './leaves.ts'
export type { LiveSnapshotParts, LiveSnapshots } from './live-contract.ts'
export { openLiveSnapshots } from './live-snapshots.ts'
export { included, planSnapshots, type SnapshotPlan } from './plan.ts'
export { readProgress, staleProgress, type TableProgress } from './progress.ts'
export {
  type NeededColumns,
  type RowHandler,
  type SnapshotMark,
  type SnapshotSource,
  type SnapshotTable,
  snapshotTable,
} from './rows.ts'
