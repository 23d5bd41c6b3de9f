import type { SourceBatch } from './api/index.ts'

/** KIP-618's `transaction.boundary`. */
export type TransactionBoundary = 'poll' | 'interval' | 'connector'

type Ending = Pick<SourceBatch, 'checkpoints' | 'transaction'>

/** Batches that go into the open transaction, and what becomes of it then; undefined: it stays open. */
export interface Cut<B extends Ending> {
  readonly batches: readonly B[]
  readonly end: 'commit' | 'abort' | undefined
}

/**
 * Cuts what was polled where transactions end, in order.
 *
 * - `poll` and `interval`: behind the last batch with positions, where the source may resume, once a commit is `due`.
 * - `connector`: where the batches say. Transactions that commit one after the other become one, which no reader can tell
 *   from several that became visible at once; one that aborts stays alone.
 */
export function cutAtBoundaries<B extends Ending>(
  batches: readonly B[],
  boundary: TransactionBoundary,
  due: boolean,
): readonly Cut<B>[] {
  if (boundary === 'connector') return cutWhereTold(batches)
  if (!due) return [{ batches, end: undefined }]
  const whole = batches.findLastIndex(batch => batch.checkpoints.length > 0) + 1
  return withoutEmpty([
    { batches: batches.slice(0, whole), end: 'commit' },
    { batches: batches.slice(whole), end: undefined },
  ])
}

function cutWhereTold<B extends Ending>(batches: readonly B[]): readonly Cut<B>[] {
  const cuts: Cut<B>[] = []
  let committing = 0
  let start = 0
  for (const [i, { transaction }] of batches.entries()) {
    if (transaction === undefined) continue
    if (transaction === 'abort') {
      cuts.push({ batches: batches.slice(committing, start), end: 'commit' })
      cuts.push({ batches: batches.slice(start, i + 1), end: 'abort' })
      committing = i + 1
    }
    start = i + 1
  }
  cuts.push({ batches: batches.slice(committing, start), end: 'commit' })
  cuts.push({ batches: batches.slice(start), end: undefined })
  return withoutEmpty(cuts)
}

function withoutEmpty<B extends Ending>(cuts: readonly Cut<B>[]): readonly Cut<B>[] {
  return cuts.filter(cut => cut.batches.length > 0)
}
