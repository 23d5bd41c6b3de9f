import type { Files, Logger } from '../base/index.ts'
import {
  batchBaseOffset,
  batchBaseSequence,
  batchIsControl,
  batchIsTransactional,
  batchLastOffset,
  batchLastSequence,
  batchMaxTimestamp,
  batchProducerEpoch,
  batchProducerId,
  batchSize,
} from './batch.ts'
import { readMarker } from './batch-marker.ts'
import { type ScanPlace, scanBatches } from './batch-scan.ts'
import { readNewestSnapshot } from './producer-snapshot.ts'
import type { AbortedTransaction, Producers } from './producers.ts'
import type { SegmentRecovery } from './recovery.ts'
import type { Segment } from './segment.ts'
import { findHole, seekSegment } from './segment-reader.ts'

export interface ProducersPlan {
  readonly directory: string
  readonly files: Files
  readonly log: Logger
  /** Snapshots up to here speak of what is there: the recovery point, or the end after a clean stop. */
  readonly trustedOffset: number
}

/**
 * Finds out what the producers of a partition have done, from the newest good snapshot and the batches behind it, and puts
 * the indexes of aborted transactions right as far as it looks. Answers the offset of that snapshot.
 */
export async function recoverProducers(
  segments: readonly Segment[],
  producers: Producers,
  plan: ProducersPlan,
): Promise<number> {
  const end = segments.at(-1)!.nextOffset
  const trusted = Math.min(end, plan.trustedOffset)
  const { snapshot, unusable } = await readNewestSnapshot(plan.files, plan.directory, trusted)
  for (const path of unusable) {
    plan.log.warn({ path }, 'a snapshot of the producers is damaged: the log is read instead')
    await plan.files.unlink(path)
  }
  const from = snapshot?.offset ?? -1
  producers.load(snapshot?.states ?? [])
  for (const segment of segments) {
    if (segment.nextOffset > from && segment.bytes > 0) await replay(segment, producers, from)
  }
  return from
}

/** Lets the producers see the batches of one segment from `from` on. */
async function replay(segment: Segment, producers: Producers, from: number): Promise<void> {
  const found: AbortedTransaction[] = []
  const observe = async (bytes: Buffer, at: number, position: number) => {
    if (batchLastOffset(bytes, at) < from || batchProducerId(bytes, at) < 0) return true
    if (!batchIsControl(bytes, at)) observeBatch(bytes, at, producers)
    else found.push(...(await observeMarker(segment, producers, position, batchSize(bytes, at))))
    return true
  }
  const ends = { offsetEnd: segment.nextOffset, bytesEnd: segment.bytes }
  let place: ScanPlace = await seekSegment(segment, Math.max(from, segment.baseOffset), ends)
  for (;;) {
    place = await scanBatches(segment.store, place, segment.bytes, false, observe)
    if (place.position === segment.bytes) break
    const hole = await findHole(segment, place, ends)
    place = { position: hole.end, nextOffset: hole.lastOffset + 1 }
  }
  await correctIndex(segment, found, from)
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

/** Says what opening a partition found. */
export function tellRecovery(log: Logger, recoveries: readonly SegmentRecovery[], nextOffset: number): void {
  for (const { file, truncatedBytes, holes, indexesRebuilt } of recoveries) {
    if (truncatedBytes > 0) log.warn({ file, truncatedBytes, nextOffset }, 'a torn tail, never acknowledged, was cut')
    for (const hole of holes)
      log.error({ file, ...hole }, 'damage in the log: its records are served to nobody, what is behind it is')
    if (indexesRebuilt) log.info({ file }, 'the indexes of a segment were built again')
  }
}
