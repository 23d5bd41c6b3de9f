import type pg from 'pg'
import type { Clock, Logger } from '../../runtime/api/index.ts'
import { byteSize } from './byte-size.ts'
import { formatLsn, type Lsn } from './lsn.ts'
import { Periodic, type ServiceConnection } from './service-connection.ts'
import { dropSlotSql, type SlotState, slotState } from './slot.ts'

export const LOOK_EVERY_MS = 5_000

/** Shares of the WAL that a slot may hold at which a warning comes. */
const WARN_AT = [0.5, 0.8, 0.95]
/** Without a limit: from here on, and again at each doubling. */
const UNLIMITED_WARN_BYTES = 1 << 30

export interface SlotMonitorParts {
  readonly connection: ServiceConnection
  readonly slotName: string
  readonly clock: Clock
  readonly log: Logger
  readonly report: (facts: Readonly<Record<string, string | number>>) => void
  readonly everyMs?: number
  /** The same for each connection of one start: what is said once a start was said for it. Default: said anew. */
  readonly start?: object | undefined
}

/** Starts whose operator knows that the slot has no limit. */
const TOLD_UNLIMITED = new WeakSet<object>()

/** Tells how much WAL the slot holds, as facts, and warns before it is lost or fills the server's disk. */
export class SlotMonitor {
  readonly #periodic: Periodic

  constructor(parts: SlotMonitorParts) {
    const { connection, slotName, clock, log, report } = parts
    const warnings = new SlotWarnings(log, parts.start)
    this.#periodic = new Periodic({
      what: `looking at slot ${slotName}`,
      everyMs: parts.everyMs ?? LOOK_EVERY_MS,
      clock,
      log,
      work: async () => {
        const health = await connection.use(client => slotHealth(client, slotName))
        if (health === undefined) return
        report(factsOf(health))
        warnings.look(health)
      },
    })
  }

  close(): Promise<void> {
    return this.#periodic.close()
  }
}

export interface SlotHealth {
  readonly slot: SlotState
  readonly currentLsn: Lsn
  /** Bytes of WAL behind what was confirmed: what the reader has not durable yet. */
  readonly lag: number
  /** Bytes of WAL that the server keeps for the slot. */
  readonly held: number
}

/** Undefined when the slot is gone. */
export async function slotHealth(client: pg.Client, name: string): Promise<SlotHealth | undefined> {
  // First, so that the slot cannot be ahead of it by much.
  const slot = await slotState(client, name)
  if (slot === undefined) return undefined
  const { rows } = await client.query<{ lsn: string }>(
    `SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0')::text AS lsn`,
  )
  const currentLsn = Number(rows[0]!.lsn)
  return {
    slot,
    currentLsn,
    lag: Math.max(0, currentLsn - (slot.confirmedFlushLsn ?? currentLsn)),
    held: Math.max(0, currentLsn - (slot.restartLsn ?? currentLsn)),
  }
}

function factsOf({ slot, lag, held }: SlotHealth): Record<string, string | number> {
  return {
    slot: slot.name,
    'slot lag bytes': lag,
    'slot holds WAL bytes': held,
    'slot safe_wal_size': slot.safeWalSize ?? 'unlimited',
    'slot wal_status': slot.walStatus ?? 'unknown',
  }
}

/** Once per crossing; what fell below a mark is told again when it comes back. */
export class SlotWarnings {
  readonly #log: Logger
  readonly #start: object
  #mark = 0
  #status = 'reserved'

  constructor(log: Logger, start: object = {}) {
    this.#log = log
    this.#start = start
  }

  look(health: SlotHealth): void {
    const { slot } = health
    this.#lookAtStatus(slot)
    if (slot.walStatus === 'lost') return
    const mark = slot.safeWalSize === undefined ? this.#unlimitedMark(health) : limitedMark(health)
    if (mark > this.#mark) this.#log.warn(fields(health), warning(health))
    this.#mark = mark
  }

  #lookAtStatus(slot: SlotState): void {
    const status = slot.walStatus ?? 'reserved'
    if (status === this.#status) return
    this.#status = status
    if (status === 'unreserved')
      this.#log.error(
        { slot: slot.name },
        `slot ${slot.name} holds more WAL than max_slot_wal_keep_size: the next checkpoint of the server removes it, and changes are lost; raise the limit now (ALTER SYSTEM SET max_slot_wal_keep_size = …; SELECT pg_reload_conf();)`,
      )
    if (status === 'lost')
      this.#log.error(
        { slot: slot.name },
        `slot ${slot.name} was invalidated: the server has removed WAL that was not read`,
      )
  }

  #unlimitedMark({ slot, held }: SlotHealth): number {
    if (!TOLD_UNLIMITED.has(this.#start))
      this.#log.warn(
        { slot: slot.name },
        `max_slot_wal_keep_size is unlimited: while this connector is stopped or stuck, slot ${slot.name} keeps WAL until the server's disk is full; set a limit that fits the disk (ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();)`,
      )
    TOLD_UNLIMITED.add(this.#start)
    return Math.max(0, Math.floor(Math.log2(held / UNLIMITED_WARN_BYTES)) + 1)
  }
}

function limitedMark({ slot, held }: SlotHealth): number {
  const limit = held + Math.max(0, slot.safeWalSize!)
  return limit === 0 ? 0 : WARN_AT.filter(share => held / limit >= share).length
}

function warning({ slot, held, lag }: SlotHealth): string {
  const left =
    slot.safeWalSize === undefined
      ? 'and nothing limits it (max_slot_wal_keep_size)'
      : `and ${byteSize(Math.max(0, slot.safeWalSize))} more may be written before its WAL is removed (max_slot_wal_keep_size)`
  return `slot ${slot.name} makes the server keep ${byteSize(held)} of WAL, ${left}; ${byteSize(lag)} are not durable with us yet: look whether the connector is stuck, and whether transactions of the database are open for long`
}

function fields({ slot, held, lag }: SlotHealth): object {
  return { slot: slot.name, held, lag, safeWalSize: slot.safeWalSize }
}

/** What the worker says when a connector stops and its slot stays. */
export function stoppedMessage(health: SlotHealth): string {
  const { slot, held } = health
  const confirmed = slot.confirmedFlushLsn === undefined ? '' : ` from ${formatLsn(slot.confirmedFlushLsn)}`
  return `slot ${slot.name} stays, so that capture goes on${confirmed}; it holds ${byteSize(held)} of WAL now, and more with every change while the connector is stopped. To give it up: ${dropSlotSql(slot.name)}`
}
