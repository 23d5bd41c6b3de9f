import { KtsError, type Logger } from '../../runtime/api/index.ts'
import { formatLsn, type Lsn } from './lsn.ts'
import { dropSlotSql, type SlotState } from './slot.ts'

/** Where a connector stands, as its last checkpoint has it. */
export interface SlotPosition {
  /** End of the last transaction that is durable with us. */
  readonly end: Lsn
  readonly systemId: string
  /** Undefined where the checkpoint has none. */
  readonly timeline?: number
}

/** The server as it is now. */
export interface SlotServer {
  readonly currentLsn: Lsn
  readonly systemId: string
  readonly timeline: number
  readonly database: string
  /** Where each timeline before this one was left (TIMELINE_HISTORY); a timeline that is missing is not looked at. */
  readonly history: readonly TimelineEnd[]
}

export interface TimelineEnd {
  readonly timeline: number
  readonly end: Lsn
}

/** What each way on means, in so many words: the choice is the operator's, since each of them costs something. */
const WAYS_ON =
  'ways on: (1) set snapshot.mode to when_needed, and the tables are read anew before the changes go on; ' +
  '(2) kts-connect delete CONNECTOR --drop-slot, then start: a new slot and a new snapshot. ' +
  'Either way rows that were deleted in between stay in the topics'

/**
 * Refuses a slot that cannot go on exactly behind the position: throws POSITION_LOST with both places and the ways on.
 * Without a position (a connector that starts) the slot need only be one that can be read. Throws CONFIG_INVALID for a
 * slot of another kind.
 */
export function checkSlot(
  slot: SlotState | undefined,
  slotName: string,
  position: SlotPosition | undefined,
  server: SlotServer,
): void {
  if (slot !== undefined) checkKind(slot, server.database)
  if (position !== undefined) checkServer(position, server, slot)
  if (slot === undefined) {
    if (position === undefined) return
    throw lost(
      `slot ${slotName} is gone; the connector had everything up to ${formatLsn(position.end)}, the server is at ${formatLsn(server.currentLsn)}, and changes between them can no longer be read`,
    )
  }
  checkValid(slot, position, server)
  if (position !== undefined) checkConfirmed(slot.name, slot.confirmedFlushLsn, position.end)
}

/**
 * Of a connector that has no position: a slot that somebody has read is most likely another connector's, to which all that
 * this one reads would be lost. Throws CONFIG_INVALID. One that was made beforehand and one of a start that was killed are
 * unread. With no_data it is taken over on purpose, with when_needed whatever was lost is read again.
 */
export function checkUnread(slot: SlotState, mode: string, log: Logger): void {
  if (!slot.wasRead || mode === 'initial_only') return
  const upTo = slot.confirmedFlushLsn === undefined ? 'nowhere' : formatLsn(slot.confirmedFlushLsn)
  const found = `slot ${slot.name} was read already, and is confirmed up to ${upTo}`
  if (mode === 'no_data' || mode === 'when_needed') {
    log.warn(
      { slot: slot.name },
      `${found}, while this connector has no position of its own: snapshot.mode is ${mode}, so it takes the slot over; whoever read it before can not go on`,
    )
    return
  }
  throw new KtsError(
    'CONFIG_INVALID',
    `${found}: expected one that nobody has read, since this connector has no position of its own. It is another connector's, which would lose what this one reads, or this one's before its data folder was lost. Ways on: (1) set slot.name to another; (2) where nobody needs it any more, ${dropSlotSql(slot.name)} and start again; (3) to take it over without reading the tables, set snapshot.mode to no_data`,
  )
}

/**
 * Refuses a publication that is another one than that of the position, by POSITION_LOST: the server tells nothing of what
 * was changed while there was none, up to 17 by an error where it decodes that stretch, from 18 on in silence.
 */
export function checkPublication(
  name: string,
  oid: number | undefined,
  position: { readonly end: Lsn; readonly publication: number | undefined },
): void {
  if (position.publication === undefined || oid === position.publication) return
  const what = oid === undefined ? 'is gone' : 'was dropped and made again'
  throw lost(
    `publication ${name} ${what}: changes behind ${formatLsn(position.end)} that were made without it are not told by the server`,
  )
}

