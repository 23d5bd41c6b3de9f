import type { Schema } from '../../api/index.ts'
import type { FieldReference } from './field-reference.ts'

/** A value and its schema; without one where the event is plain JSON. */
export interface Typed {
  readonly value: unknown
  readonly schema: Schema | undefined
}

/** What the rows of one kind of event get besides their columns. */
export interface RowAdditions {
  /** `__deleted` is added. */
  readonly marksDeletes: boolean
  readonly references: readonly FieldReference[]
  readonly replaceNullWithDefault: boolean
}

/** How the change events of one schema, or those without any, are taken apart. */
export interface ChangeShape {
  operation(event: unknown): unknown
  /** Null where the event has no such row. */
  row(event: unknown, side: Side): unknown
  /** The record of a delete that keeps nothing of its row but its schema. */
  emptyRow(): Typed
  /** The row that goes on. Throws RecordError where an addition has the name of a column. */
  flatten(event: unknown, side: Side): Typed
  /** Name of the topic that a column holds. Throws RecordError where there is no such column of type text. */
  route(row: unknown, side: Side, column: string): string | undefined
  /** Undefined where these events have no such field. */
  read(event: unknown, reference: FieldReference): Typed | undefined
}

export type Side = 'before' | 'after'

export const NAME = 'ExtractNewRecordState'
export const DELETED = '__deleted'
