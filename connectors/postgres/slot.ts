import type pg from 'pg'
import { type Clock, errorCode, errorMessage, KtsError, type Logger, sleep } from '../../runtime/api/index.ts'
import { type Lsn, parseLsn } from './lsn.ts'
import { cut } from './connection.ts'
import { serverError } from './server-error.ts'
import { type CreationWatch, watchCreation } from './slot-wait.ts'

/** A logical slot as pg_replication_slots shows it. */
export interface SlotState {
  readonly name: string
  readonly plugin: string
  readonly database: string
  readonly temporary: boolean
  readonly active: boolean
  readonly activePid: number | undefined
  /** Oldest WAL that it keeps; undefined once it is invalidated. */
  readonly restartLsn: Lsn | undefined
  /** Everything below was confirmed by its reader, and is not told again. */
  readonly confirmedFlushLsn: Lsn | undefined
  /** `reserved`, `extended`, `unreserved` or `lost`. */
  readonly walStatus: string | undefined
  /** Bytes that may still be written before its WAL may be removed; undefined without a limit. */
  readonly safeWalSize: number | undefined
  /** PostgreSQL 17 and later: why it is lost. */
  readonly invalidationReason: string | undefined
  /** Transactions were sent by it, since the server's statistics were reset last (a crash of the server does that too). */
  readonly wasRead: boolean
  readonly twoPhase: boolean
  /** PostgreSQL 17 and later: standbys keep a copy of it; this is such a copy. */
  readonly failover: boolean
  readonly synced: boolean
}

interface SlotRow {
  plugin: string | null
  database: string | null
  temporary: boolean
  active: boolean
  active_pid: number | null
  restart_lsn: string | null
  confirmed_flush_lsn: string | null
  wal_status: string | null
  safe_wal_size: string | null
  was_read: boolean
  two_phase: boolean
  /** Of 17 and later. */
  invalidation_reason?: string | null
  failover?: boolean
  synced?: boolean
  standby: boolean
}

/** Up to where the slot was confirmed, as the server of a replication connection says, which takes no parameters. */
export async function confirmedPlace(replication: pg.Client, name: string): Promise<Lsn | undefined> {
  const { rows } = await replication.query<{ lsn: string | null }>(
    `SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = ${literal(name)}`,
  )
  const lsn = rows[0]?.lsn
  return lsn == null ? undefined : parseLsn(lsn)
}

/** Undefined when there is no slot of that name. */
export async function slotState(client: pg.Client, name: string): Promise<SlotState | undefined> {
  // All columns, since which there are depends on the version.
  const sql = `SELECT s.*, pg_is_in_recovery() AS standby,
      EXISTS (SELECT 1 FROM pg_stat_replication_slots t WHERE t.slot_name = s.slot_name AND t.total_txns > 0) AS was_read
    FROM pg_replication_slots s WHERE slot_name = $1`
  const { rows } = await client.query<SlotRow>(sql, [name])
  const row = rows[0]
  if (row === undefined) return undefined
  return {
    name,
    plugin: row.plugin ?? '',
    database: row.database ?? '',
    temporary: row.temporary,
    active: row.active,
    activePid: row.active_pid ?? undefined,
    restartLsn: lsnOf(row.restart_lsn),
    confirmedFlushLsn: lsnOf(row.confirmed_flush_lsn),
    walStatus: row.wal_status ?? undefined,
    safeWalSize: row.safe_wal_size === null ? undefined : Number(row.safe_wal_size),
    invalidationReason: row.invalidation_reason ?? undefined,
    wasRead: row.was_read,
    twoPhase: row.two_phase,
    failover: row.failover ?? false,
    // A promoted standby goes on saying that its slots are copies.
    synced: row.standby && (row.synced ?? false),
  }
}

function lsnOf(text: string | null): Lsn | undefined {
  return text === null ? undefined : parseLsn(text)
}

