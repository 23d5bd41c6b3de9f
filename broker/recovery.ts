import { errorCode, type FileStat, type Files } from '../base/index.ts'
import {
  BATCH_HEADER_BYTES,
  batchBaseOffset,
  batchIsSane,
  batchIsTransactional,
  batchLastOffset,
  batchMaxTimestamp,
  batchSize,
} from './batch.ts'
import { findNextBatch, type ScanPlace, scanBatches } from './batch-scan.ts'
import type { FileCache } from './file-cache.ts'
import { OFFSET_ENTRY_BYTES, type OffsetEntry } from './offset-index.ts'
import { type Hole, offsetName, RELATIVE_OFFSET_MAX, Segment } from './segment.ts'
import { timeHolds } from './segment-reader.ts'
import { TIME_ENTRY_BYTES, type TimeEntry } from './time-index.ts'

/** What opening a segment found and did. */
export interface SegmentRecovery {
  /** Path of the log file. */
  readonly file: string
  /** Bytes of a torn tail that were cut. */
  readonly truncatedBytes: number
  /** Damage that stays and is served to nobody. */
  readonly holes: readonly Hole[]
  readonly indexesRebuilt: boolean
}

export interface SegmentPlan {
  readonly directory: string
  readonly baseOffset: number
  /** Base offset of the next segment; infinite for the last one. */
  readonly offsetEnd: number
  /** Everything below was synced, so it is whole or damaged, never torn; infinite after a clean stop. */
  readonly syncedOffset: number
  /** Checksums are tried from here on; infinite after a clean stop. */
  readonly checkFrom: number
  /** The transaction log knows of nothing committed at or behind this; undefined when there is none. */
  readonly acknowledgedEnd: number | undefined
  readonly indexIntervalBytes: number
  /** Milliseconds since the epoch. */
  readonly now: number
  /** In the directory. */
  readonly names: ReadonlySet<string>
}

interface Start {
  /** Where the walk begins. */
  readonly place: ScanPlace
  /** Batches up to here are in the indexes already. */
  readonly indexedTo: number
  readonly largest: TimeEntry | undefined
}

/**
 * Opens a segment as it was left. What lies below `checkFrom` costs a look at the end of the indexes and the batches
 * behind it; what lies beyond is read in full. Bad bytes that were never synced, with nothing good behind them, are a
 * torn tail and are cut; other bad bytes stay, as a hole, and what is behind them stays readable. Indexes that cannot be
 * those of this log are built again.
 */
export async function openSegment(
  cache: FileCache,
  plan: SegmentPlan,
): Promise<{ segment: Segment; recovery: SegmentRecovery }> {
  const { segment, aligned } = await statSegment(cache, plan)
  try {
    return { segment, recovery: await recoverSegment(segment, aligned, plan) }
  } catch (error) {
    // What it holds open would be waited for when the files are closed.
    await segment.close().catch(() => undefined)
    throw error
  }
}

async function recoverSegment(segment: Segment, aligned: boolean, plan: SegmentPlan): Promise<SegmentRecovery> {
  if (plan.checkFrom < plan.offsetEnd) await segment.store.openForWriting()
  let start = aligned ? await trustedStart(segment, plan) : undefined
  const entriesBefore = segment.offsetIndex.file.count
  const wrongTime = start?.largest !== undefined && !(await timeHolds(segment, start.largest, segment.bytes))
  if (wrongTime) start = undefined
  // Either the index is wrong or that batch: its checksum tells.
  const first = await walk(segment, wrongTime ? { ...plan, checkFrom: 0 } : plan, start)
  let { truncatedBytes } = first
  let rebuilt = start === undefined && segment.bytes > 0
  const lastTime = await segment.timeIndex.last()
  if (start !== undefined && lastTime !== undefined && (lastTime.offset >= segment.nextOffset || first.timeIsCut)) {
    // The time index knows of records that the log does not have, or not of those that it has.
    truncatedBytes += (await walk(segment, plan, undefined)).truncatedBytes
    rebuilt = true
  }
  const indexesRebuilt = rebuilt || (entriesBefore === 0 && segment.offsetIndex.file.count > 0)
  if (plan.names.has(`${offsetName(plan.baseOffset)}.txnindex`))
    await segment.aborted.load(segment.baseOffset, segment.nextOffset)
  await settle(segment, plan, indexesRebuilt || truncatedBytes > 0)
  return { file: segment.store.path, truncatedBytes, holes: [...segment.holes], indexesRebuilt }
}

async function statSegment(cache: FileCache, plan: SegmentPlan): Promise<{ segment: Segment; aligned: boolean }> {
  const stem = `${plan.directory}/${offsetName(plan.baseOffset)}`
  const log = await cache.files.stat(`${stem}.log`)
  const offsets = (await statOrNothing(cache.files, `${stem}.index`))?.size ?? 0
  const times = (await statOrNothing(cache.files, `${stem}.timeindex`))?.size ?? 0
  const sizes = {
    log: log.size,
    offsetEntries: Math.floor(offsets / OFFSET_ENTRY_BYTES),
    timeEntries: Math.floor(times / TIME_ENTRY_BYTES),
  }
  const segment = new Segment(plan.directory, plan.baseOffset, cache, sizes, { lastAppend: log.mtimeMs, now: plan.now })
  await segment.timeIndex.load()
  return { segment, aligned: offsets % OFFSET_ENTRY_BYTES === 0 && times % TIME_ENTRY_BYTES === 0 }
}

