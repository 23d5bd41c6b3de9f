import { closeAll, errorCode, type Files, type Logger } from '../base/index.ts'
import { findUnsureSegments } from './aborted-checkpoint.ts'
import {
  BATCH_HEADER_BYTES,
  batchBaseOffset,
  batchBaseSequence,
  batchChecksumHolds,
  batchCount,
  batchIsControl,
  batchIsTransactional,
  batchLastOffset,
  batchLastOffsetDelta,
  batchLastSequence,
  batchMaxTimestamp,
  batchProducerEpoch,
  batchProducerId,
  batchSize,
} from './batch.ts'
import { readMarker } from './batch-marker.ts'
import { type ScanPlace, scanBatches } from './batch-scan.ts'
import type { Partition } from './partition.ts'
import { openSegments } from './partition-directory.ts'
import type { PartitionParts } from './partition-parts.ts'
import { readNewestSnapshot, snapshotOffsets, snapshotPath } from './producer-snapshot.ts'
import { type AbortedTransaction, Producers } from './producers.ts'
import type { SegmentRecovery } from './recovery.ts'
import type { Segment } from './segment.ts'
import { findHole, seekSegment } from './segment-reader.ts'

/** A partition's log as it was found, and put right. */
export interface OpenedLog {
  readonly segments: Segment[]
  readonly recoveries: readonly SegmentRecovery[]
  readonly producers: Producers
  /** Offset of the snapshot that the producers were read from; -1 without one. */
  readonly snapshotOffset: number
  /** There is a checkpoint of the aborted transactions, which is to be kept up. */
  readonly abortedCheckpoint: boolean
  /** Records below were stored and are gone, so that their offsets may not be given again; 0 when none is missed. */
  readonly lostEnd: number
}

/**
 * Opens the segments of a partition and finds out what its producers have done: from the newest good snapshot and the
 * batches behind it. Rejects with the system's error.
 */
export async function openLog(parts: PartitionParts): Promise<OpenedLog> {
  const { cache, files, directory, clean, recoveryPoint, acknowledgedEnd } = parts
  const plan = { directory, indexIntervalBytes: parts.settings.indexIntervalBytes, now: parts.clock.now() }
  const trusted = clean ? Number.POSITIVE_INFINITY : recoveryPoint
  const syncedOffset = Math.max(trusted, acknowledgedEnd ?? 0)
  let opened = await openSegments(cache, { ...plan, syncedOffset, checkFrom: trusted, acknowledgedEnd })
  try {
    const lostEnd = await findLostEnd(parts, opened.segments.at(-1)!.nextOffset)
    if (lostEnd === undefined) {
      // The recovery point is of another log, or of none: nothing is known to be good.
      await closeAll(opened.segments)
      opened = await openSegments(cache, { ...plan, syncedOffset: acknowledgedEnd ?? 0, checkFrom: 0, acknowledgedEnd })
    }
    const { segments, recoveries } = opened
    if (lostEnd !== undefined && lostEnd > 0) await markLoss(segments.at(-1)!, lostEnd)
    if (clean && recoveryPoint > 0) await boundLastBatch(segments.at(-1)!, parts)
    await removeSnapshotsAbove(files, directory, segments.at(-1)!.nextOffset)
    const producers = new Producers(`${parts.topic}-${parts.partition}`)
    const snapshotOffset = await recoverProducers(segments, producers, parts, lostEnd === undefined ? 0 : trusted)
    const abortedCheckpoint = await verifyAborted(segments, parts, snapshotOffset)
    for (const segment of segments) await segment.aborted.cutRest()
    await findUndecidable(segments, producers, Math.max(recoveryPoint, acknowledgedEnd ?? Number.POSITIVE_INFINITY))
    return { segments, recoveries, producers, snapshotOffset, abortedCheckpoint, lostEnd: lostEnd ?? 0 }
  } catch (error) {
    await closeAll(opened.segments).catch(() => undefined)
    throw error
  }
}

/**
 * The end that the log had, where it has lost its tail: told by the transaction log, or by recovery point and snapshot
 * alike. 0 when nothing is missed, undefined when the recovery point alone says so: then that is what is wrong.
 */