export interface NewSlot {
  readonly name: string
  /** As 150004. */
  readonly serverVersion: number
  /** Refused below 17. */
  readonly failover: boolean
  /** Gone with its connection. */
  readonly temporary?: boolean
}

/**
 * Makes a slot and exports the snapshot of exactly that place in the log: valid until the next command on this replication
 * connection. Waits until the transactions that run now have ended: `watch` tells which, and gives up. Rejects with CONFIG_INVALID (42710: there is one
 * already; no slot is free), or as the connection does.
 */
export async function createSlot(
  replication: pg.Client,
  slot: NewSlot,
  watch?: CreationWatch,
): Promise<{ readonly consistentPoint: Lsn; readonly snapshotName: string }> {
  if (slot.failover) checkFailover(slot.serverVersion)
  const temporary = slot.temporary === true ? ' TEMPORARY' : ''
  const exported = slot.serverVersion >= 150_000 ? "(SNAPSHOT 'export'" : 'EXPORT_SNAPSHOT'
  const options = slot.serverVersion >= 150_000 ? `${exported}${slot.failover ? ', FAILOVER true' : ''})` : exported
  const sql = `CREATE_REPLICATION_SLOT ${quoted(slot.name)}${temporary} LOGICAL pgoutput ${options}`
  const make = () => replication.query<{ consistent_point: string; snapshot_name: string }>(sql)
  try {
    const { rows } = await (watch === undefined ? make() : watchCreation(replication, slot.name, make, watch))
    const { consistent_point, snapshot_name } = rows[0]!
    return { consistentPoint: parseLsn(consistent_point), snapshotName: snapshot_name }
  } catch (error) {
    throw slotError(error, slot.name)
  }
}

function checkFailover(serverVersion: number): void {
  if (serverVersion >= 170_000) return
  throw new KtsError(
    'CONFIG_INVALID',
    'slot.failover: expected PostgreSQL 17 or later, got an older one; set it to false',
  )
}

/**
 * Has standbys keep a copy of a slot that was made without (`serverVersion`: as 170004). The server waits without end for a
 * connection that has it, so after `wait.delayMs` it is given up. Rejects with RETRIABLE then and where the server is away, with
 * CONFIG_INVALID where it refuses. https://www.postgresql.org/docs/17/protocol-replication.html (ALTER_REPLICATION_SLOT)
 */
export async function makeFailover(
  replication: pg.Client,
  name: string,
  serverVersion: number,
  { clock, delayMs, signal }: Pick<SlotWait, 'clock' | 'delayMs' | 'signal'>,
): Promise<void> {
  checkFailover(serverVersion)
  let given: KtsError | undefined
  const giveUp = () => {
    const why = signal?.aborted ? 'the connector stops' : 'another connection has the slot'
    given = new KtsError('RETRIABLE', `slot.failover: gave up altering slot ${name}, since ${why}`)
    cut(replication)
  }
  const timer = clock.timer(delayMs, giveUp)
  signal?.addEventListener('abort', giveUp, { once: true })
  try {
    await replication.query(`ALTER_REPLICATION_SLOT ${quoted(name)} (FAILOVER true)`)
  } catch (error) {
    const told = serverError(error, `slot.failover: slot ${name}`)
    if (given !== undefined || told.code === 'RETRIABLE') throw given ?? told
    throw new KtsError(
      'CONFIG_INVALID',
      `slot.failover: slot ${name} could not be made one that standbys keep a copy of: ${errorMessage(error)}; set it to false, or drop the slot for a new one`,
      { cause: error },
    )
  } finally {
    timer.cancel()
    signal?.removeEventListener('abort', giveUp)
  }
}

const DROP_LOOKS = 20

/**
 * False when there was none. Waits two seconds for a connection that has it, since one that we closed is noticed a moment
 * later; rejects with RETRIABLE then.
 */