async function statOrNothing(files: Files, path: string): Promise<FileStat | undefined> {
  try {
    return await files.stat(path)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Where the walk may begin, by indexes that agree with the log; undefined when they do not. Entries beyond `checkFrom`
 * were never synced and are dropped; the walk makes them again.
 */
async function trustedStart(segment: Segment, plan: SegmentPlan): Promise<Start | undefined> {
  const { offsetIndex, timeIndex } = segment
  if (plan.checkFrom < plan.offsetEnd) {
    const count = await offsetIndex.countUpTo(plan.checkFrom - 1)
    if (count < offsetIndex.file.count) await offsetIndex.file.truncate(count)
    const kept = await timeIndex.countUpTo((await offsetIndex.last())?.lastOffset ?? -1)
    if (kept < timeIndex.file.count) await timeIndex.truncate(kept)
  }
  const entry = await offsetIndex.last()
  const time = await timeIndex.last()
  if (time === undefined ? offsetIndex.file.count > 0 : !(await timeIsPlausible(segment, time))) return undefined
  if (entry === undefined) {
    if (time === undefined && plan.checkFrom >= plan.offsetEnd && segment.bytes > 0) return undefined
    return { place: { position: 0, nextOffset: segment.baseOffset }, indexedTo: -1, largest: time }
  }
  const baseOffset = await baseOffsetOf(segment, entry)
  if (baseOffset === undefined) return undefined
  // A time index that was cut looks like one of a log whose records went back in time: look at the batches in between.
  const isBehind = time !== undefined && time.offset < entry.lastOffset
  const from = isBehind ? await offsetIndex.floor(time.offset) : entry
  const nextOffset = isBehind && from !== undefined ? await baseOffsetOf(segment, from) : baseOffset
  if (nextOffset === undefined) return undefined
  const place =
    from === undefined ? { position: 0, nextOffset: segment.baseOffset } : { position: from.position, nextOffset }
  return { place, indexedTo: entry.lastOffset, largest: time }
}

/** A zeroed or preallocated end has entries at time 0 for the base offset behind others. */
async function timeIsPlausible(segment: Segment, time: TimeEntry): Promise<boolean> {
  const before = await segment.timeIndex.entry(segment.timeIndex.file.count - 2)
  const later = before === undefined || (time.timestamp > before.timestamp && time.offset >= before.offset)
  return later && time.timestamp >= 0 && Number.isSafeInteger(time.timestamp)
}

/** Where the batch of an index entry begins; undefined when it is not where the entry says. */
async function baseOffsetOf(segment: Segment, entry: OffsetEntry): Promise<number | undefined> {
  // The first batch never gets an entry, so position 0 is a zeroed one.
  if (entry.position === 0) return undefined
  const header = Buffer.alloc(BATCH_HEADER_BYTES)
  if ((await segment.store.read(header, 0, header.length, entry.position)) < header.length) return undefined
  return batchIsSane(header, 0) && batchLastOffset(header, 0) === entry.lastOffset
    ? batchBaseOffset(header, 0)
    : undefined
}

interface Walked {
  /** Of a torn tail. */
  readonly truncatedBytes: number
  /** Indexed batches are later than the time index knows. */
  readonly timeIsCut: boolean
}

/** Walks from `start`, or from the beginning with empty indexes. */
async function walk(segment: Segment, plan: SegmentPlan, start: Start | undefined): Promise<Walked> {
  if (start === undefined) {
    await segment.offsetIndex.file.truncate(0)
    await segment.timeIndex.truncate(0)
  }
  const indexedTo = start?.indexedTo ?? -1
  let timeIsCut = false
  const takeNote = async (bytes: Buffer, at: number, position: number) => {
    const lastOffset = batchLastOffset(bytes, at)
    // No writer puts such an offset into this segment: the header was altered. Believed, it would reach into the next one.
    if (lastOffset >= plan.offsetEnd || lastOffset - segment.baseOffset > RELATIVE_OFFSET_MAX) return false
    const maxTimestamp = batchMaxTimestamp(bytes, at)
    const size = batchSize(bytes, at)
    if (lastOffset <= indexedTo && maxTimestamp > (start?.largest?.timestamp ?? maxTimestamp)) timeIsCut = true
    if (lastOffset < indexedTo) segment.observe(lastOffset, maxTimestamp)
    else await segment.learn(lastOffset, maxTimestamp, position, size, plan.indexIntervalBytes)
    return true
  }
  segment.recall(await firstTimestamp(segment), start?.largest)
  segment.forgetHoles()
  let place = start?.place ?? { position: 0, nextOffset: segment.baseOffset }
  const end = segment.bytes
  const synced = (bytes: Buffer, at: number) => batchLastOffset(bytes, at) < plan.checkFrom
  place = await scanBatches(segment.store, place, end, false, (bytes, at, position) =>
    synced(bytes, at) ? takeNote(bytes, at, position) : false,
  )
  if (place.position !== end && !Number.isFinite(plan.checkFrom)) {
    // A damaged length leads a walk by headers astray: only checksums tell where the damage begins.
    return walk(segment, { ...plan, checkFrom: 0 }, undefined)
  }
  for (;;) {
    place = await scanBatches(segment.store, place, end, Number.isFinite(plan.checkFrom), takeNote)
    if (place.position === end) return { truncatedBytes: 0, timeIsCut }
    const next = await findNextBatch(segment.store, place, end, plan.offsetEnd)
    if (await neverAcknowledged(segment, plan, place, next)) {
      await segment.store.truncate(place.position)
      return { truncatedBytes: end - place.position, timeIsCut }
    }
    const lastOffset = next === undefined ? await lastOffsetLost(segment, plan, place) : next.nextOffset - 1
    segment.addHole({
      position: place.position,
      end: next?.position ?? end,
      firstOffset: place.nextOffset,
      lastOffset,
    })
    if (next === undefined) {
      if (lastOffset >= place.nextOffset) segment.observe(lastOffset, -1)
      return { truncatedBytes: 0, timeIsCut }
    }
    place = next
  }
}

/**
 * Whether bad bytes at `place`, and what is whole behind them, can go: nothing there was synced, and behind them is
 * nothing, or nothing but transactions that were not committed.
 */
async function neverAcknowledged(
  segment: Segment,
  plan: SegmentPlan,
  place: ScanPlace,
  next: ScanPlace | undefined,
): Promise<boolean> {
  if (Number.isFinite(plan.offsetEnd) || place.nextOffset < plan.syncedOffset) return false
  if (next === undefined) return true
  if (plan.acknowledgedEnd === undefined) return false
  const isTransactional = (bytes: Buffer, at: number) => batchIsTransactional(bytes, at)
  for (let from: ScanPlace | undefined = next; from !== undefined; ) {
    const stop = await scanBatches(segment.store, from, segment.bytes, true, isTransactional)
    if (stop.position === segment.bytes) return true
    if (await isWhole(segment, stop)) return false
    from = await findNextBatch(segment.store, stop, segment.bytes, plan.offsetEnd)
  }
  return true
}

/** Whether a walk that stopped there met a whole batch, and not more damage. */
async function isWhole(segment: Segment, place: ScanPlace): Promise<boolean> {
  const behind = await scanBatches(
    segment.store,
    place,
    segment.bytes,
    true,
    (_bytes, _at, position) => position === place.position,
  )
  return behind.position > place.position
}

async function firstTimestamp(segment: Segment): Promise<number> {
  const header = Buffer.alloc(BATCH_HEADER_BYTES)
  if ((await segment.store.read(header, 0, header.length, 0)) < header.length || !batchIsSane(header, 0)) return -1
  return batchMaxTimestamp(header, 0)
}

/** The last offset that damage at the end of a segment may have held: none of them may be given again. */
async function lastOffsetLost(segment: Segment, plan: SegmentPlan, place: ScanPlace): Promise<number> {
  if (Number.isFinite(plan.offsetEnd)) return plan.offsetEnd - 1
  const header = Buffer.alloc(BATCH_HEADER_BYTES)
  const whole = (await segment.store.read(header, 0, header.length, place.position)) === header.length
  let claimed = whole && batchIsSane(header, 0) ? batchLastOffset(header, 0) : place.nextOffset
  if (claimed - segment.baseOffset > RELATIVE_OFFSET_MAX) claimed += place.nextOffset - batchBaseOffset(header, 0)
  const synced = Number.isFinite(plan.syncedOffset) ? plan.syncedOffset - 1 : -1
  return Math.max(claimed, place.nextOffset, synced)
}

/** Makes durable what may be served from now on, and writes out what was rebuilt. */
async function settle(segment: Segment, plan: SegmentPlan, changed: boolean): Promise<void> {
  const unsynced = plan.checkFrom < plan.offsetEnd
  const toldDurable = Math.max(plan.syncedOffset, plan.acknowledgedEnd ?? 0)
  if (unsynced && toldDurable < plan.offsetEnd) await segment.store.writeAgain(await positionOf(segment, toldDurable))
  if (Number.isFinite(plan.offsetEnd)) {
    if (changed || unsynced) {
      await segment.finishIndexes()
      await segment.datasync()
    }
  } else if (changed || unsynced) await segment.store.datasync()
  segment.readableBytes = segment.bytes
}

/** Where the batch of an offset begins, or damage before it. */
async function positionOf(segment: Segment, offset: number): Promise<number> {
  const entry = await segment.offsetIndex.floor(offset)
  const from = { position: entry?.position ?? 0, nextOffset: segment.baseOffset }
  const isBefore = (bytes: Buffer, at: number) => batchLastOffset(bytes, at) < offset
  return (await scanBatches(segment.store, from, segment.bytes, false, isBefore)).position
}
