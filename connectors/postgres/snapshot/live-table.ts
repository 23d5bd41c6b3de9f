import type { OldRow } from '../changes.ts'
import type { Lsn } from '../lsn.ts'
import type { Relation } from '../relation.ts'
import type { Tuple } from '../tuple.ts'
import type { Leaf } from './leaves.ts'
import type { Place } from './place.ts'
import type { TableProgress } from './progress.ts'
import { hasUnchanged, keyOf, type RowKey, rowKeyOf } from './row-key.ts'
import { rowKey, type SnapshotTable } from './rows.ts'

/** So many keys are written into a checkpoint. */
const WRITTEN_MAX = 500
/** Memory for owed keys, about. */
const OWED_BYTES_MAX = 16 << 20
const OWED_BYTES_EACH = 100
/** Rows that are read by key the first time, for the reason of a small first chunk. */
const FIRST_KEYS = 32

/** One table that is read, or waits to be: what the stream has told of it meanwhile, and how far it is. */
export class LiveTable {
  progress: TableProgress
  table: SnapshotTable
  /** Names of the columns that tell rows apart; undefined: it is read at one exact place of the stream. */
  key: readonly string[] | undefined
  /** Leaves that are left, the one in hand first; undefined before it begins. */
  leaves: Leaf[] | undefined
  /** Rows in all, by the server's estimate; undefined before it begins, and where a condition chooses among them. */
  estimate: number | undefined
  /** Places of the next reading. */
  span: Place = 0
  /** Changes are looked at: from the first reading on, over restarts. */
  begun: boolean
  /** Commit of the last change of it that was told. */
  lastChange: Lsn = 0
  /** Something of `progress` or `owed` is not in a checkpoint yet. */
  changedState = true
  /** Keys that changed since the low watermark of the reading that is under way; undefined outside of one. */
  #window: Set<string> | undefined
  /** More is owed than can be kept: nothing is known of it any more. */
  overflowed = false
  /** Every row was told, or is owed. From here on a value that does not come with a change was told before it. */
  allRead = false
  /** Rows to read by key at a time, fewer at the beginning and where they are large. */
  keysAtOnce = FIRST_KEYS
  /** The last reading was by key. */
  readByKey = false
  /** It settled nothing, since the rows change faster than they are read: the stream waits for the next one. */
  stalled = false
  readonly #owed = new Map<string, RowKey>()
  #owedBytes = 0
  #relation: Relation | undefined
  #columns: readonly number[] | undefined

  constructor(table: SnapshotTable, progress: TableProgress) {
    this.table = table
    this.progress = progress
    this.key = keyNames(table)
    this.begun = progress.leaf !== 0
    const owed = progress.owed === 'lost' ? [] : progress.owed
    for (const parts of owed) {
      this.#owe(rowKeyOf(parts.map(part => Buffer.from(part, 'base64').toString('latin1'))))
    }
  }

  /** Every row is told as of one place, and the stream waits: asked for so, or without a key. */
  get exact(): boolean {
    return this.progress.blocking || this.key === undefined
  }

  get name(): string {
    return `${this.progress.schema}.${this.progress.table}`
  }

  get owed(): number {
    return this.#owed.size
  }

