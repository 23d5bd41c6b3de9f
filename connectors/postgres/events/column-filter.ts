import type { EventOptions } from '../event-options.ts'

/** Which columns are in the rows (`column.include.list`, `column.exclude.list`). */
export class ColumnFilter {
  readonly #includes: NameFilter

  constructor(options: EventOptions) {
    this.#includes = new NameFilter(options['column.include.list'], options['column.exclude.list'])
  }

  includes(schema: string, table: string, column: string): boolean {
    return this.#includes.includes(`${schema}.${table}.${column}`)
  }
}

/** Debezium's pairs of lists: regular expressions for whole names, in any case. */
export class NameFilter {
  readonly #include: readonly RegExp[]
  readonly #exclude: readonly RegExp[]

  constructor(include: readonly string[], exclude: readonly string[]) {
    this.#include = include.map(wholeName)
    this.#exclude = exclude.map(wholeName)
  }

  includes(name: string): boolean {
    if (this.#exclude.some(pattern => pattern.test(name))) return false
    return this.#include.length === 0 || this.#include.some(pattern => pattern.test(name))
  }
}

function wholeName(pattern: string): RegExp {
  return new RegExp(`^(?:${pattern.trim()})$`, 'i')
}
