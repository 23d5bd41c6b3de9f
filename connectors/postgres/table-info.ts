/** A table as the catalogue describes it now, which may be later than what the stream tells. */
export interface TableInfo {
  readonly oid: number
  readonly schema: string
  readonly table: string
  /** `r` table, `p` partitioned table, as pg_class.relkind. */
  readonly kind: string
  readonly replicaIdentity: 'd' | 'n' | 'f' | 'i'
  /** Column names of the primary key in its own order; undefined without one. */
  readonly primaryKey: readonly string[] | undefined
  /** Column names of the index that REPLICA IDENTITY USING INDEX names. */
  readonly identityIndex: readonly string[] | undefined
  /** Column names of the first unique index over NOT NULL columns alone, not partial and without expressions (by name). */
  readonly uniqueIndex: readonly string[] | undefined
  /** In the order of the table, without dropped ones. */
  readonly columns: readonly ColumnInfo[]
  /** Where the publication leaves out columns or rows of it: the columns it tells of, and the condition for rows, as SQL. */
  readonly published?: { readonly columns: readonly string[] | undefined; readonly rows: string | undefined }
}

export interface ColumnInfo {
  readonly name: string
  readonly typeOid: number
  /** As pg_attribute.atttypmod; -1 for none. */
  readonly typeModifier: number
  readonly notNull: boolean
  /** The default as SQL (pg_get_expr), undefined without one. Not that of a generated or identity column. */
  readonly default: string | undefined
  readonly generated: 'stored' | 'virtual' | undefined
  /** Of an array, as it was declared (pg_attribute.attndims): `int[][]` is 2. Values may have others; 0 or undefined: 1. */
  readonly dimensions?: number
  readonly identity: boolean
}

/** A row of pg_type, as far as values depend on it. */
export interface TypeInfo {
  readonly oid: number
  readonly schema: string
  /** As pg_type.typname: `int4`, `_text`, `citext`. */
  readonly name: string
  /** As pg_type.typtype: `b` base, `c` composite, `d` domain, `e` enum, `m` multirange, `p` pseudo, `r` range. */
  readonly kind: string
  /** Of an array: the type of its elements; 0 otherwise. */
  readonly elementOid: number
  /** Of a domain: its type and that type's modifier. */
  readonly baseOid: number
  readonly baseModifier: number
  /** Of a range or multirange: the type of its bounds, or its range; 0 otherwise. */
  readonly rangeOid: number
  /** Of an enum, in order. */
  readonly labels: readonly string[]
  /** Between the elements of an array of it: `,`, of box `;`. */
  readonly delimiter: string
}

/** All types of a database by OID. A type made later is fetched when a table first uses it, before its rows come. */
export type Types = ReadonlyMap<number, TypeInfo>
