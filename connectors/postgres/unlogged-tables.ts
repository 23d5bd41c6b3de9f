import type pg from 'pg'
import type { Logger } from '../../runtime/api/index.ts'

interface Unlogged {
  readonly oid: number
  readonly name: string
  readonly captured: string
}

/**
 * Partitions of captured tables that were made UNLOGGED: what changes in them is not in the stream, and the publication
 * has them still. (A table of its own leaves the publication by that, and is read anew when it comes back.) Told once each time.
 */
export class UnloggedTables {
  readonly #log: Logger
  #told: readonly number[] = []

  constructor(log: Logger) {
    this.#log = log
  }

  async look(client: pg.Client, captured: readonly number[]): Promise<void> {
    const { rows } = await client.query<Unlogged>(
      `SELECT c.oid, c.oid::regclass::text AS name, n.nspname || '.' || r.relname AS captured
       FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace
       CROSS JOIN LATERAL (SELECT r.oid AS relid UNION SELECT relid FROM pg_partition_tree(r.oid)) t
       JOIN pg_class c ON c.oid = t.relid
       WHERE r.oid = ANY ($1::oid[]) AND (r.relkind = 'p' OR r.relispartition) AND c.relkind = 'r' AND c.relpersistence <> 'p'`,
      [captured],
    )
    for (const { oid, name, captured: table } of rows) {
      if (this.#told.includes(oid)) continue
      this.#log.warn(
        { table, partition: name },
        `${name} is UNLOGGED: what changes in it is not in the stream and so not told; run ALTER TABLE ${name} SET LOGGED, and then ask for its rows: kts-connect signal CONNECTOR execute-snapshot --tables ${table} (rows that were deleted meanwhile are not told as deleted)`,
      )
    }
    this.#told = rows.map(({ oid }) => oid)
  }
}
