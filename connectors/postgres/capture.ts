import type { ChangeHandler, CommittedTransaction, LogicalMessage, OldRow } from './changes.ts'
import type { ChangeSource } from './events/change-source.ts'
import type { EventBatch, Events, TableEvents } from './events/index.ts'
import type { Lsn } from './lsn.ts'
import type { StreamPosition } from './position.ts'
import type { Relation } from './relation.ts'
import type { LiveSnapshots } from './snapshot/index.ts'
import type { TableInfo } from './table-info.ts'
import type { Tuple } from './tuple.ts'

export interface CaptureParts {
  readonly events: Events
  readonly batch: EventBatch
  /** Takes what was told before the last stop, to count it as it was counted then. */
  readonly discarded: EventBatch
  /** Undefined for a table that is not captured. */
  readonly tableOf: (relation: Relation) => Promise<TableInfo | undefined>
  /** Tables that are read while the stream runs: they look for rows that change meanwhile. */
  readonly live: LiveSnapshots
  /** The stream sends values in their binary form. */
  readonly binary: boolean
  readonly position: StreamPosition
  /** Hears of each table that the stream tells to be truncated, and by which transaction. */
  readonly truncated: (oid: number, xid: number) => void
}

/** Messages of our own, which are no events: `pg_logical_emit_message` with these prefixes. */
export const OWN_MESSAGES = 'kts-connect.'

/**
 * Makes events of the stream's changes, each once: what lies before the position is passed over. Changes are counted
 * before any filter, so that a position means the same under another configuration.
 */
export class Capture implements ChangeHandler {
  readonly #parts: CaptureParts
  readonly #tables = new Map<number, TableEvents | undefined>()
  /** As of the last whole transaction, or where the connector began. Changed in place, since every commit does. */
  readonly #position: { -readonly [K in keyof StreamPosition]: StreamPosition[K] }
  #transaction: CommittedTransaction | undefined
  /** Changes of the open transaction that were told to us. */
  #index = 0
  /** How many of them are behind since an earlier run; infinite when the whole transaction is. */
  #behind = 0
  #needsText = false

  constructor(parts: CaptureParts) {
    this.#parts = parts
    this.#position = { ...parts.position }
  }

  get full(): boolean {
    const { batch, live } = this.#parts
    return batch.halfFull || live.ready || this.#needsText
  }

  /** Behind everything that is in the batch. */
  get position(): StreamPosition {
    if (this.#transaction === undefined || this.#behind === Infinity) return { ...this.#position }
    const { commitLsn, commitTime } = this.#transaction
    return { ...this.#position, commitLsn, commitTime, changes: Math.max(this.#index, this.#behind) }
  }

  /** A table has a column that is known in its text form only: the stream is to be opened anew for it. */
  get needsText(): boolean {
    return this.#needsText
  }

  /** Everything committed below `lsn` was told: the server says so of a stretch without changes for us. */
  passed(lsn: Lsn): void {
    if (this.#transaction === undefined && lsn > this.#position.end) this.#position.end = lsn
  }

  begin(transaction: CommittedTransaction): void {
    const { commitLsn, changes } = this.#position
    this.#transaction = transaction
    this.#index = 0
    if (transaction.commitLsn > commitLsn) this.#behind = 0
    else this.#behind = transaction.commitLsn === commitLsn ? (changes ?? Infinity) : Infinity
    if (this.#behind === Infinity) return
    this.#parts.events.begin(transaction)
    this.#parts.live.begin(transaction)
  }

  async relation(relation: Relation): Promise<void> {
    const { tableOf, events, binary } = this.#parts
    const info = await tableOf(relation)
    const table = info === undefined ? undefined : events.table(relation, info)
    this.#tables.set(relation.oid, table)
    if (binary && table?.binary === false) this.#needsText = true
  }

  insert(relation: Relation, row: Tuple, lsn: Lsn): void {
    const into = this.#next()
    const table = this.#tables.get(relation.oid)
    if (into === undefined || table === undefined) return
    if (into === this.#parts.batch) this.#parts.live.changed(relation, undefined, row)
    table.insert(row, this.#source(lsn), into)
  }

  update(relation: Relation, old: OldRow | undefined, row: Tuple, lsn: Lsn): void {
    const into = this.#next()
    const table = this.#tables.get(relation.oid)
    if (into === undefined || table === undefined) return
    const isTold = table.update(old, row, this.#source(lsn), into)
    if (into !== this.#parts.batch) return
    if (isTold) this.#parts.live.changed(relation, old, row)
    else this.#parts.live.leftOut(relation, old, row)
  }

  delete(relation: Relation, old: OldRow, lsn: Lsn): void {
    const into = this.#next()
    const table = this.#tables.get(relation.oid)
    if (into === undefined || table === undefined) return
    if (into === this.#parts.batch) this.#parts.live.changed(relation, old, undefined)
    table.delete(old, this.#source(lsn), into)
  }

  truncate(relations: readonly Relation[], _options: object, lsn: Lsn): void {
    let into: EventBatch | undefined
    for (const _ of relations) into = this.#next()
    if (into === undefined) return
    const tables = relations.flatMap(relation => this.#tables.get(relation.oid) ?? [])
    if (tables.length === 0) return
    if (into === this.#parts.batch) {
      this.#parts.live.truncated(relations)
      for (const { oid } of relations) this.#parts.truncated(oid, this.#transaction!.xid)
    }
    this.#parts.events.truncate(tables, this.#source(lsn), into)
  }

  message(message: LogicalMessage): void {
    const { events, live, batch } = this.#parts
    if (!message.transactional && message.lsn <= this.#position.messageLsn) return
    const into = message.transactional ? this.#next() : batch
    if (!message.transactional) this.#position.messageLsn = message.lsn
    if (into === undefined) return
    const transaction = message.transactional ? this.#transaction : undefined
    if (!message.prefix.startsWith(OWN_MESSAGES)) events.message(message, transaction, into)
    else if (into === batch) live.message(message)
  }

  commit(transaction: CommittedTransaction, endLsn: Lsn): void {
    const { events, batch } = this.#parts
    const position = this.#position
    position.end = Math.max(position.end, endLsn)
    if (this.#behind < Infinity) {
      events.commit(transaction, endLsn, batch)
      position.commitLsn = transaction.commitLsn
      position.commitTime = transaction.commitTime
      position.changes = undefined
      position.lastCommit = endLsn
    }
    this.#transaction = undefined
  }

  /** Counts a change; where its events go, if anywhere. */
  #next(): EventBatch | undefined {
    this.#index++
    if (this.#behind === Infinity) return undefined
    const { batch, discarded } = this.#parts
    const into = this.#index > this.#behind ? batch : discarded
    if (into === discarded && discarded.full) discarded.giveBack(discarded.take())
    return into
  }

  #source(lsn: Lsn): ChangeSource {
    const { xid, commitTime, origin } = this.#transaction!
    const lastCommitLsn = this.#position.lastCommit || undefined
    return { snapshot: 'false', lsn, lastCommitLsn, xid, commitTime, origin }
  }
}
