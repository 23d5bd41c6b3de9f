import type pg from 'pg'
import { quoted } from './slot.ts'

export interface KeylessTable {
  readonly schema: string
  readonly table: string
}

/**
 * Which of these tables, or of their partitions, have no replica identity: the server refuses UPDATE and DELETE of them
 * once a publication tells of them. A deferrable primary key is none.
 */
export async function keylessTables(client: pg.Client, oids: readonly number[]): Promise<KeylessTable[]> {
  const { rows } = await client.query<KeylessTable>(
    `SELECT n.nspname AS schema, c.relname AS table FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE (c.oid = ANY ($1::oid[])
         OR c.oid IN (SELECT t.relid FROM unnest($1::oid[]) r(oid), LATERAL pg_partition_tree(r.oid::regclass) t))
       AND c.relkind = 'r' AND c.relreplident <> 'f'
       AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid
         AND CASE c.relreplident WHEN 'd' THEN i.indisprimary AND i.indimmediate WHEN 'i' THEN i.indisreplident END)
     ORDER BY 1, 2`,
    [oids],
  )
  return rows
}

/** What lets UPDATE and DELETE of such a table pass: the whole old row is written to the log. */
export function identitySql({ schema, table }: KeylessTable): string {
  return `ALTER TABLE ONLY ${quoted(schema)}.${quoted(table)} REPLICA IDENTITY FULL;`
}
