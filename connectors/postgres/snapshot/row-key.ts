import { type Tuple, UNCHANGED } from '../tuple.ts'

/** A row's key: its columns' bytes as latin1, and all of them as one text for sets and maps. */
export interface RowKey {
  readonly text: string
  readonly columns: readonly string[]
}

/** Key columns that were not sent with the row, being large and unchanged, are taken from the old one. */
export function keyOf(row: Tuple, columns: readonly number[], old: Tuple | undefined): RowKey {
  const parts = columns.map(column => {
    const from = row.kinds[column] === UNCHANGED && old !== undefined ? old : row
    return from.bytes.toString('latin1', from.starts[column], from.ends[column])
  })
  return rowKeyOf(parts)
}

export function rowKeyOf(parts: readonly string[]): RowKey {
  if (parts.length === 1) return { text: parts[0]!, columns: parts }
  return { text: parts.map(part => `${part.length}:${part}`).join(''), columns: parts }
}

export function hasUnchanged(row: Tuple): boolean {
  for (let i = 0; i < row.count; i++) if (row.kinds[i] === UNCHANGED) return true
  return false
}
