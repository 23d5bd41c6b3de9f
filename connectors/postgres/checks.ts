import type pg from 'pg'
import { type Clock, errorMessage, KtsError } from '../../runtime/api/index.ts'
import { byteSize } from './byte-size.ts'
import { type ServerState, serverState } from './catalog.ts'
import { type Connections, closeClient } from './connection.ts'
import { error, named, type Problem, warning } from './problem.ts'
import { publicationProblems } from './publication-checks.ts'
import { dropSlotSql, quoted, slotState } from './slot.ts'
import { checkSlot } from './slot-check.ts'
import type { SlotOptions } from './slot-options.ts'
import type { SnapshotOptions } from './snapshot-options.ts'
import { TableFilter } from './table-filter.ts'
import { tableProblems } from './table-checks.ts'

/** An inactive slot that holds more than this is told of. */
const ORPHAN_BYTES = 256 << 20

export type CheckedOptions = SlotOptions & Pick<SnapshotOptions, 'snapshot.mode'>

/** Of the role that we connect as, and of the server's settings. */
interface Facts {
  role: string
  superuser: boolean
  replication: boolean
  wal_level: string
  slots: number
  max_slots: number
  keep_size: string
  encoding: string
  feedback: string
}

/**
 * All that is missing at the server for this connector, each with the SQL that mends it. Changes nothing there. Rejects as
 * a connection does when the server cannot be asked.
 */
export async function checkServer(
  connections: Connections,
  options: CheckedOptions,
  clock: Clock,
  signal?: AbortSignal,
): Promise<readonly Problem[]> {
  const client = await connections.regular(signal)
  try {
    const server = await serverState(client)
    const facts = await factsOf(client)
    const filter = new TableFilter(options)
    return [
      ...serverProblems(server, facts),
      ...(await roleProblems(connections, facts, clock, signal)),
      ...(await slotProblems(client, options, server, facts)),
      ...dropProblems(options),
      ...(await orphanProblems(client, options['slot.name'])),
      // A table's identity is to be mended before the publication is made, or its updates fail meanwhile.
      ...(await tableProblems(client, options, filter, facts.role)),
      ...(await publicationProblems(client, options, filter, facts)),
      ...alterProblems(options, server.version),
    ]
  } finally {
    await closeClient(client, clock)
  }
}

async function factsOf(client: pg.Client): Promise<Facts> {
  // Managed servers give the right to replicate through a role of theirs.
  const { rows } = await client.query<Facts>(
    `SELECT r.rolname::text AS role, r.rolsuper AS superuser,
       r.rolreplication OR EXISTS (SELECT FROM pg_roles m WHERE m.rolname IN ('rds_replication', 'azure_replication')
         AND pg_has_role(r.oid, m.oid, 'MEMBER')) AS replication,
       current_setting('wal_level') AS wal_level,
       (SELECT count(*)::int FROM pg_replication_slots) AS slots,
       current_setting('max_replication_slots')::int AS max_slots,
       current_setting('max_slot_wal_keep_size') AS keep_size,
       current_setting('server_encoding') AS encoding,
       current_setting('hot_standby_feedback') AS feedback
     FROM pg_roles r WHERE r.rolname = current_user`,
  )
  return rows[0]!
}

function serverProblems(server: ServerState, facts: Facts): Problem[] {
  const problems: Problem[] = []
  if (server.version < 140_000)
    problems.push(error(`expected PostgreSQL 14 or later, got server_version_num ${server.version}`))
  if (facts.wal_level !== 'logical')
    problems.push(
      error(
        `expected wal_level logical, got ${facts.wal_level}; the server must be restarted after the change`,
        `ALTER SYSTEM SET wal_level = 'logical';`,
      ),
    )
  if (facts.encoding === 'SQL_ASCII')
    problems.push(
      warning(
        'the encoding of the database is SQL_ASCII, which takes any bytes: a value that is no UTF-8 stops the connector until it is mended or its table left out',
      ),
    )
  if (server.standby && server.version < 160_000)
    problems.push(error('expected the primary, since standbys decode from PostgreSQL 16 on; got a standby'))
  if (server.standby && server.version >= 160_000 && facts.feedback !== 'on')
    problems.push(
      warning(
        'expected hot_standby_feedback on at this standby, or the primary may remove rows that decoding needs, which invalidates the slot',
        'ALTER SYSTEM SET hot_standby_feedback = on;',
        'SELECT pg_reload_conf();',
      ),
    )
  if (facts.keep_size === '-1')
    problems.push(
      warning(
        'max_slot_wal_keep_size is unlimited: a connector that is stopped or stuck keeps WAL until the disk of the server is full; set a limit that fits the disk',
        `ALTER SYSTEM SET max_slot_wal_keep_size = '50GB';`,
        'SELECT pg_reload_conf();',
      ),
    )
  return problems
}

