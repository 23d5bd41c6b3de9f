import type pg from 'pg'
import { ALL_TYPES_SQL, CANDIDATES_SQL, PUBLISHED_SQL, SERVER_SQL, TYPES_SQL, tablesSql } from './catalog-sql.ts'
import { type Lsn, parseLsn } from './lsn.ts'
import type { TableFilter } from './table-filter.ts'
import type { ColumnInfo, TableInfo, TypeInfo, Types } from './table-info.ts'

/** Who the server is, and where its log ends now. */
export interface ServerState {
  /** As 150004. */
  readonly version: number
  readonly database: string
  /** Made by initdb, the same on all standbys: 64 bits in decimal. */
  readonly systemId: string
  readonly timeline: number
  readonly currentLsn: Lsn
  readonly standby: boolean
}

export interface TableName {
  readonly oid: number
  readonly schema: string
  readonly table: string
}

/** What tables are looked for in. */
export interface TableScope {
  /** Only those that it tells of. */
  readonly publication?: string
  /** Without a publication: partitioned tables for themselves (true), or their leaves. */
  readonly viaRoot?: boolean
}

/** The catalogue of one database, read through a connection that the caller keeps to itself meanwhile. */
export class Catalog {
  readonly #client: pg.Client
  readonly #types: Map<number, TypeInfo>
  readonly #publication: string | undefined
  /** As it was when the catalogue was opened. */
  readonly server: ServerState

  private constructor(
    client: pg.Client,
    server: ServerState,
    types: Map<number, TypeInfo>,
    publication: string | undefined,
  ) {
    this.#client = client
    this.server = server
    this.#types = types
    this.#publication = publication
  }

  /** Tables are described as far as the publication tells of them. */
  static async open(client: pg.Client, publication?: string): Promise<Catalog> {
    const server = await serverState(client)
    const { rows } = await client.query<TypeRow>(ALL_TYPES_SQL)
    return new Catalog(client, server, new Map(rows.map(row => [row.oid, typeOf(row)])), publication)
  }

  get serverVersion(): number {
    return this.server.version
  }

  get database(): string {
    return this.server.database
  }

  get systemId(): string {
    return this.server.systemId
  }

  /** Grows with refreshTypes; the map stays the same object. */
  types(): Types {
    return this.#types
  }

  /** Reads these types anew (labels may have been added), and those that they are made of as far as they are not known. */
  async refreshTypes(oids: Iterable<number>): Promise<void> {
    let wanted = [...new Set(oids)]
    while (wanted.length > 0) {
      const { rows } = await this.#client.query<TypeRow>(TYPES_SQL, [wanted])
      const types = rows.map(typeOf)
      for (const type of types) this.#types.set(type.oid, type)
      const parts = types.flatMap(type => [type.elementOid, type.baseOid, type.rangeOid])
      wanted = [...new Set(parts)].filter(oid => oid !== 0 && !this.#types.has(oid))
    }
  }

  /** The captured tables, in the order of table.include.list, then of schema and name by bytes. */
  async tables(filter: TableFilter, scope: TableScope): Promise<TableInfo[]> {
    const names = await capturedTables(this.#client, filter, scope)
    const tables = await this.#tables(names.map(name => name.oid))
    const place = ({ schema, table }: TableInfo) => filter.place(schema, table)
    return tables.sort((a, b) => place(a) - place(b))
  }

  /** Undefined when it is gone. */
  async table(oid: number): Promise<TableInfo | undefined> {
    return (await this.#tables([oid]))[0]
  }

  async #tables(oids: readonly number[]): Promise<TableInfo[]> {
    if (oids.length === 0) return []
    const { rows } = await this.#client.query<TableRow>(tablesSql(this.server.version), [
      oids,
      this.#publication ?? null,
    ])
    return rows.map(tableOf)
  }
}

export async function serverState(client: pg.Client): Promise<ServerState> {
  const { rows } = await client.query<ServerRow>(SERVER_SQL)
  const { version, database, system_id, timeline, lsn, standby } = rows[0]!
  return { version, database, systemId: system_id, timeline, currentLsn: parseLsn(lsn), standby }
}

/** Names of the captured tables, unsorted: cheap enough to be asked every few seconds. */
export async function capturedTables(client: pg.Client, filter: TableFilter, scope: TableScope): Promise<TableName[]> {
  const { rows } =
    scope.publication === undefined
      ? await client.query<CandidateRow>(CANDIDATES_SQL)
      : await client.query<CandidateRow>(PUBLISHED_SQL, [scope.publication])
  return rows
    .filter(row => scope.publication !== undefined || (scope.viaRoot ? row.via_root : row.via_leaves))
    .filter(row => filter.captures(row.schema, row.table))
    .map(({ oid, schema, table }) => ({ oid, schema, table }))
}

interface ServerRow {
  version: number
  database: string
  system_id: string
  timeline: number
  lsn: string
  standby: boolean
}

interface CandidateRow extends TableName {
  via_root: boolean
  via_leaves: boolean
}

interface TypeRow {
  oid: number
  schema: string
  name: string
  kind: string
  delimiter: string
  element_oid: number
  base_oid: number
  base_modifier: number
  range_oid: number
  labels: string[] | null
}

function typeOf(row: TypeRow): TypeInfo {
  return {
    oid: row.oid,
    schema: row.schema,
    name: row.name,
    kind: row.kind,
    elementOid: row.element_oid,
    baseOid: row.base_oid,
    baseModifier: row.base_modifier,
    rangeOid: row.range_oid,
    labels: row.labels ?? [],
    delimiter: row.delimiter,
  }
}

interface TableRow extends TableName {
  kind: string
  replica_identity: TableInfo['replicaIdentity']
  columns: { [K in keyof ColumnInfo]: K extends 'default' | 'generated' ? string | null : ColumnInfo[K] }[] | null
  indexes: { primary: boolean; identity: boolean; unique: boolean; columns: string[] }[] | null
  published: { columns: string[] | null; rows: string | null } | null
}

function tableOf(row: TableRow): TableInfo {
  const indexes = row.indexes ?? []
  return {
    oid: row.oid,
    schema: row.schema,
    table: row.table,
    kind: row.kind,
    replicaIdentity: row.replica_identity,
    primaryKey: indexes.find(index => index.primary)?.columns,
    identityIndex: row.replica_identity === 'i' ? indexes.find(index => index.identity)?.columns : undefined,
    uniqueIndex: indexes.find(index => index.unique && !index.primary)?.columns,
    columns: (row.columns ?? []).map(column => ({
      ...column,
      default: column.default ?? undefined,
      generated: column.generated === 's' ? 'stored' : column.generated === 'v' ? 'virtual' : undefined,
    })),
    ...(row.published === null
      ? {}
      : { published: { columns: row.published.columns ?? undefined, rows: row.published.rows ?? undefined } }),
  }
}