/** Throws POSITION_LOST for a slot that is ahead of the place from which it is to be read. */
export function checkConfirmed(slotName: string, confirmed: Lsn | undefined, from: Lsn): void {
  if (confirmed === undefined || confirmed <= from) return
  throw lost(
    `slot ${slotName} stands at ${formatLsn(confirmed)}, ahead of ${formatLsn(from)}, up to where the connector has everything: it was dropped and made again, or another reader moved it; changes between the two would be missing`,
  )
}

function checkKind(slot: SlotState, database: string): void {
  const refuse = (expected: string, got: string) =>
    new KtsError(
      'CONFIG_INVALID',
      `slot ${slot.name}: expected ${expected}, got ${got}; set slot.name to another, since somebody else reads this one`,
    )
  if (slot.plugin !== 'pgoutput')
    throw refuse('a logical slot with the plugin pgoutput', slot.plugin === '' ? 'a physical one' : slot.plugin)
  if (slot.database !== database) throw refuse(`a slot of the database ${database}`, `one of ${slot.database}`)
  if (slot.temporary) throw refuse('a slot that stays', 'a temporary one')
  if (slot.synced)
    throw refuse(
      'a slot of the primary',
      'the copy of one that this standby keeps (it can be read after the promotion)',
    )
}

function checkServer(position: SlotPosition, server: SlotServer, slot: SlotState | undefined): void {
  const at = formatLsn(position.end)
  const slotAt =
    slot?.confirmedFlushLsn === undefined ? 'there is no slot' : `slot at ${formatLsn(slot.confirmedFlushLsn)}`
  if (server.systemId !== position.systemId)
    throw lost(
      `this is another server: system identifier ${server.systemId} at ${formatLsn(server.currentLsn)} (${slotAt}), where the checkpoint was made on ${position.systemId} at ${at}; check database.hostname first`,
    )
  const timeline = position.timeline ?? server.timeline
  if (server.timeline < timeline)
    throw lost(
      `the server is on timeline ${server.timeline} at ${formatLsn(server.currentLsn)} (${slotAt}), older than timeline ${timeline} at ${at} of the checkpoint: it is the old primary, or was restored from a backup; check database.hostname first`,
    )
  const left = server.history.find(entry => entry.timeline === timeline)
  if (server.timeline > timeline && left !== undefined && left.end < position.end)
    throw lost(
      `the server went over to timeline ${server.timeline} at ${formatLsn(left.end)} (${slotAt}), before ${at}, up to where the connector has everything: what was committed between them was lost in the failover, yet stands in the topics`,
    )
  if (server.currentLsn < position.end)
    throw lost(
      `the server is at ${formatLsn(server.currentLsn)} (${slotAt}), behind ${at}, up to where the connector has everything: it was restored from a backup, or failed over with loss`,
    )
}

function checkValid(slot: SlotState, position: SlotPosition | undefined, server: SlotServer): void {
  if (slot.walStatus !== 'lost' && slot.invalidationReason === undefined && slot.restartLsn !== undefined) return
  const reason =
    slot.invalidationReason === undefined
      ? 'wal_status lost'
      : `wal_status ${slot.walStatus}, ${slot.invalidationReason}`
  const confirmed = slot.confirmedFlushLsn === undefined ? 'nothing' : formatLsn(slot.confirmedFlushLsn)
  const had = position === undefined ? '' : `; the connector had everything up to ${formatLsn(position.end)}`
  throw lost(
    `slot ${slot.name} was invalidated (${reason}): the server, now at ${formatLsn(server.currentLsn)}, has removed WAL behind ${confirmed} that was not read yet${had}. Look at max_slot_wal_keep_size before you go on`,
  )
}

function lost(what: string): KtsError {
  return new KtsError('POSITION_LOST', `${what}; ${WAYS_ON}`)
}
