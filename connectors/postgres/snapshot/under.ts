import type { Reading } from './live-reader.ts'
import type { LiveTable } from './live-table.ts'
import type { SnapshotSource } from './rows.ts'

/** A chunk on its way: `lowAt` counts the transactions that were told before its low watermark. */
export interface Under {
  readonly table: LiveTable
  readonly id: string
  /** The stream waits for the reading, and the rows are told in front of the first transaction that it does not see. */
  readonly held: boolean
  lowAt: number | undefined
  reading: Reading | undefined
  /** The stream has passed the high watermark: rows are told now. */
  due: boolean
  told: number
  dropped: number
  /** A commit that is told is not visible yet. */
  unseen: boolean
  /** Rows that were owed when it was read. */
  readonly owed: number
  source: SnapshotSource | undefined
  settle(): void
}

export function newUnder(table: LiveTable, id: string, settle: () => void): Under {
  const begins = {
    lowAt: undefined,
    reading: undefined,
    due: false,
    told: 0,
    dropped: 0,
    unseen: false,
    source: undefined,
  }
  return { table, id, held: table.stalled, owed: table.owed, settle, ...begins }
}
