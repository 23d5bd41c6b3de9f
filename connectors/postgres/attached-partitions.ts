import type pg from 'pg'
import type { Logger } from '../../runtime/api/index.ts'

interface Attached {
  readonly oid: number
  readonly partition: string
  readonly root: string
}

/**
 * Partitions that had rows of their own before they were attached to a root that is captured for them
 * (`publish.via.partition.root`): the stream does not tell of those rows, and the root was read before. Told once each.
 */
export class AttachedPartitions {
  readonly #log: Logger
  readonly #since: string
  readonly #told = new Set<number>()

  /** Attached by the transaction `since` (64 bits, in decimal) or a later one. */
  constructor(log: Logger, since: string) {
    this.#log = log
    this.#since = since
  }

  async look(client: pg.Client, captured: readonly number[]): Promise<void> {
    const { rows } = await client.query<Attached>(
      `SELECT i.inhrelid AS oid, i.inhrelid::regclass::text AS partition, n.nspname || '.' || r.relname AS root
       FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace CROSS JOIN LATERAL pg_partition_tree(r.oid) t
       JOIN pg_inherits i ON i.inhrelid = t.relid JOIN pg_attribute a ON a.attrelid = t.relid AND a.attnum = -1
       WHERE r.oid = ANY ($1::oid[]) AND r.relkind = 'p' AND i.xmin <> a.xmin AND age(i.xmin) >= 0
         AND pg_snapshot_xmax(pg_current_snapshot())::text::bigint - age(i.xmin) >= $2::bigint`,
      [captured, this.#since],
    )
    for (const { oid, partition, root } of rows) {
      if (this.#told.has(oid)) continue
      this.#told.add(oid)
      this.#log.warn(
        { table: root, partition },
        `${partition} was attached to ${root}: rows that it had before are not told under ${root}; where it had any, ask for them: kts-connect signal CONNECTOR execute-snapshot --tables ${root}`,
      )
    }
  }
}
