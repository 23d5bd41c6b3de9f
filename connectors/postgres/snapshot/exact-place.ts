import type pg from 'pg'
import { type Random, randomId } from '../../../runtime/api/index.ts'
import { type Lsn, parseLsn } from '../lsn.ts'
import { serverError } from '../server-error.ts'

/** Rows as of one place in the stream: every commit below `lsn` is in the snapshot, and none from there on. */
export interface ExactPlace {
  readonly lsn: Lsn
  /** As long as the connection is left alone. */
  readonly snapshotName: string
}

/**
 * By a temporary slot, which is made for the snapshot that it exports. The server waits for all transactions that are under
 * way, so this may take as long as the longest of them; the slot ends with the connection.
 */
export async function exactPlace(replication: pg.Client, random: Random): Promise<ExactPlace> {
  const name = `kts_snapshot_${randomId(random)
    .replace(/[^A-Za-z0-9]/g, '_')
    .toLowerCase()}`
  try {
    // In this older spelling, which every version takes.
    const sql = `CREATE_REPLICATION_SLOT "${name}" TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT`
    const { rows } = await replication.query<{ consistent_point: string; snapshot_name: string }>(sql)
    const [row] = rows
    return { lsn: parseLsn(row!.consistent_point), snapshotName: row!.snapshot_name }
  } catch (error) {
    throw serverError(error, 'making a temporary replication slot, by which a table without a key is read')
  }
}
