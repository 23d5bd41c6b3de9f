import { errorMessage, KtsError, type TaskContext } from '../../../runtime/api/index.ts'
import type { LiveTable } from './live-table.ts'

/** insufficient_privilege: https://www.postgresql.org/docs/current/errcodes-appendix.html */
export function isDenied(error: unknown): boolean {
  return error instanceof KtsError && error.details?.sqlState === '42501'
}

/** Tables that the role may not read; each is told of once. */
export class DeniedTables {
  readonly #parts: Pick<TaskContext, 'log' | 'report'>
  readonly #tables = new Set<LiveTable>()

  constructor(parts: Pick<TaskContext, 'log' | 'report'>) {
    this.#parts = parts
  }

  has(table: LiveTable): boolean {
    return this.#tables.has(table)
  }

  add(table: LiveTable, error: unknown): void {
    const why = errorMessage(error)
    this.#parts.report({ 'snapshot beside the stream': `${table.name}: waits, ${why}` })
    if (this.has(table)) return
    this.#tables.add(table)
    this.#parts.log.error(
      { table: table.name },
      `${why}; its rows are read once that is granted (GRANT SELECT), its changes come already`,
    )
  }
}
