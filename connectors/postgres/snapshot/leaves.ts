import type pg from 'pg'
import { KtsError } from '../../../runtime/api/index.ts'
import { serverError } from '../server-error.ts'
import type { TableInfo } from '../table-info.ts'
import { PLACES_PER_BLOCK, type Place, placesBetween } from './place.ts'
import { type NeededColumns, rowKey, type SnapshotTable } from './rows.ts'

/** A table that stores rows: one that is captured, or a leaf of one that is partitioned. */
export interface Leaf {
  readonly oid: number
  /** Quoted, with its schema. */
  readonly name: string
  readonly filenode: number
  /** The end as it was when it was looked at: rows behind it are newer, and are in the stream. */
  readonly end: Place
  /** Bytes, large values included, and rows, by the server's estimate; 0 for a table that it has never looked at. */
  readonly bytes: number
  readonly rows: number
}

/** pg_partition_tree would lock every partition until the end of the transaction, and an initial snapshot's is long. */
const LEAVES = `
WITH RECURSIVE tree AS (
  SELECT $1::oid AS oid
  UNION ALL
  SELECT i.inhrelid FROM tree t JOIN pg_class p ON p.oid = t.oid AND p.relkind = 'p' JOIN pg_inherits i ON i.inhparent = t.oid)
SELECT c.oid::int8::text AS oid, format('%I.%I', n.nspname, c.relname) AS name,
  coalesce(pg_relation_filenode(c.oid), 0)::int8::text AS filenode,
  (pg_relation_size(c.oid) / current_setting('block_size')::int8)::text AS blocks,
  pg_table_size(c.oid)::text AS bytes, greatest(CASE WHEN c.relpages = 0 THEN c.reltuples ELSE
    c.reltuples / c.relpages * (pg_relation_size(c.oid) / current_setting('block_size')::int8) END, 0)::float8::text AS rows
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.oid IN (SELECT oid FROM tree)
ORDER BY c.oid`

/** In the order of their oids; none for a table that is gone. */
export async function leavesOf(client: pg.Client, oid: number): Promise<Leaf[]> {
  const { rows } = await client.query<Record<string, string>>(LEAVES, [oid])
  return rows.map(row => ({
    oid: Number(row.oid),
    name: row.name!,
    filenode: Number(row.filenode),
    end: Number(row.blocks) * PLACES_PER_BLOCK,
    bytes: Number(row.bytes),
    rows: Math.round(Number(row.rows)),
  }))
}

