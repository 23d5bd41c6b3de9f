import { silentLogger } from '../../../runtime/api/index.ts'
import type { EventOptions } from '../event-options.ts'
import type { Relation } from '../relation.ts'
import type { TableInfo } from '../table-info.ts'
import { ColumnFilter } from './column-filter.ts'
import { KeyColumns } from './table-key.ts'

/** Which columns events are made of: those that the lists let through, and those of the key. */
export class EventColumns {
  readonly #filter: ColumnFilter
  readonly #keys: KeyColumns
  readonly #isAll: boolean

  constructor(options: EventOptions) {
    this.#isAll = options['column.include.list'].length === 0 && options['column.exclude.list'].length === 0
    this.#filter = new ColumnFilter(options)
    // What is wrong with keys is told where events are made.
    this.#keys = new KeyColumns(options, silentLogger)
  }

  /** Indexes into the relation; undefined: all. */
  of(relation: Relation, info: TableInfo): ReadonlySet<number> | undefined {
    if (this.#isAll) return undefined
    const { schema, table, columns } = relation
    const included = columns.flatMap(({ name }, i) => (this.#filter.includes(schema, table, name) ? [i] : []))
    return new Set([...included, ...this.#keys.of(relation, info)])
  }
}
