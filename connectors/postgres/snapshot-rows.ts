import type { EventBatch, Events, TableEvents } from './events/index.ts'
import type { RowHandler, SnapshotSource, SnapshotTable } from './snapshot/index.ts'
import type { Tuple } from './tuple.ts'

/** Makes events of the rows that a snapshot reads. */
export class SnapshotRows implements RowHandler {
  readonly #events: Events
  readonly #batch: EventBatch
  readonly #tables = new WeakMap<SnapshotTable, TableEvents>()
  // Those of the last row: the next is mostly of the same table.
  #table: SnapshotTable | undefined
  #tableEvents: TableEvents | undefined

  constructor(events: Events, batch: EventBatch) {
    this.#events = events
    this.#batch = batch
  }

  get full(): boolean {
    return this.#batch.full
  }

  row(table: SnapshotTable, row: Tuple, source: SnapshotSource): void {
    if (table !== this.#table) {
      this.#tableEvents = this.#eventsOf(table)
      this.#table = table
    }
    this.#tableEvents!.read(row, source, this.#batch)
  }

  #eventsOf(table: SnapshotTable): TableEvents {
    let events = this.#tables.get(table)
    if (events === undefined) {
      events = this.#events.table(table.relation, table.info)
      this.#tables.set(table, events)
    }
    return events
  }
}
