import type { JsonObject, JsonValue } from '../../../base/index.ts'
import type { LoadTable } from './tables.ts'

const PLACEHOLDER = '__debezium_unavailable_value'

type Row = (string | null)[]

/** A table as its events say it is: the last of each key, or as many of each row as came without going. */
export class RebuiltTable {
  readonly #table: LoadTable
  readonly #rows = new Map<string, { row: Row; count: number }>()
  /** A new key comes as delete and create: what the create does not say is in the row that went. */
  #gone: Row | undefined
  /**
   * Rows that were there before and that no event has told of yet: where a kill ended the snapshot, the others are read
   * beside the stream, so a row may go before it was read.
   */
  readonly #unread = new Set<string>()
  /** The last event was a row that was read. */
  #reading = false
  /** Events that do not fit what came before them. */
  readonly oddities: string[] = []

  constructor(table: LoadTable) {
    this.#table = table
    for (let i = 1; i <= (table.initial?.rows ?? 0); i++) this.#unread.add(`${i}`)
  }

  /** `snapshot`: the mark of a row that was read. */
  take(op: string, before: JsonValue | undefined, after: JsonValue | undefined, snapshot?: JsonValue): void {
    if (op !== 'r') this.#reading = false
    else if (this.#table.key.length === 0 && (snapshot === 'first' || (snapshot === 'last' && !this.#reading))) {
      // A table without key begins anew (with its one row, perhaps): whatever was told before, with rows that were not, is void.
      this.#rows.clear()
      this.oddities.length = 0
    }
    if (op === 'r') this.#reading = true
    if (op === 't') {
      this.#rows.clear()
      this.#unread.clear()
    } else if (this.#table.key.length > 0) this.#takeKeyed(op, before, after)
    else this.#takeKeyless(op, before, after)
  }

  #takeKeyed(op: string, before: JsonValue | undefined, after: JsonValue | undefined): void {
    if (op === 'd') {
      const old = rowOf(before, this.#table)
      const key = this.#keyOf(old)
      this.#gone = this.#rows.get(key)?.row
      const wasUnread = this.#met(old)
      if (!this.#rows.delete(key) && !wasUnread)
        this.oddities.push(`${this.#table.name}: a row was deleted that never came: ${key}`)
      return
    }
    const row = rowOf(after, this.#table)
    const key = this.#keyOf(row)
    this.#met(row)
    const earlier = this.#rows.get(key)?.row ?? this.#gone
    for (const [i, value] of row.entries()) if (value === PLACEHOLDER) row[i] = earlier?.[i] ?? PLACEHOLDER
    this.#rows.set(key, { row, count: 1 })
  }

  #takeKeyless(op: string, before: JsonValue | undefined, after: JsonValue | undefined): void {
    if (op === 'd' || op === 'u') {
      const key = JSON.stringify(rowOf(before, this.#table))
      const found = this.#rows.get(key)
      if (found === undefined) this.oddities.push(`${this.#table.name}: ${op} of a row that is not there: ${key}`)
      else if (--found.count === 0) this.#rows.delete(key)
    }
    if (op === 'd') return
    const row = rowOf(after, this.#table)
    const key = JSON.stringify(row)
    const found = this.#rows.get(key)
    if (found === undefined) this.#rows.set(key, { row, count: 1 })
    else found.count++
  }

  /** Whether it is one that was there before, and this its first event. */
  #met(row: Row): boolean {
    const { columns, initial } = this.#table
    return initial !== undefined && this.#unread.delete(`${row[columns.indexOf(initial.column)]}`)
  }

  #keyOf(row: Row): string {
    return JSON.stringify(this.#table.key.map(name => row[this.#table.columns.indexOf(name)]))
  }

  /** How it differs from the rows of the real one: a line each. */
  differences(real: readonly Row[]): string[] {
    const lines: string[] = []
    const left = new Map([...this.#rows].map(([key, { row, count }]) => [key, { row, count }]))
    for (const row of real) {
      const key = this.#table.key.length > 0 ? this.#keyOf(row) : JSON.stringify(row)
      const found = left.get(key)
      if (found === undefined) lines.push(`${this.#table.name} ${key} is missing`)
      else {
        const text = (one: Row) => JSON.stringify(one).slice(0, 150)
        if (JSON.stringify(found.row) !== JSON.stringify(row))
          lines.push(`${this.#table.name} ${key} is ${text(found.row)}, and should be ${text(row)}`)
        if (--found.count === 0) left.delete(key)
      }
    }
    for (const key of left.keys()) lines.push(`${this.#table.name} ${key} should not be there`)
    return lines
  }
}

function rowOf(value: JsonValue | undefined, { columns }: LoadTable): Row {
  const row = value as JsonObject | null | undefined
  return columns.map(name => {
    const member = row?.[name]
    return member === null || member === undefined ? null : String(member)
  })
}
