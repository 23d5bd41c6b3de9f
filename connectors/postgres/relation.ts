/** A table as the stream describes it (message Relation): as it was when the changes behind it were made. */
export interface Relation {
  readonly oid: number
  readonly schema: string
  readonly table: string
  /** `d` default (primary key), `n` nothing, `f` full, `i` by index. */
  readonly replicaIdentity: 'd' | 'n' | 'f' | 'i'
  readonly columns: readonly RelationColumn[]
}

export interface RelationColumn {
  readonly name: string
  readonly typeOid: number
  /** As pg_attribute.atttypmod; -1 for none. */
  readonly typeModifier: number
  /** Part of the replica identity. */
  readonly isKey: boolean
}