/** Open transactions that may have changed rows of these tables, by a name that is theirs alone; prepared ones too. */
export async function writersOf(client: pg.Client, oids: readonly number[]): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT DISTINCT virtualtransaction || COALESCE(' of pid ' || pid, ' (prepared)') AS name FROM pg_locks
     WHERE locktype = 'relation' AND relation = ANY ($1::oid[]) AND granted AND pid IS DISTINCT FROM pg_backend_pid()
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`,
    [oids],
  )
  return rows.map(row => row.name)
}

/** How many places hold about so many rows, and at most so many bytes: whole blocks. */
export function spanOf(leaf: Leaf, rows: number, bytes: number): Place {
  const blocks = Math.max(1, leaf.end / PLACES_PER_BLOCK)
  const byBytes = bytes / Math.max(1, leaf.bytes / blocks)
  // Never analysed: as if rows were of a hundred bytes.
  const byRows = rows / (leaf.rows === 0 ? 80 : leaf.rows / blocks)
  return Math.max(1, Math.floor(Math.min(byBytes, byRows))) * PLACES_PER_BLOCK
}

export interface PartView {
  /** The leaf's file as the snapshot sees it, and as it is: they differ when it was rewritten in between, and then it is empty. */
  readonly seen: number
  readonly filenode: number
  /** pg_current_snapshot(), as text. */
  readonly snapshot: string
}

/**
 * Begins the transaction that a part of a leaf is read in. It is locked against DDL before its snapshot is taken, so what
 * is asked of the catalogue until the end of the transaction holds for the rows. Undefined when the leaf is gone (or has
 * another name, which is the same to whoever asks for the leaves again).
 */
export async function beginPart(
  client: pg.Client,
  leaf: Pick<Leaf, 'oid' | 'name'>,
  exported?: string,
): Promise<PartView | undefined> {
  try {
    // In one go, so that a part costs the server's answer once less. Of several statements there is an array of results.
    const results = await client.query(
      `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${exported === undefined ? '' : `SET TRANSACTION SNAPSHOT '${exported}'; `}SET LOCAL row_security = off; LOCK TABLE ${leaf.name} IN ACCESS SHARE MODE;
      SELECT relfilenode::int8::text AS seen, coalesce(pg_relation_filenode(oid), 0)::int8::text AS filenode, pg_current_snapshot()::text AS snapshot FROM pg_class WHERE oid = ${leaf.oid}`,
    )
    const [row] = (results as unknown as pg.QueryResult<Record<string, string>>[]).at(-1)!.rows
    if (row !== undefined) {
      return { seen: Number(row.seen), filenode: Number(row.filenode), snapshot: row.snapshot! }
    }
  } catch (error) {
    const problem = serverError(error, `reading ${leaf.name}`)
    if (problem.details?.sqlState !== '42P01' && problem.details?.sqlState !== '3F000') throw problem
  }
  await client.query('ROLLBACK')
  return undefined
}

/** Throws CONFIG_INVALID where the server does not take it as a condition on the table. */
export async function checkCondition(
  client: pg.Client,
  { schema, table }: Pick<TableInfo, 'schema' | 'table'>,
  condition: string,
): Promise<void> {
  const name = `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`
  try {
    // The extended protocol takes one statement only, and this one is never run.
    const query = { text: `EXPLAIN SELECT 1 FROM ${name} WHERE (${condition}\n)`, queryMode: 'extended' }
    await client.query(query as pg.QueryConfig)
  } catch (error) {
    const problem = serverError(error, `condition for ${schema}.${table}`)
    throw problem.code === 'RETRIABLE' ? problem : new KtsError('CONFIG_INVALID', problem.message, { cause: error })
  }
}

export interface CopyOptions {
  readonly binary: boolean
  /** SQL: only rows for which this is true. */
  readonly filter: string | undefined
  readonly needed: NeededColumns | undefined
}

/** Rows of [from, to) of a leaf, or those at certain places, as far as the publication tells of them. */
export function copyPart(
  table: SnapshotTable,
  leaf: Pick<Leaf, 'name'>,
  rows: { readonly from: Place; readonly to: Place | undefined } | { readonly tids: readonly string[] },
  options: CopyOptions,
): string {
  const needed = options.needed?.(table)
  const key = rowKey(table)
  // A column that nobody needs keeps its place, and its value, which may be large, is not read.
  const isRead = (index: number) => needed?.has(index) !== false || key?.includes(index) === true
  const columns = table.relation.columns
    .map(({ name }, index) => (isRead(index) ? quoteIdentifier(name) : 'NULL'))
    .join(', ')
  const where =
    'tids' in rows
      ? `ctid = ANY ('{${rows.tids.map(tid => `"${tid}"`).join()}}'::tid[])`
      : placesBetween(rows.from, rows.to)
  // The line end keeps a comment at the end of the condition from hiding what follows.
  const conditions = [table.info.published?.rows, options.filter].filter(condition => condition !== undefined)
  const filter = conditions.map(condition => ` AND (${condition}\n)`).join('')
  const form = options.binary ? ' WITH (FORMAT binary)' : ''
  // Conditions may name the table, whichever leaf is read.
  const name = `${leaf.name} AS ${quoteIdentifier(table.info.table)}`
  return `COPY (SELECT ${columns} FROM ONLY ${name} WHERE ${where}${filter}) TO STDOUT${form}`
}

export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