async function findLostEnd(parts: PartitionParts, end: number): Promise<number | undefined> {
  const { files, directory, recoveryPoint, acknowledgedEnd = 0 } = parts
  if (acknowledgedEnd >= recoveryPoint && acknowledgedEnd > end) return acknowledgedEnd
  if (recoveryPoint <= end) return 0
  const { snapshot } = await readNewestSnapshot(files, directory, recoveryPoint)
  const told = Math.max(snapshot?.offset ?? 0, acknowledgedEnd)
  return told > end ? told : undefined
}

/**
 * The checksum does not cover the base offset, and the last batch has none behind it that would contradict. After a clean
 * stop recovery point and snapshot know where the log ended: a last batch behind a gap that would fit there was shifted,
 * and reads above the end that is set here name it.
 */
async function boundLastBatch(segment: Segment, { files, directory, recoveryPoint }: PartitionParts): Promise<void> {
  if (segment.nextOffset <= recoveryPoint || recoveryPoint <= segment.baseOffset) return
  if (!(await snapshotOffsets(files, directory)).includes(recoveryPoint)) return
  const ends = { offsetEnd: segment.nextOffset, bytesEnd: segment.bytes }
  const place = await seekSegment(segment, segment.baseOffset, ends)
  let expected = segment.baseOffset
  let isShifted = false
  await scanBatches(segment.store, place, segment.bytes, false, (bytes, at, position) => {
    const isLast = position + batchSize(bytes, at) === segment.bytes
    const fits = expected + batchLastOffsetDelta(bytes, at) + 1 === recoveryPoint
    isShifted = isLast && fits && batchBaseOffset(bytes, at) > expected
    expected = batchLastOffset(bytes, at) + 1
    return true
  })
  if (isShifted) segment.observe(recoveryPoint - 1, -1)
}

/** Bytes that are no batch keep the place of lost records, so that later starts and other readers name them too. */
async function markLoss(segment: Segment, lostEnd: number): Promise<void> {
  const position = segment.bytes
  await segment.store.append([new Uint8Array(BATCH_HEADER_BYTES)], BATCH_HEADER_BYTES)
  await segment.store.datasync()
  segment.readableBytes = segment.bytes
  segment.addHole({ position, end: segment.bytes, firstOffset: segment.nextOffset, lastOffset: lostEnd - 1 })
}

/** A snapshot of what is not there would be believed once the log has grown past it. */
async function removeSnapshotsAbove(files: Files, directory: string, end: number): Promise<void> {
  const above = (await snapshotOffsets(files, directory)).filter(offset => offset > end)
  for (const offset of above) await files.unlink(snapshotPath(directory, offset))
  if (above.length > 0) await files.syncDirectory(directory)
}

/** Snapshots up to `trusted` speak of what is there. Answers the offset of the one that was taken, -1 without one. */
async function recoverProducers(
  segments: readonly Segment[],
  producers: Producers,
  { files, directory, log }: PartitionParts,
  trusted: number,
): Promise<number> {
  const { snapshot, unusable } = await readNewestSnapshot(files, directory, trusted)
  for (const path of unusable) {
    log.warn({ path }, 'a snapshot of the producers is damaged: the log is read instead')
    await files.unlink(path)
  }
  const from = snapshot?.offset ?? -1
  producers.load(snapshot?.states ?? [])
  for (const segment of segments) {
    if (segment.nextOffset > from && segment.bytes > 0) await replay(segment, producers, from)
  }
  return from
}

/**
 * Indexes of aborted transactions that are not as they were left are built again from the log. Answers whether there is a
 * checkpoint of them.
 */
async function verifyAborted(segments: readonly Segment[], parts: PartitionParts, from: number): Promise<boolean> {
  const { files, directory, log } = parts
  const unsure = await findUnsureSegments(files, directory, segments, from)
  const [first, last] = [unsure.segments[0], unsure.segments.at(-1)]
  if (first === undefined || last === undefined) return unsure.exists
  log.info({ directory, segments: unsure.segments.length }, 'the indexes of aborted transactions are looked through')
  const producers = new Producers(directory)
  const { snapshot } = await readNewestSnapshot(files, directory, first.baseOffset)
  producers.load(snapshot?.states ?? [])
  const start = snapshot?.offset ?? -1
  for (const segment of segments) {
    if (segment.nextOffset > start && segment.baseOffset <= last.baseOffset && segment.bytes > 0)
      await replay(segment, producers, start)
  }
  return unsure.exists
}