/** By trying: pg_hba.conf, the attribute, and whether a WAL sender is free. */
async function roleProblems(
  connections: Connections,
  facts: Facts,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<Problem[]> {
  if (!facts.replication && !facts.superuser)
    return [
      error(
        `expected role ${facts.role} to have the attribute REPLICATION, got none`,
        `ALTER ROLE ${quoted(facts.role)} REPLICATION;`,
      ),
    ]
  try {
    await closeClient(await connections.replication(signal), clock)
    return []
  } catch (cause) {
    return [error(`expected a replication connection: ${errorMessage(cause)}`)]
  }
}

async function slotProblems(
  client: pg.Client,
  options: SlotOptions,
  server: ServerState,
  facts: Facts,
): Promise<Problem[]> {
  const name = options['slot.name']
  if (options['slot.failover'] && server.version < 170_000)
    return [error('slot.failover: expected PostgreSQL 17 or later, got an older one; set it to false')]
  const slot = await slotState(client, name)
  if (slot === undefined)
    return facts.slots < facts.max_slots
      ? []
      : [
          error(
            `expected a free replication slot for ${name}, got ${facts.slots} of max_replication_slots ${facts.max_slots} in use: drop those that nobody reads (${await slotNames(client)}), or raise the setting and restart the server`,
            `ALTER SYSTEM SET max_replication_slots = ${facts.max_slots + 10};`,
          ),
        ]
  try {
    checkSlot(slot, name, undefined, { ...server, history: [] })
  } catch (cause) {
    if (!(cause instanceof KtsError)) throw cause
    // One of another kind belongs to somebody, a standby say: what drops it is not handed out.
    return [cause.code === 'POSITION_LOST' ? error(cause.message, dropSlotSql(name)) : error(cause.message)]
  }
  if (slot.activePid !== undefined)
    return [
      warning(
        `slot ${name} is being read by process ${slot.activePid}: it is ours if the connector runs, else set slot.name to another`,
      ),
    ]
  return []
}

function dropProblems(options: CheckedOptions): Problem[] {
  const mode = options['snapshot.mode']
  if (!options['slot.drop.on.stop'] || mode === 'when_needed' || mode === 'initial_only') return []
  return [
    warning(
      `slot.drop.on.stop: expected snapshot.mode when_needed, got ${mode}: once the connector has stopped its slot is gone, and the next start fails with POSITION_LOST; set snapshot.mode to when_needed, or leave the slot`,
    ),
  ]
}

/**
 * Minor releases before these go on with an outdated cache when a publication is altered under an open transaction:
 * https://www.postgresql.org/docs/release/17.5/
 */
const ALTERS_SAFELY: Readonly<Record<number, number>> = { 14: 18, 15: 13, 16: 9, 17: 5 }

/** Of a server with this `server_version_num`. */
export function alterProblems(options: Pick<SlotOptions, 'publication.autocreate.mode'>, version: number): Problem[] {
  const major = Math.floor(version / 10_000)
  const minor = version % 10_000
  const mended = ALTERS_SAFELY[major]
  if (options['publication.autocreate.mode'] !== 'filtered' || mended === undefined || minor >= mended) return []
  return [
    warning(
      `publication.autocreate.mode is filtered: expected PostgreSQL ${major}.${mended} or later, got ${major}.${minor}, which may leave out changes of a table that is added to the publication while a transaction that writes to it is open; update the server, or set the mode to all_tables`,
    ),
  ]
}

async function slotNames(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    'SELECT slot_name::text AS name FROM pg_replication_slots WHERE NOT active ORDER BY 1',
  )
  return rows.length === 0 ? 'all are read' : named(rows.map(row => row.name))
}

async function orphanProblems(client: pg.Client, ours: string): Promise<Problem[]> {
  const { rows } = await client.query<{ name: string; held: string }>(
    `SELECT slot_name::text AS name, held::text FROM pg_replication_slots,
       LATERAL (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - restart_lsn AS held) w
     WHERE NOT active AND slot_name <> $1 AND held > $2 ORDER BY held DESC`,
    [ours, ORPHAN_BYTES],
  )
  return rows.map(({ name, held }) =>
    warning(
      `slot ${name} is read by nobody and makes the server keep ${byteSize(Number(held))} of WAL; drop it if its reader is gone for good`,
      dropSlotSql(name),
    ),
  )
}
