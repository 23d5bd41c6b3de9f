import type { Logger } from '../../../runtime/api/index.ts'
import type { EventOptions } from '../event-options.ts'
import type { Relation } from '../relation.ts'
import type { TableInfo } from '../table-info.ts'

/** Which columns are the key of which tables (`message.key.columns`). */
export class KeyColumns {
  readonly #custom: readonly { readonly tables: RegExp; readonly columns: readonly string[] }[]
  readonly #log: Logger
  /** What was warned of: a table is looked at again with each of its definitions and connections. */
  readonly #told = new Set<string>()

  constructor(options: EventOptions, log: Logger) {
    this.#log = log
    const entries = (options['message.key.columns'] ?? '').split(';').filter(entry => entry.trim() !== '')
    this.#custom = entries.map(entry => {
      const colon = entry.lastIndexOf(':')
      return {
        tables: new RegExp(`^(?:${entry.slice(0, colon).trim()})$`, 'i'),
        columns: entry
          .slice(colon + 1)
          .split(',')
          .map(name => name.trim()),
      }
    })
  }

  /** Indexes of the columns of the key in its order; [] for a table without key. */
  of(relation: Relation, info: TableInfo | undefined): readonly number[] {
    const custom = this.#customKey(relation)
    if (custom !== undefined) return custom
    const { columns, replicaIdentity } = relation
    const flagged = columns.flatMap((column, i) => (column.isKey ? [i] : []))
    // The flags are as old as the changes, so they tell when the catalogue is ahead. FULL flags every column.
    if (replicaIdentity !== 'f' && flagged.length > 0) {
      const known = indexesOf(relation, replicaIdentity === 'i' ? info?.identityIndex : info?.primaryKey)
      return known !== undefined && sameMembers(known, flagged) ? known : flagged
    }
    // Under DEFAULT no flags mean that there was no primary key, whatever there is now.
    const primaryKey = replicaIdentity === 'd' ? undefined : indexesOf(relation, info?.primaryKey)
    return primaryKey ?? indexesOf(relation, info?.uniqueIndex) ?? []
  }

  #customKey(relation: Relation): readonly number[] | undefined {
    const name = `${relation.schema}.${relation.table}`
    const entry = this.#custom.find(({ tables }) => tables.test(name))
    if (entry === undefined) return undefined
    const indexes = indexesOf(relation, entry.columns)
    if (indexes === undefined) {
      const missing = entry.columns.filter(column => !relation.columns.some(known => known.name === column))
      this.#warn(
        `message.key.columns: ${name} has no column ${missing.join(', ')}; its events keep the key of the table`,
      )
      return undefined
    }
    const uncovered = uncoveredBy(relation, indexes)
    if (uncovered.length > 0) {
      this.#warn(
        `message.key.columns: deletes of ${name} do not tell ${uncovered.map(i => relation.columns[i]!.name).join(', ')}, so it is null in their keys; ALTER TABLE ${name} REPLICA IDENTITY FULL makes it known`,
      )
    }
    return indexes
  }

  #warn(message: string): void {
    if (this.#told.has(message)) return
    this.#told.add(message)
    this.#log.warn({}, message)
  }
}

/** Key columns that old rows do not bring, where old rows come at all. */
export function uncoveredBy(relation: Relation, key: readonly number[]): readonly number[] {
  // Without any flag the server refuses updates and deletes.
  if (!relation.columns.some(column => column.isKey)) return []
  return key.filter(i => !relation.columns[i]!.isKey)
}

function indexesOf(relation: Relation, names: readonly string[] | undefined): readonly number[] | undefined {
  if (names === undefined || names.length === 0) return undefined
  const indexes = names.map(name => relation.columns.findIndex(column => column.name === name))
  return indexes.includes(-1) ? undefined : indexes
}

function sameMembers(some: readonly number[], others: readonly number[]): boolean {
  return some.length === others.length && others.every(i => some.includes(i))
}