/**
 * The marker of an open transaction may lie in damage. Not in damage at or behind `acknowledgedEnd`: the transaction log
 * still knows all markers there.
 */
async function findUndecidable(
  segments: readonly Segment[],
  producers: Producers,
  acknowledgedEnd: number,
): Promise<void> {
  const open = producers.open()
  const first = open[0]?.firstOffset ?? Number.POSITIVE_INFINITY
  const lost: LostOffsets[] = []
  for (const segment of segments) {
    if (segment.nextOffset > first) lost.push(...(await findRepaired(segment, first)), ...segment.holes)
  }
  const acknowledged = lost.filter(range => range.firstOffset < acknowledgedEnd)
  for (const { producerId, firstOffset } of open) {
    if (acknowledged.some(range => range.lastOffset >= firstOffset)) producers.giveUp(producerId)
  }
}

interface LostOffsets {
  readonly firstOffset: number
  readonly lastOffset: number
}

/**
 * Reads what nobody may have looked at since an earlier start, which finds its holes; there is hardly ever an open
 * transaction that reaches there. Answers the damage that was repaired: batches without records and producer.
 */
async function findRepaired(segment: Segment, from: number): Promise<LostOffsets[]> {
  const repaired: LostOffsets[] = []
  const observe = (bytes: Buffer, at: number) => {
    if (batchCount(bytes, at) === 0 && batchProducerId(bytes, at) < 0)
      repaired.push({ firstOffset: batchBaseOffset(bytes, at), lastOffset: batchLastOffset(bytes, at) })
    return true
  }
  const ends = { offsetEnd: segment.nextOffset, bytesEnd: segment.bytes }
  let place: ScanPlace = await seekSegment(segment, Math.max(from, segment.baseOffset), ends)
  for (;;) {
    place = await scanBatches(segment.store, place, segment.bytes, true, observe)
    if (place.position === segment.bytes) return repaired
    const hole = await findHole(segment, place, ends)
    place = { position: hole.end, nextOffset: hole.lastOffset + 1 }
  }
}

/** Lets the producers see the batches of one segment from `from` on. */
async function replay(segment: Segment, producers: Producers, from: number): Promise<void> {
  const before = producers.all()
  if (await replayBatches(segment, producers, from, false)) return
  // A damaged header leads a walk astray: only checksums tell where the damage begins.
  producers.load(before)
  await replayBatches(segment, producers, from, true)
}

/** False where headers alone lead into bytes that are no batch. */
async function replayBatches(segment: Segment, producers: Producers, from: number, checkCrcs: boolean) {
  const found: AbortedTransaction[] = []
  const observe = async (bytes: Buffer, at: number, position: number) => {
    if (segment.holes.some(hole => hole.position === position)) return false
    if (batchLastOffset(bytes, at) < from || batchProducerId(bytes, at) < 0) return true
    if (!batchIsControl(bytes, at)) observeBatch(bytes, at, producers)
    else found.push(...(await observeMarker(segment, producers, position, batchSize(bytes, at))))
    return true
  }
  const ends = { offsetEnd: segment.nextOffset, bytesEnd: segment.bytes }
  let place: ScanPlace = await seekSegment(segment, Math.max(from, segment.baseOffset), ends)
  for (;;) {
    place = await scanBatches(segment.store, place, segment.bytes, checkCrcs, observe)
    if (place.position === segment.bytes) break
    if (!checkCrcs && !segment.holes.some(hole => hole.position === place.position)) return false
    const hole = await findHole(segment, place, ends)
    place = { position: hole.end, nextOffset: hole.lastOffset + 1 }
  }
  await correctIndex(segment, found, from)
  return true
}

