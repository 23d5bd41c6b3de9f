import type { Lsn } from '../lsn.ts'
import type { Relation } from '../relation.ts'
import type { ColumnInfo, TableInfo } from '../table-info.ts'
import type { Tuple } from '../tuple.ts'

/** Of `source.snapshot`, as Debezium's. */
export type SnapshotMark =
  | 'true'
  | 'first'
  | 'first_in_data_collection'
  | 'last_in_data_collection'
  | 'last'
  | 'incremental'

/** What a row that was read says about where it comes from: everything but `snapshot` is one snapshot's or one chunk's. */
export interface SnapshotSource {
  readonly snapshot: SnapshotMark
  /** The place in the stream that the row belongs to. */
  readonly lsn: Lsn
  readonly lastCommitLsn: undefined
  readonly xid: number
  /** When it was read, in microseconds since 1970. */
  readonly commitTime: number
  readonly origin: undefined
}

/** A table whose rows are told, under one definition: the same object as long as the definition is the same. */
export interface SnapshotTable {
  readonly info: TableInfo
  /** The columns that are read, which are those that the stream sends, in their order. */
  readonly relation: Relation
}

/** Is told rows that were read. A tuple is valid during the call only. */
export interface RowHandler {
  row(table: SnapshotTable, row: Tuple, source: SnapshotSource): void
  /** True: no more for now. */
  readonly full: boolean
}

/** Indexes of the columns that events are made of; undefined: all. */
export type NeededColumns = (table: SnapshotTable) => ReadonlySet<number> | undefined

/**
 * The relation that rows of a table have, as the stream would describe it: without columns that the publication leaves out. Generated columns are in it where the server
 * sends them (`publish_generated_columns`, PostgreSQL 18), and nowhere else: a column whose value a snapshot told and no
 * later change repeated would be wrong from the first update on.
 */
export function snapshotTable(info: TableInfo, generatedColumns: boolean): SnapshotTable {
  const identity = identityColumns(info)
  const listed = info.published?.columns
  const columns = info.columns.filter(column => listed?.includes(column.name) ?? sent(column, generatedColumns))
  return {
    info,
    relation: {
      oid: info.oid,
      schema: info.schema,
      table: info.table,
      replicaIdentity: info.replicaIdentity,
      columns: columns.map(({ name, typeOid, typeModifier }) => ({
        name,
        typeOid,
        typeModifier,
        isKey: identity === 'all' || identity.includes(name),
      })),
    },
  }
}

function sent(column: ColumnInfo, generatedColumns: boolean): boolean {
  return column.generated === undefined || (generatedColumns && column.generated === 'stored')
}

function identityColumns(info: TableInfo): readonly string[] | 'all' {
  if (info.replicaIdentity === 'f') return 'all'
  if (info.replicaIdentity === 'i') return info.identityIndex ?? []
  return info.replicaIdentity === 'd' ? (info.primaryKey ?? []) : []
}

/**
 * The columns by which a row that was read and a change of it are known to be of one row: every change carries them, old
 * and new. Undefined where there are none, so the table can only be read at one exact place of the stream.
 */
export function rowKey(table: SnapshotTable): readonly number[] | undefined {
  const { info, relation } = table
  const names = info.replicaIdentity === 'i' ? info.identityIndex : (info.primaryKey ?? info.uniqueIndex)
  if (names === undefined || names.length === 0) return undefined
  const indexes = names.map(name => relation.columns.findIndex(column => column.name === name))
  return indexes.includes(-1) ? undefined : indexes
}
