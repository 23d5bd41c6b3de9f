import { KtsError, type Logger, type OptionProblem } from '../../runtime/api/index.ts'
import type { SlotOptions } from './slot-options.ts'

export interface TableLists {
  readonly 'schema.include.list': readonly string[]
  readonly 'schema.exclude.list': readonly string[]
  readonly 'table.include.list': readonly string[]
  readonly 'table.exclude.list': readonly string[]
}

/** The server's own, and what its extensions use for themselves while they run. */
const SYSTEM_SCHEMA = /^(pg_.*|information_schema)$/
/** PostGIS's own reference data, which it puts beside the user's tables; captured where `table.include.list` matches it. */
const EXTENSION_TABLE = 'spatial_ref_sys'

/**
 * Which tables are captured: Debezium's lists of regular expressions, each of which must match the whole name (a schema,
 * or `schema.table`), without regard to case. An empty list says nothing. Schemas of the system are never captured.
 */
export class TableFilter {
  readonly #schemas: NameFilter
  readonly #tables: NameFilter

  /** Throws CONFIG_INVALID for what is no regular expression. */
  constructor(lists: TableLists) {
    this.#schemas = new NameFilter(lists, 'schema.include.list', 'schema.exclude.list')
    this.#tables = new NameFilter(lists, 'table.include.list', 'table.exclude.list')
  }

  captures(schema: string, table: string): boolean {
    if (SYSTEM_SCHEMA.test(schema)) return false
    if (table === EXTENSION_TABLE && !this.#tables.includesSome) return false
    return this.#schemas.passes(schema) && this.#tables.passes(`${schema}.${table}`)
  }

  /** Whatever a table's name is. */
  get capturesAll(): boolean {
    return this.#schemas.isEmpty && this.#tables.isEmpty
  }

  /** Which expression of table.include.list it matches first: snapshots read tables in that order, as Debezium's. */
  place(schema: string, table: string): number {
    return this.#tables.place(`${schema}.${table}`)
  }
}

/** Throws CONFIG_INVALID, or warns, where more tables are captured than `guardrail.collections.max` allows. */
export function checkTableCount(
  options: Pick<SlotOptions, 'guardrail.collections.max' | 'guardrail.collections.limit.action'>,
  count: number,
  log: Logger,
): void {
  const max = options['guardrail.collections.max']
  if (max === 0 || count <= max) return
  const message = `guardrail.collections.max: expected at most ${max} captured tables, got ${count}; name fewer in table.include.list, or allow more`
  if (options['guardrail.collections.limit.action'] === 'fail') throw new KtsError('CONFIG_INVALID', message)
  log.warn({ tables: count }, message)
}

class NameFilter {
  readonly #include: readonly RegExp[]
  readonly #exclude: readonly RegExp[]

  constructor(lists: TableLists, include: keyof TableLists, exclude: keyof TableLists) {
    this.#include = lists[include].map(text => pattern(text, include))
    this.#exclude = lists[exclude].map(text => pattern(text, exclude))
  }

  get isEmpty(): boolean {
    return this.#include.length === 0 && this.#exclude.length === 0
  }

  get includesSome(): boolean {
    return this.#include.length > 0
  }

  passes(name: string): boolean {
    if (this.#include.length > 0 && !this.#include.some(regex => regex.test(name))) return false
    return !this.#exclude.some(regex => regex.test(name))
  }

  place(name: string): number {
    return this.#include.findIndex(regex => regex.test(name))
  }
}

function pattern(text: string, option: string): RegExp {
  try {
    return new RegExp(`^(?:${text.trim()})$`, 'iu')
  } catch {
    // With the flag u a needless backslash is an error, in Java it is not.
    return lenientPattern(text, option)
  }
}

function lenientPattern(text: string, option: string): RegExp {
  try {
    return new RegExp(`^(?:${text.trim()})$`, 'i')
  } catch (cause) {
    throw new KtsError(
      'CONFIG_INVALID',
      `${option}: expected a regular expression such as public\\.(orders|items), got ${text}`,
      {
        cause,
      },
    )
  }
}

const LISTS = ['schema.include.list', 'schema.exclude.list', 'table.include.list', 'table.exclude.list'] as const

/** For `problems` of the connector: the lists with something that is no regular expression. */
export function listProblems(lists: TableLists): readonly OptionProblem[] {
  return LISTS.filter(option => !lists[option].every(isPattern)).map(option => ({
    option,
    message: 'expected regular expressions such as public\\.(orders|items), got one that is none',
  }))
}

function isPattern(text: string): boolean {
  try {
    pattern(text, '')
    return true
  } catch {
    return false
  }
}
