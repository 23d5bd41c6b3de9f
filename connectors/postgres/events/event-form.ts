import type { OldRow } from '../changes.ts'
import type { Tuple } from '../tuple.ts'
import type { ChangeSource } from './change-source.ts'
import type { EventBatch } from './event-batch.ts'

export type Operation = 'c' | 'r' | 'u' | 'd' | 't'

/** What the event of a row becomes: JSON text, or a record with schemas. Both say the same. */
export interface EventForm {
  /**
   * One event. Its key is that of `after`, else of `before`. `earlier` has the values of `after` that were not sent again.
   * `moved` is given for the two halves of a change of key: the other half's row, whose key goes into a header.
   */
  add(
    operation: Operation,
    before: OldRow | undefined,
    after: Tuple | undefined,
    earlier: Tuple | undefined,
    moved: Moved | undefined,
    source: ChangeSource,
    into: EventBatch,
  ): void
  /** Behind the delete that was added last: its key and headers again, without value. */
  addTombstone(into: EventBatch): void
}

export interface Moved {
  readonly header: '__debezium.newkey' | '__debezium.oldkey'
  readonly row: Tuple
  readonly earlier: Tuple | undefined
}
