import type { OldRow } from '../changes.ts'
import { NULL, type Tuple, UNCHANGED } from '../tuple.ts'
import type { ChangeSource } from './change-source.ts'
import type { EventBatch } from './event-batch.ts'
import type { EventForm } from './event-form.ts'
import type { TableShape } from './table-shape.ts'

/** Which changes are left out, and whether deletes are followed by a tombstone. */
export interface EventRules {
  /** Letters of operations: `c`, `u`, `d`, `t`. */
  readonly skipped: ReadonlySet<string>
  readonly tombstones: boolean
  /** Updates that changed nothing of the row are left out. */
  readonly skipsUnchanged: boolean
}

/** Makes the events of one table's changes, as the table is defined now. */
export class TableEvents {
  readonly #shape: TableShape
  readonly #form: EventForm
  readonly #rules: EventRules
  readonly #skipsInserts: boolean
  readonly #skipsUpdates: boolean

  constructor(shape: TableShape, form: EventForm, rules: EventRules) {
    this.#shape = shape
    this.#form = form
    this.#rules = rules
    this.#skipsInserts = rules.skipped.has('c')
    this.#skipsUpdates = rules.skipped.has('u')
  }

  get topic(): string {
    return this.#shape.topic
  }

  /** Indexes into the relation, in the order of the key. */
  get keyColumns(): readonly number[] {
    return this.#shape.keyColumns
  }

  /** Every column can come in its binary form. */
  get binary(): boolean {
    return this.#shape.binary
  }

  insert(row: Tuple, source: ChangeSource, into: EventBatch): void {
    if (!this.#skipsInserts) this.#form.add('c', undefined, row, undefined, undefined, source, into)
  }

  /** A row of a snapshot. */
  read(row: Tuple, source: ChangeSource, into: EventBatch): void {
    this.#form.add('r', undefined, row, undefined, undefined, source, into)
  }

  /** A change of the key is a delete and an insert, each with the other's key in a header. False: it is left out. */
  update(old: OldRow | undefined, row: Tuple, source: ChangeSource, into: EventBatch): boolean {
    if (this.#skipsUpdates) return false
    const earlier = old?.tuple
    if (earlier === undefined || !this.#keyChanged(earlier, row)) {
      if (this.#rules.skipsUnchanged && old?.kind === 'full' && this.#isSameRow(old.tuple, row)) return false
      this.#form.add('u', old, row, earlier, undefined, source, into)
      return true
    }
    this.#form.add('d', old, undefined, undefined, { header: '__debezium.newkey', row, earlier }, source, into)
    if (this.#rules.tombstones) this.#form.addTombstone(into)
    const moved = { header: '__debezium.oldkey', row: earlier, earlier: undefined } as const
    this.#form.add('c', undefined, row, earlier, moved, source, into)
    return true
  }

  delete(old: OldRow, source: ChangeSource, into: EventBatch): void {
    if (this.#rules.skipped.has('d')) return
    this.#form.add('d', old, undefined, undefined, undefined, source, into)
    if (this.#rules.tombstones) this.#form.addTombstone(into)
  }

  truncate(source: ChangeSource, into: EventBatch): void {
    if (!this.#rules.skipped.has('t')) this.#form.add('t', undefined, undefined, undefined, undefined, source, into)
  }

  #isSameRow(old: Tuple, row: Tuple): boolean {
    return this.#shape.row.indexes.every(i => isSame(old, row, i))
  }

  #keyChanged(old: Tuple, row: Tuple): boolean {
    return this.#shape.comparedColumns.some(i => !isSame(old, row, i))
  }
}

function isSame(old: Tuple, row: Tuple, i: number): boolean {
  const kind = row.kinds[i]!
  if (kind === UNCHANGED) return true
  if (kind !== old.kinds[i]) return false
  if (kind === NULL) return true
  return old.bytes.compare(row.bytes, row.starts[i], row.ends[i], old.starts[i], old.ends[i]) === 0
}
