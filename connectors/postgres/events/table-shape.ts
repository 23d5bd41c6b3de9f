import { KtsError, type Logger } from '../../../runtime/api/index.ts'
import type { ColumnCodec } from '../column-codec.ts'
import type { EventOptions } from '../event-options.ts'
import type { Relation, RelationColumn } from '../relation.ts'
import type { ColumnInfo, TableInfo } from '../table-info.ts'
import { ColumnFilter } from './column-filter.ts'
import type { ColumnRules } from './column-rules.ts'
import { adjustedFieldName, adjustedSchemaName, TopicNames } from './names.ts'
import { type StructColumn, StructColumns } from './struct-columns.ts'
import { KeyColumns, uncoveredBy } from './table-key.ts'

export type CodecOf = (column: ColumnInfo) => ColumnCodec | undefined

/** What a table's events look like: everything that stays the same until its definition changes. */
export interface TableShape {
  readonly topic: string
  readonly schema: string
  readonly table: string
  /** As transaction metadata name the table. */
  readonly collection: string
  /** Keeps the order of a table without key. */
  readonly orderKey: string | undefined
  readonly envelopeName: string
  /** Of the relation, in the order of the key. */
  readonly keyColumns: readonly number[]
  /** Those of the key that an old row brings. */
  readonly comparedColumns: readonly number[]
  readonly key: StructColumns | undefined
  readonly row: StructColumns
  readonly binary: boolean
}

/** Makes shapes of tables as the options say. */
export class TableShapes {
  readonly topics: TopicNames
  readonly #options: EventOptions
  readonly #codecOf: CodecOf
  readonly #keyColumns: KeyColumns
  readonly #columnFilter: ColumnFilter
  readonly #rules: ColumnRules

  constructor(options: EventOptions, codecOf: CodecOf, rules: ColumnRules, log: Logger) {
    this.topics = new TopicNames(options)
    this.#options = options
    this.#codecOf = codecOf
    this.#keyColumns = new KeyColumns(options, log)
    this.#columnFilter = new ColumnFilter(options)
    this.#rules = rules
  }

  /** Throws CONFIG_INVALID when two columns become one field. */
  of(relation: Relation, info: TableInfo | undefined): TableShape {
    const { schema, table, columns } = relation
    const topic = this.topics.table(schema, table)
    const keyColumns = this.#keyColumns.of(relation, info)
    const uncovered = uncoveredBy(relation, keyColumns)
    const all = columns.map((column, index) => {
      const codec = this.#codecOf(columnInfo(relation, column, info))
      return codec === undefined ? undefined : { index, field: this.#fieldName(column.name), codec, nullable: false }
    })
    const rowColumns = all.flatMap(column => {
      if (column === undefined || !this.#columnFilter.includes(schema, table, columns[column.index]!.name)) return []
      const known = columnInfo(relation, columns[column.index]!, info)
      const inKey = keyColumns.includes(column.index)
      return [{ ...column, codec: this.#rules.apply(column.codec, relation, known, inKey) }]
    })
    checkFields(rowColumns, relation)
    const keyMembers = keyColumns.flatMap(i => {
      const column = all[i]
      return column === undefined ? [] : [{ ...column, nullable: uncovered.includes(i) }]
    })
    const key =
      keyMembers.length === 0 ? undefined : new StructColumns(this.#schemaName(topic, 'Key'), false, keyMembers)
    return {
      topic,
      schema,
      table,
      collection: `${schema}.${table}`,
      orderKey: key === undefined ? topic : undefined,
      envelopeName: this.#schemaName(topic, 'Envelope'),
      keyColumns,
      comparedColumns: keyColumns.filter(i => !uncovered.includes(i)),
      key,
      row: new StructColumns(this.#schemaName(topic, 'Value'), true, rowColumns),
      binary: all.every(column => column === undefined || isBinary(column.codec)),
    }
  }

  #schemaName(topic: string, part: string): string {
    return adjustedSchemaName(`${topic}.${part}`, this.#options['schema.name.adjustment.mode'])
  }

  #fieldName(column: string): string {
    return adjustedFieldName(column, this.#options['field.name.adjustment.mode'])
  }
}

/** What the catalogue knows of a column, as far as it still is, or already is, the column that the message means. */
function columnInfo(relation: Relation, column: RelationColumn, info: TableInfo | undefined): ColumnInfo {
  const { name, typeOid, typeModifier, isKey } = column
  // The columns of a primary key or of an identity index are NOT NULL; FULL flags every column.
  const notNull = isKey && relation.replicaIdentity !== 'f'
  const known = info?.columns.find(candidate => candidate.name === name && candidate.typeOid === typeOid)
  if (known !== undefined) return { ...known, typeModifier, notNull: known.notNull || notNull }
  return { name, typeOid, typeModifier, notNull, default: undefined, generated: undefined, identity: false }
}

function isBinary(codec: ColumnCodec): boolean {
  return codec.writeBinary !== undefined && codec.valueOfBinary !== undefined
}

function checkFields(columns: readonly StructColumn[], relation: Relation): void {
  const byField = new Map<string, string>()
  for (const { field, index } of columns) {
    const { name } = relation.columns[index]!
    const other = byField.get(field)
    if (other !== undefined) {
      throw new KtsError(
        'CONFIG_INVALID',
        `columns ${other} and ${name} of ${relation.schema}.${relation.table} both become the field ${field}; rename one, leave one out with column.exclude.list, or choose another field.name.adjustment.mode`,
      )
    }
    byField.set(field, name)
  }
}
