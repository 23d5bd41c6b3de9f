import type pg from 'pg'
import type { JsonObject, Logger, SourceCheckpoint } from '../../runtime/api/index.ts'
import { type Lsn, parseLsn } from './lsn.ts'
import { serverError } from './server-error.ts'

/** A table that stores rows, or a partition of a root that is captured for it. */
interface Stored {
  readonly oid: number
  readonly captured: number
  readonly name: string
  readonly capturedName: string
  /** Of its rows' file; another one when the rows were written anew. */
  readonly file: number
  /** A partition of this root since we looked last. */
  readonly attached: boolean
}

interface Rows {
  /** Some are older than the last look: they were copied as they are. */
  readonly old: boolean
  /** Some were written by the transaction that made the file. */
  readonly rewritten: boolean
  /** That transaction changed columns. */
  readonly redefined: boolean
  readonly empty: boolean
}

export interface RewrittenTablesParts {
  /** `topic.prefix`, which names the connector's checkpoints. */
  readonly server: string
  readonly checkpoints: readonly SourceCheckpoint[]
  /** Tables that are read in this run anyway: their files are new to us. */
  readonly fresh: readonly number[]
  /** The last run ended before this transaction (64 bits, in decimal). */
  readonly since: string
  /** Everything below was streamed; undefined before the stream begins. */
  readonly streamed: () => Lsn | undefined
  /** Has a captured table read again; false where none is read. */
  readonly again: (oid: number) => boolean
  readonly log: Logger
}

/** Blocks of 8 KiB whose rows are looked at, when a table has another file. */
const BLOCKS = 1000

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const UNDEFINED_TABLE = '42P01'
const UNDEFINED_SCHEMA = '3F000'
const DENIED = '42501'

const STORED = `
WITH RECURSIVE tree AS (
  SELECT oid AS captured, oid, false AS attached FROM pg_class WHERE oid = ANY ($1::oid[])
  UNION ALL
  SELECT t.captured, i.inhrelid, age(i.xmin) >= 0 AND pg_snapshot_xmax(pg_current_snapshot())::text::bigint - age(i.xmin) >= $2::bigint
  FROM tree t JOIN pg_class p ON p.oid = t.oid AND p.relkind = 'p' JOIN pg_inherits i ON i.inhparent = t.oid)
SELECT c.oid, t.captured, t.attached, c.relfilenode AS file, format('%I.%I', n.nspname, c.relname) AS name,
  rn.nspname || '.' || r.relname AS "capturedName"
FROM tree t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class r ON r.oid = t.captured JOIN pg_namespace rn ON rn.oid = r.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND (c.relfilenode <> c.oid OR t.captured <> c.oid)`

const NOW = `SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xid,
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text AS lsn`

/**
 * Tables whose rows were written anew outside of the stream: what changes between SET UNLOGGED and SET LOGGED is in no WAL,
 * and behind it the catalogue shows nothing but that the rows lie in another file. Those that an ALTER TABLE rewrote carry the
 * number of its transaction, while VACUUM FULL and CLUSTER copy rows with theirs, and a TRUNCATE is in the stream.
 */
export class RewrittenTables {
  readonly #parts: RewrittenTablesParts
  /**
   * By table, where it is not the table's own number: the file that was last seen, or, below 0, the transaction (32 bits) by
   * which the stream told last that the table was truncated.
   */
  readonly #known = new Map<number, number>()
  /** Of this run: others among the partitions are new. */
  readonly #seen = new Set<number>()
  #captured = new Map<number, readonly number[]>()
  #restored: boolean
  #looked = false
  #changed = false
  /** When the known files were seen, by the transaction that came next: rows that are older were there. */
  #since: string
  #attachedSince: string
  /** Other files than the known ones, and how far the stream must be before it has told of all that is known there. */
  readonly #suspects = new Map<number, { readonly file: number; readonly lsn: Lsn }>()

  constructor(parts: RewrittenTablesParts) {
    this.#parts = parts
    this.#attachedSince = parts.since
    const { server, checkpoints } = parts
    const found = checkpoints.find(c => c.partition.server === server && c.partition.files !== undefined)
    this.#restored = found !== undefined && found.position !== null
    // Not that of the last run, which may have ended before it knew what became of a table.
    this.#since = String(found?.position?.since ?? parts.since)
    const files = (found?.position?.files ?? {}) as JsonObject
    for (const [oid, file] of Object.entries(files)) this.#known.set(Number(oid), Number(file))
  }

  /** The stream tells that a table is truncated. */
  truncated(captured: number, xid: number): void {
    for (const oid of this.#captured.get(captured) ?? [captured]) {
      this.#set(oid, -xid)
      this.#suspects.delete(oid)
    }
  }