export async function dropSlot(client: pg.Client, name: string): Promise<boolean> {
  for (let looks = 1; ; looks++) {
    try {
      await client.query('SELECT pg_drop_replication_slot($1)', [name])
      return true
    } catch (error) {
      if (errorCode(error) === '42704') return false
      if (errorCode(error) !== '55006' || looks >= DROP_LOOKS) throw slotError(error, name)
    }
    await client.query('SELECT pg_sleep(0.1)')
  }
}

export function dropSlotSql(name: string): string {
  return `SELECT pg_drop_replication_slot('${name}');`
}

function slotError(error: unknown, name: string): unknown {
  const said = error instanceof Error ? error.message : ''
  switch (errorCode(error)) {
    case '42710':
      return new KtsError(
        'CONFIG_INVALID',
        `slot ${name}: expected a free name, got one that a slot has already; set slot.name to another`,
        { cause: error },
      )
    case '53400':
      return new KtsError(
        'CONFIG_INVALID',
        `slot ${name}: ${said}; drop slots that nobody reads, or raise max_replication_slots and restart the server`,
        { cause: error },
      )
    case '55000':
      return new KtsError(
        'CONFIG_INVALID',
        `slot ${name}: ${said}; logical decoding needs wal_level = logical (ALTER SYSTEM SET wal_level = 'logical'; then restart the server)`,
        { cause: error },
      )
    case '42501':
      return new KtsError(
        'CONFIG_INVALID',
        `slot ${name}: ${said}; expected a role with the attribute REPLICATION (ALTER ROLE … REPLICATION)`,
        { cause: error },
      )
    case '55006':
      return new KtsError('RETRIABLE', `slot ${name}: ${said}; end that connection first`, { cause: error })
    default:
      return error
  }
}

/** An identifier, whatever is in it. */
export function quoted(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`
}

/** A literal, whatever is in it and whatever standard_conforming_strings says. */
export function literal(text: string): string {
  const escaped = text.replaceAll("'", "''")
  return text.includes('\\') ? ` E'${escaped.replaceAll('\\', '\\\\')}'` : `'${escaped}'`
}

export interface SlotWait {
  readonly retries: number
  readonly delayMs: number
  readonly clock: Clock
  readonly log: Logger
  readonly signal?: AbortSignal
}

/** A connection of ours that was cut is mostly gone in a moment. */
const LOOK_MS = 500

/**
 * Waits until no connection has the slot, `retries` times `delayMs`: one of ours that was cut is there until the server
 * notices. Answers its state then, or undefined when it is gone. Rejects with RETRIABLE, naming who has it.
 */
export async function waitForSlot(client: pg.Client, name: string, wait: SlotWait): Promise<SlotState | undefined> {
  const began = wait.clock.monotonic()
  for (let told = 0; ; ) {
    const state = await slotState(client, name)
    if (state?.activePid === undefined) return state
    const attempts = Math.floor((wait.clock.monotonic() - began) / wait.delayMs)
    const ends = attempts >= wait.retries || wait.signal?.aborted === true
    if (ends || attempts > told) {
      const message = `slot ${name}: expected it to be free, got one that ${await holderOf(client, state.activePid)} has`
      const remedy = `end that connection (SELECT pg_terminate_backend(${state.activePid});), or set slot.name to another`
      if (ends) throw new KtsError('RETRIABLE', `${message}; ${remedy}`)
      wait.log.warn({ slot: name, pid: state.activePid }, `${message}; waiting for it`)
      told = attempts
    }
    await sleep(wait.clock, Math.min(LOOK_MS, wait.delayMs), wait.signal)
  }
}

async function holderOf(client: pg.Client, pid: number): Promise<string> {
  const { rows } = await client.query<{ application: string | null; user: string | null; address: string | null }>(
    `SELECT application_name AS application, usename AS user, client_addr::text AS address
     FROM pg_stat_activity WHERE pid = $1`,
    [pid],
  )
  const row = rows[0]
  const application = row?.application ? ` (${row.application}` : ' (no application name'
  return `process ${pid}${application}, user ${row?.user ?? 'unknown'}, ${row?.address ?? 'unix socket'})`
}
