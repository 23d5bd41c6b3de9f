import type { EventBatch, Events, TableEvents } from './events/index.ts'
import type { RowHandler, SnapshotSource, SnapshotTable } from './snapshot/index.ts'
import type { Tuple } from './tuple.ts'

/** Makes events of the rows that a snapshot reads. */
export class SnapshotRows implements RowHandler {
  readonly #events: Events
  readonly #batch: EventBatch
  readonly #tables = new WeakMap<SnapshotTable, TableEvents>()

  constructor(events: Events, batch: EventBatch) {
    this.#events = events
    this.#batch = batch
  }

  get full(): boolean {
    return this.#batch.full
  }

  row(table: SnapshotTable, row: Tuple, source: SnapshotSource): void {
    let events = this.#tables.get(table)
    if (events === undefined) {
      events = this.#events.table(table.relation, table.info)
      this.#tables.set(table, events)
    }
    events.read(row, source, this.#batch)
  }
}
