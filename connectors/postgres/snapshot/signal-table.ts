import { errorMessage, type JsonObject, parseJson, type TaskSignal } from '../../../runtime/api/index.ts'
import type { Relation } from '../relation.ts'
import type { SnapshotOptions } from '../snapshot-options.ts'
import { NULL, type Tuple } from '../tuple.ts'

/** Rows inserted into the table of `signal.data.collection`: `id`, `type` and `data`, text all of them. */
export class SignalTable {
  readonly #name: string | undefined
  #relation: Relation | undefined
  #columns: readonly number[] | undefined

  constructor(options: Pick<SnapshotOptions, 'signal.data.collection' | 'signal.enabled.channels'>) {
    const isEnabled = options['signal.enabled.channels'].includes('source')
    this.#name = isEnabled ? options['signal.data.collection'] : undefined
  }

  /** Undefined for a row of another table; what is wrong, in words, for a row that is no signal. */
  read(relation: Relation, row: Tuple): TaskSignal | string | undefined {
    if (this.#name === undefined) return undefined
    if (relation !== this.#relation) {
      this.#relation = relation
      this.#columns = `${relation.schema}.${relation.table}` === this.#name ? columnsOf(relation) : undefined
    }
    if (this.#columns === undefined) return undefined
    const [id, type, data] = this.#columns.map(column =>
      column < row.count && row.kinds[column] !== NULL
        ? row.bytes.toString('utf8', row.starts[column], row.ends[column])
        : undefined,
    )
    if (type === undefined) return 'expected columns id, type and data, and a type that is not NULL'
    try {
      const body = data === undefined || data.trim() === '' ? {} : parseJson(data)
      if (typeof body === 'object' && body !== null && !Array.isArray(body)) {
        return { id: id ?? '', type, data: body as JsonObject }
      }
      return 'expected a JSON object in the column data'
    } catch (error) {
      return `expected JSON in the column data, got ${errorMessage(error)}`
    }
  }
}

/** By their names, else the first three. */
function columnsOf(relation: Relation): readonly number[] {
  const named = ['id', 'type', 'data'].map(name => relation.columns.findIndex(column => column.name === name))
  return named.includes(-1) ? [0, 1, 2] : named
}
