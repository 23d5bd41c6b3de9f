import type { Logger, OptionProblem } from '../../runtime/api/index.ts'
import { selectCondition } from './select-condition.ts'
import type { SnapshotOptions } from './snapshot-options.ts'
import type { TableInfo } from './table-info.ts'

type Overrides = Pick<SnapshotOptions, typeof LIST | typeof STATEMENTS>

const LIST = 'snapshot.select.statement.overrides'
const STATEMENTS = 'snapshot.select.statement.overrides.<schema>.<table>'

/** Which rows of a table its snapshot reads, as SQL; undefined: all. */
export type RowsToRead = (table: Pick<TableInfo, 'schema' | 'table'>) => string | undefined

export function rowsToRead(options: Overrides): RowsToRead {
  const conditions = new Map<string, string | undefined>()
  for (const name of options[LIST]) {
    const table = tableOf(name)
    const sql = options[STATEMENTS][`${LIST}.${name}`]
    const chosen =
      table === undefined || sql === undefined ? undefined : selectCondition(sql, table.schema, table.table)
    if (table !== undefined && chosen !== undefined && 'condition' in chosen)
      conditions.set(key(table), chosen.condition)
  }
  return table => conditions.get(key(table))
}

/** Names tables that no snapshot reads: a misspelt one would be read whole under its right name. */
export function warnOfUnusedOverrides(options: Overrides, tables: readonly TableInfo[], log: Logger): void {
  for (const name of options[LIST]) {
    const of = tableOf(name)
    if (tables.some(({ schema, table }) => schema === of?.schema && table === of.table)) continue
    log.warn({ table: name }, `${LIST} names a table that the snapshot does not read: its SELECT has no effect`)
  }
}

/** What stops the SELECTs from being followed. */
export function overrideProblems(options: Overrides): OptionProblem[] {
  const listed = options[LIST].flatMap(name => {
    const table = tableOf(name)
    if (table === undefined) return [{ option: LIST, message: `expected schema.table, got ${name}` }]
    const sql = options[STATEMENTS][`${LIST}.${name}`]
    if (sql === undefined)
      return [{ option: LIST, message: `expected a SELECT for ${name} under ${LIST}.${name}, got none` }]
    const found = selectCondition(sql, table.schema, table.table)
    return 'problem' in found
      ? [{ option: LIST, message: `${LIST}.${name}: expected ${found.problem}; got another statement` }]
      : []
  })
  const names = options[LIST].map(name => `${LIST}.${name}`)
  const unlisted = Object.keys(options[STATEMENTS]).filter(name => !names.includes(name))
  return [
    ...listed,
    ...unlisted.map(name => ({
      option: LIST,
      message: `expected ${name.slice(LIST.length + 1)} in the list, since ${name} is given; got none`,
    })),
  ]
}

/** `schema.table`, in which quotes may stand around names with dots. */
function tableOf(name: string): Pick<TableInfo, 'schema' | 'table'> | undefined {
  const parts = [...name.matchAll(/(?:^|\.)(?:"((?:[^"]|"")+)"|([^".]+))/g)]
  if (parts.length !== 2 || parts.map(([all]) => all).join('') !== name) return undefined
  const [schema, table] = parts.map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain!)
  return { schema: schema!, table: table! }
}

function key({ schema, table }: Pick<TableInfo, 'schema' | 'table'>): string {
  return JSON.stringify([schema, table])
}
