import type { JsonObject } from '../../../base/index.ts'
import type { GroupOffset } from '../../../broker/index.ts'

/**
 * What the workload tells of itself, in the order in which it happened: the ledger is made of these alone. Plain data, so a
 * child process can write them to a file that outlives its kill. What is asked is told before the call, what was
 * acknowledged behind it.
 */
export type Event =
  | { readonly kind: 'begin'; readonly transaction: string; readonly atomic: boolean }
  | {
      readonly kind: 'add'
      readonly transaction: string
      readonly topic: string
      readonly partition: number
      readonly count: number
    }
  | {
      readonly kind: 'commit'
      readonly transaction: string
      readonly checkpoints: readonly { readonly partition: JsonObject; readonly value: JsonObject | null }[]
      readonly offsets: readonly GroupOffset[]
    }
  /** `unknown`: it may be either, and the next look at the checkpoints decides. */
  | { readonly kind: 'ended'; readonly transaction: string; readonly how: 'committed' | 'aborted' | 'unknown' }
  | {
      readonly kind: 'read'
      readonly topic: string
      readonly partition: number
      readonly committed: boolean
      /** Offset and digest of each record. */
      readonly records: readonly (readonly [number, string])[]
      readonly logStartOffset: number
      readonly highWatermark: number
    }
  | { readonly kind: 'delete'; readonly topic: string; readonly partition: number; readonly offset: number }
  | { readonly kind: 'deleted'; readonly topic: string; readonly partition: number; readonly logStartOffset: number }

/** The writer whose records carry no producer and stay when its transaction does not end well. */
export const AT_LEAST_ONCE = 'plain'

export type Tell = (event: Event) => void

/** The writer of a transaction, which is also the connector of its checkpoints; its group is `group-<writer>`. */
export function writerOf(transaction: string): string {
  return transaction.slice(0, transaction.lastIndexOf('.'))
}

export function groupOf(writer: string): string {
  return `group-${writer}`
}
