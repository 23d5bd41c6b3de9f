import type { Lsn } from './lsn.ts'
import type { Relation } from './relation.ts'
import type { Tuple } from './tuple.ts'

/** A transaction, once it is known that it was committed: nothing is told before. */
export interface CommittedTransaction {
  readonly xid: number
  /** Of the commit record (Begin's final_lsn): transactions come in the order of this. */
  readonly commitLsn: Lsn
  /** Microseconds since 1970. */
  readonly commitTime: number
  /** Where it was made, if it came by replication itself (message Origin). */
  readonly origin: { readonly name: string; readonly lsn: Lsn } | undefined
}

/** How an old row came: not at all, as the columns of the replica identity alone, or whole (REPLICA IDENTITY FULL). */
export type OldRow = { readonly kind: 'key' | 'full'; readonly tuple: Tuple }

/**
 * Is told committed changes in commit order. Everything is told once per transaction and in one order whenever it is
 * decoded, so a position is a commit's LSN and the number of changes behind it (every insert, update, delete, truncated
 * relation and transactional message counts one, whatever filters make of it). Tuples and buffers are valid during the
 * call only.
 */
export interface ChangeHandler {
  begin(transaction: CommittedTransaction): void
  /** Before the first change of a table, and after each change of its definition. The next call waits for it. */
  relation(relation: Relation): void | Promise<void>
  /** `lsn` is that of the change itself. */
  insert(relation: Relation, row: Tuple, lsn: Lsn): void
  update(relation: Relation, old: OldRow | undefined, row: Tuple, lsn: Lsn): void
  delete(relation: Relation, old: OldRow, lsn: Lsn): void
  truncate(
    relations: readonly Relation[],
    options: { readonly cascade: boolean; readonly restartIdentity: boolean },
    lsn: Lsn,
  ): void
  /**
   * A logical message. One that is not transactional comes outside of any transaction, when it is decoded. The next call
   * waits for it.
   */
  message(message: LogicalMessage): void | Promise<void>
  /** `endLsn` is behind the commit record: what may be confirmed once all this is durable. */
  commit(transaction: CommittedTransaction, endLsn: Lsn): void
  /** True: no more for now, the stream stops in front of the next call. */
  readonly full: boolean
}

export interface LogicalMessage {
  readonly transactional: boolean
  readonly lsn: Lsn
  readonly prefix: string
  readonly content: Buffer
}