  /** To be made durable, with all that was asked for before. Undefined when it is. */
  checkpoint(): SourceCheckpoint | undefined {
    if (!this.#changed) return undefined
    const partition = { server: this.#parts.server, files: 'tables' }
    return { partition, position: { files: Object.fromEntries(this.#known), since: this.#since } }
  }

  /** The checkpoint that was made last is in a batch. */
  written(checkpoint: SourceCheckpoint): void {
    const { files } = checkpoint.position as { files: JsonObject }
    const isSame = Object.keys(files).length === this.#known.size
    this.#changed = !isSame || [...this.#known].some(([oid, file]) => files[oid] !== file)
  }

  /** `found`: the captured tables; `added`: those among them that were not before. */
  async look(client: pg.Client, found: readonly number[], added: readonly number[]): Promise<void> {
    const stored = (await client.query<Stored>(STORED, [found, this.#attachedSince])).rows
    const { xid, lsn } = (await client.query<{ xid: string; lsn: string }>(NOW)).rows[0]!
    const fresh = new Set(this.#looked ? added : [...added, ...this.#parts.fresh])
    for (const table of stored) {
      const isNew = !this.#restored || fresh.has(table.captured) || table.attached
      const isPartition = table.oid !== table.captured
      if (isNew || (this.#looked && isPartition && !this.#seen.has(table.oid))) this.#set(table.oid, table.file)
      else if ((this.#known.get(table.oid) ?? table.oid) !== table.file)
        await this.#suspect(client, table, parseLsn(lsn))
    }
    const all = new Set(stored.map(({ oid }) => oid))
    for (const oid of all) this.#seen.add(oid)
    for (const oid of this.#known.keys()) if (!all.has(oid)) this.#changed = this.#known.delete(oid)
    this.#captured = byCaptured(stored)
    this.#changed ||= !this.#restored
    this.#restored = true
    this.#looked = true
    this.#attachedSince = xid
    if (this.#suspects.size === 0) this.#since = xid
  }

  async #suspect(client: pg.Client, table: Stored, lsn: Lsn): Promise<void> {
    const { oid, file } = table
    const known = this.#known.get(oid) ?? oid
    const suspect = this.#suspects.get(oid)
    const streamed = this.#parts.streamed()
    if (suspect?.file !== file) this.#suspects.set(oid, { file, lsn })
    if (suspect?.file !== file && known >= 0) return
    if (known >= 0 && (streamed === undefined || streamed < suspect!.lsn)) return
    const rows = await this.#rowsOf(client, table, known)
    // The stream has told of a TRUNCATE meanwhile, which is what made this file or one before it.
    if ((this.#known.get(oid) ?? oid) !== known) return
    this.#suspects.delete(oid)
    this.#set(oid, file)
    if (rows !== undefined && !rows.old) this.#tell(table, rows, known < 0)
  }

  /** Undefined when the table is gone. Of one that may not be read nothing is known. */
  async #rowsOf(client: pg.Client, { oid, name }: Stored, known: number): Promise<Rows | undefined> {
    const by = `ARRAY(SELECT xmin FROM pg_class WHERE oid = $1 OR oid = (SELECT reltoastrelid FROM pg_class WHERE oid = $1)
      OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = $1))`
    try {
      const { rows } = await client.query<Rows>(
        `WITH made AS MATERIALIZED (SELECT xmin FROM ONLY ${name} WHERE ctid < '(${BLOCKS},0)'),
           by AS MATERIALIZED (SELECT xid FROM unnest(${by}) AS u(xid) WHERE xid::text <> $3)
         SELECT EXISTS (SELECT FROM made WHERE age(xmin) < 0
             OR pg_snapshot_xmax(pg_current_snapshot())::text::bigint - age(xmin) < $2::bigint) AS old,
           EXISTS (SELECT FROM made WHERE xmin IN (SELECT xid FROM by)) AS rewritten,
           EXISTS (SELECT FROM pg_attribute WHERE attrelid = $1 AND attnum > 0
             AND xmin IN (SELECT xid FROM by WHERE xid IN (SELECT xmin FROM made))) AS redefined,
           NOT EXISTS (SELECT FROM made) AS empty`,
        [oid, this.#since, String(known < 0 ? -known : 0)],
      )
      return rows[0]
    } catch (error) {
      const { sqlState } = serverError(error, name).details ?? {}
      if (sqlState === UNDEFINED_TABLE || sqlState === UNDEFINED_SCHEMA) return undefined
      if (sqlState === DENIED) return { old: false, rewritten: false, redefined: false, empty: true }
      // A lock, say: the next look tries again.
      throw error
    }
  }

  #tell({ oid, captured, name, capturedName }: Stored, rows: Rows, truncated: boolean): void {
    const { log, again } = this.#parts
    const ask = `kts-connect signal CONNECTOR execute-snapshot --tables ${capturedName}`
    const fields = { table: capturedName }
    const isPartition = captured !== oid
    if (rows.rewritten && !rows.redefined && !isPartition && again(captured))
      log.warn(
        fields,
        `${name} was rewritten by an ALTER TABLE, as SET UNLOGGED and SET LOGGED do: what changed in between is in no event, so the table is read again (rows that were deleted then are not told as deleted)`,
      )
    else if (rows.rewritten)
      log.warn(
        fields,
        `${name} was rewritten by an ALTER TABLE: values that changed by it, and whatever changed while it was UNLOGGED, are in no event; ask for the rows where that matters: ${ask}`,
      )
    else if (truncated) return
    else if (isPartition || rows.empty)
      log.warn(
        fields,
        `the rows of ${name} were replaced outside of the stream, as a TRUNCATE of a partition alone or a time as UNLOGGED does: that is in no event; ask for the rows where that matters: ${ask}`,
      )
    else
      log.info(
        fields,
        `the file of ${name} was replaced, as VACUUM FULL does; had it been UNLOGGED meanwhile, what changed then would be in no event, and be asked for by ${ask}`,
      )
  }

  #set(oid: number, file: number): void {
    const known = file === oid ? undefined : file
    if (this.#known.get(oid) === known) return
    if (known === undefined) this.#known.delete(oid)
    else this.#known.set(oid, known)
    this.#changed = true
  }
}

function byCaptured(stored: readonly Stored[]): Map<number, readonly number[]> {
  const tables = new Map<number, number[]>()
  for (const { oid, captured } of stored) tables.set(captured, [...(tables.get(captured) ?? []), oid])
  return tables
}