function observeBatch(bytes: Buffer, at: number, producers: Producers): void {
  const producer = { id: batchProducerId(bytes, at), epoch: batchProducerEpoch(bytes, at) }
  producers.observe(producer, {
    firstSequence: batchBaseSequence(bytes, at),
    lastSequence: batchLastSequence(bytes, at),
    baseOffset: batchBaseOffset(bytes, at),
    lastOffset: batchLastOffset(bytes, at),
    timestamp: batchMaxTimestamp(bytes, at),
    transactional: batchIsTransactional(bytes, at),
  })
}

/** No marker is larger; another control record of that size would be a stranger's. */
const MARKER_BYTES_MAX = 4 << 10

/** Answers the transaction that it aborts, if any. */
async function observeMarker(segment: Segment, producers: Producers, position: number, size: number) {
  if (size > MARKER_BYTES_MAX) return []
  const bytes = Buffer.alloc(size)
  if ((await segment.store.read(bytes, 0, size, position)) < size) return []
  if (!batchChecksumHolds(bytes, 0)) {
    const firstOffset = batchBaseOffset(bytes, 0)
    segment.addHole({ position, end: position + size, firstOffset, lastOffset: batchLastOffset(bytes, 0) })
    return []
  }
  const marker = await readMarker(bytes, 0)
  if (marker === undefined) return []
  const producer = { id: batchProducerId(bytes, 0), epoch: batchProducerEpoch(bytes, 0) }
  const aborted = producers.end(producer, marker)
  if (aborted !== undefined || marker.outcome === 'commit') return aborted === undefined ? [] : [aborted]
  // Compaction takes the records of an aborted transaction first: only the index knows where they began.
  return segment.aborted.entries.filter(e => e.lastOffset === marker.offset && e.producerId === producer.id)
}

/** What was found of `from` on is true; the file may have been cut, or never have been synced. */
async function correctIndex(segment: Segment, found: readonly AbortedTransaction[], from: number): Promise<void> {
  const kept = segment.aborted.entries.filter(entry => entry.lastOffset < from)
  const wanted = [...kept, ...found]
  const have = segment.aborted.entries
  const same = wanted.length === have.length && wanted.every((entry, i) => sameEntry(entry, have[i]!))
  if (!same) await segment.aborted.replace(wanted)
}

function sameEntry(a: AbortedTransaction, b: AbortedTransaction): boolean {
  return a.producerId === b.producerId && a.firstOffset === b.firstOffset && a.lastOffset === b.lastOffset
}

/**
 * Where the log goes on: at no offset that was given, and not in a segment that ends in damage, whose last header may claim
 * more bytes than are there, and would then have those for its own that come next.
 */
export async function settleEnd(
  partition: Pick<Partition, 'raiseEnd' | 'roll'>,
  { segments, lostEnd }: OpenedLog,
  startOffset = 0,
): Promise<void> {
  const last = segments.at(-1)!
  const endsInDamage = last.holes.some(hole => hole.end === last.bytes)
  await partition.raiseEnd(Math.max(startOffset, lostEnd))
  if (!endsInDamage || segments.at(-1) !== last) return
  await partition.roll().catch(error => {
    // A full disk keeps nobody from reading.
    if (errorCode(error) !== 'DISK_FULL') throw error
  })
}

/** Says what opening a partition found. */
export function tellRecovery(log: Logger, { segments, recoveries, producers, lostEnd }: OpenedLog): void {
  const { nextOffset, store } = segments.at(-1)!
  for (const { undecidable, ...transaction } of producers.open()) {
    if (undecidable)
      log.error(
        { file: store.path, ...transaction },
        'the marker of a transaction may lie in damage: unless the transaction log knows that it was committed, its records are served to nobody',
      )
  }
  for (const { file, truncatedBytes, holes, indexesRebuilt } of recoveries) {
    if (truncatedBytes > 0) log.warn({ file, truncatedBytes, nextOffset }, 'a torn tail, never acknowledged, was cut')
    for (const hole of holes)
      log.error({ file, ...hole }, 'damage in the log: its records are served to nobody, what is behind it is')
    if (indexesRebuilt) log.info({ file }, 'the indexes of a segment were built again')
  }
  if (lostEnd > 0)
    log.error(
      { file: store.path, firstOffset: nextOffset, lastOffset: lostEnd - 1 },
      'the end of the log is gone: its records were stored and are lost, and their offsets are not given again',
    )
}