  owedKeys(): RowKey[] {
    const keys: RowKey[] = []
    for (const key of this.#owed.values()) if (keys.push(key) >= this.keysAtOnce) break
    return keys
  }

  /** As a checkpoint says it. */
  state(): TableProgress {
    if (this.overflowed || this.#owed.size > WRITTEN_MAX) return { ...this.progress, owed: 'lost' }
    const base64 = (part: string) => Buffer.from(part, 'latin1').toString('base64')
    return { ...this.progress, owed: [...this.#owed.values()].map(key => key.columns.map(base64)) }
  }

  /** The definition is another one now. False when rows are told apart by another key: what is owed is known by the old one. */
  redefine(table: SnapshotTable): boolean {
    const key = keyNames(table)
    const isSame = key?.join('\0') === this.key?.join('\0')
    this.table = table
    this.key = key
    this.#relation = undefined
    return isSame
  }

  restart(progress: TableProgress): void {
    this.progress = progress
    this.leaves = undefined
    this.overflowed = false
    this.allRead = false
    this.#forget()
    this.changedState = true
  }

  /** Rows, where the stream waits: written down, so that it can be said how many come again after a kill. */
  told(rows: number): void {
    if (rows === 0) return
    this.progress = { ...this.progress, rows: this.progress.rows + rows }
    this.changedState = true
  }

  openWindow(): void {
    this.#window = new Set()
  }

  closeWindow(): void {
    this.#window = undefined
  }

  changed(relation: Relation, old: OldRow | undefined, row: Tuple | undefined, commitLsn: Lsn): void {
    this.lastChange = commitLsn
    if (!this.begun || this.key === undefined) return
    const columns = this.#columnsIn(relation)
    // Of a definition that was before: the reading is of a later one, and so are all changes behind its low watermark.
    if (columns === undefined) return
    const keys = [
      ...(old === undefined ? [] : [keyOf(old.tuple, columns, undefined)]),
      ...(row === undefined ? [] : [keyOf(row, columns, old?.tuple)]),
    ]
    for (const { text } of keys) this.#window?.add(text)
    const isOwed = keys.map(({ text }) => this.#settle(text)).includes(true)
    const owes = row !== undefined && hasUnchanged(row) && (isOwed || !this.allRead)
    if (owes) this.#owe(keys.at(-1)!)
    if (isOwed || owes) this.changedState = true
  }

  /**
   * An update that no event is made of. It has written the row to another place, where nothing is read any more perhaps: so
   * the row is read by its key.
   */
  leftOut(relation: Relation, old: OldRow | undefined, row: Tuple): void {
    if (!this.begun || this.key === undefined || this.allRead) return
    const columns = this.#columnsIn(relation)
    if (columns === undefined) return
    this.#owe(keyOf(row, columns, old?.tuple))
    this.changedState = true
  }

  #owe(key: RowKey): void {
    if (this.overflowed) return
    this.#owed.set(key.text, key)
    this.#owedBytes += key.text.length + OWED_BYTES_EACH
    if (this.#owedBytes <= OWED_BYTES_MAX) return
    this.#forget()
    this.overflowed = true
  }

  #settle(text: string): boolean {
    if (!this.#owed.delete(text)) return false
    this.#owedBytes -= text.length + OWED_BYTES_EACH
    return true
  }

  #forget(): void {
    this.#owed.clear()
    this.#owedBytes = 0
  }

  truncated(commitLsn: Lsn): void {
    this.lastChange = commitLsn
    if (this.#owed.size > 0) this.changedState = true
    this.#forget()
  }

  /** Is a row that was read to be told? Not when it changed meanwhile: the stream has told what it is now. */
  tells(row: Tuple): boolean {
    const key = keyOf(row, this.#columnsIn(this.table.relation)!, undefined).text
    if (this.#window?.has(key)) return false
    if (this.#settle(key)) this.changedState = true
    return true
  }

  /** Keys that were asked for and have no row: it was deleted, or has another key, as the stream says. */
  settle(asked: readonly string[]): void {
    for (const key of asked) if (!this.#window?.has(key)) this.#settle(key)
    this.changedState = true
  }

  #columnsIn(relation: Relation): readonly number[] | undefined {
    if (this.#relation === relation) return this.#columns
    const indexes = this.key!.map(name => relation.columns.findIndex(column => column.name === name))
    this.#relation = relation
    this.#columns = indexes.includes(-1) ? undefined : indexes
    return this.#columns
  }
}

function keyNames(table: SnapshotTable): readonly string[] | undefined {
  return rowKey(table)?.map(index => table.relation.columns[index]!.name)
}
