import type { BufferPool, PackedRecords } from '../base/index.ts'
import {
  BATCH_HEADER_BYTES,
  batchBaseOffset,
  batchChecksumHolds,
  batchIsControl,
  batchIsSane,
  batchIsTransactional,
  batchLastOffset,
  batchMaxTimestamp,
  batchProducerId,
  batchSize,
} from './batch.ts'
import { batchRecords } from './batch-records.ts'
import { findNextBatch, offsetIsShifted, type ScanPlace, scanBatches } from './batch-scan.ts'
import type { OffsetEntry } from './offset-index.ts'
import type { ReadAhead } from './read-ahead.ts'
import type { Hole, Segment } from './segment.ts'
import type { TimeEntry } from './time-index.ts'

/** What is read at once while looking for the batch of an offset, to have its header at least. */
const READ_BYTES_MIN = 4 << 10

/** Smaller pieces get memory of their size: readers at the end of the log take many, and not all give them back. */
const POOLED_BYTES_MIN = 256 << 10

export interface SegmentRead {
  readonly batches: PackedRecords[]
  /** Where reading goes on. */
  readonly nextOffset: number
  readonly position: number
  /** Damage that stopped the read before its first batch. */
  readonly hole: Hole | undefined
  /** The batches' bytes may be used again. */
  readonly release: () => void
}

/** How far a segment may be read. */
export interface SegmentEnds {
  /** Base offset of the next segment, or the high watermark. */
  readonly offsetEnd: number
  /** Bytes that were readable when that was so. */
  readonly bytesEnd: number
}

/** What becomes of a transactional batch: served, passed over as aborted, or kept back as damage. */
export type Verdict = 'serve' | 'skip' | 'refuse'

export interface SegmentReadOptions extends SegmentEnds {
  /** No batch that begins here or behind is served: the last stable offset, for those who mind it. */
  readonly limit: number
  /** Says it of a transactional batch; undefined serves them all. */
  readonly verdict: ((producerId: number, baseOffset: number) => Verdict) | undefined
  readonly bytesMax: number
  readonly checkCrcs: boolean
  readonly readAhead: ReadAhead
}

/** The position of the batch that holds `offset`, or of the first one behind it; of damage that holds `offset`. */
export async function seekSegment(segment: Segment, offset: number, ends: SegmentEnds): Promise<ScanPlace> {
  const entry = await segment.offsetIndex.floor(offset)
  const indexed = entry === undefined ? undefined : await placeOfEntry(segment, entry)
  return seekSegmentFrom(segment, indexed ?? { position: 0, nextOffset: segment.baseOffset }, offset, ends)
}

/** Likewise, not looking before `from`. Headers are believed as long as each batch begins where the last one ends. */
export async function seekSegmentFrom(
  segment: Segment,
  from: ScanPlace,
  offset: number,
  ends: SegmentEnds,
): Promise<ScanPlace> {
  const isBefore = (bytes: Buffer, at: number, position: number) =>
    batchLastOffset(bytes, at) < offset && !segment.holes.some(hole => hole.position === position)
  const quick = await scanBatches(segment.store, from, ends.bytesEnd, false, isBefore)
  if (quick.position === ends.bytesEnd || (await beginsAt(segment, quick))) return quick
  let place = from
  for (;;) {
    place = await scanBatches(segment.store, place, ends.bytesEnd, true, isBefore)
    if (place.position === ends.bytesEnd || (await beginsAt(segment, place, offset))) return place
    const hole = await findHole(segment, place, ends)
    if (offset <= hole.lastOffset || hole.end === place.position) return place
    place = { position: hole.end, nextOffset: hole.lastOffset + 1 }
  }
}

/** Whether a batch lies at `place` that begins at its offset, or, given `offset`, that ends at or behind that. */
async function beginsAt(segment: Segment, place: ScanPlace, offset?: number): Promise<boolean> {
  if (segment.holes.some(hole => hole.position === place.position)) return false
  const header = Buffer.alloc(BATCH_HEADER_BYTES)
  if ((await segment.store.read(header, 0, header.length, place.position)) < header.length) return false
  if (!batchIsSane(header, 0)) return false
  if (offset === undefined) return batchBaseOffset(header, 0) === place.nextOffset
  return batchBaseOffset(header, 0) >= place.nextOffset && batchLastOffset(header, 0) >= offset
}

/** An index is a hint: without a checksum it may be anything. */
async function placeOfEntry(segment: Segment, entry: OffsetEntry): Promise<ScanPlace | undefined> {
  const header = Buffer.alloc(BATCH_HEADER_BYTES)
  if (entry.position + header.length > segment.readableBytes) return undefined
  await segment.store.read(header, 0, header.length, entry.position)
  if (!batchIsSane(header, 0) || batchLastOffset(header, 0) !== entry.lastOffset) return undefined
  return { position: entry.position, nextOffset: batchBaseOffset(header, 0) }
}

/**
 * Reads whole batches from `place` on, up to `bytesMax` but at least one; records below `offset` are cut off. Control
 * batches give no records. Stops in front of damage, and tells it when it is the first thing there.
 */
export async function readSegment(
  segment: Segment,
  place: ScanPlace,
  offset: number,
  options: SegmentReadOptions,
): Promise<SegmentRead> {
  const end = options.bytesEnd
  const batches: PackedRecords[] = []
  let { position, nextOffset: expected } = place
  let nextOffset = offset
  const { bytesMax, readAhead } = options
  const read = (from: number) => readChunk(segment, from, end, bytesMax, readAhead.pool)
  const chunk = (await readAhead.take(segment, position, bytesMax)) ?? (await read(position))
  let held: Buffer | undefined = chunk
  const release = () => {
    // Once: by the second call the bytes may be someone else's.
    if (held !== undefined) readAhead.pool.give(held)
    held = undefined
  }
  const next = position + wholeBytes(chunk, chunk.length)
  // Whoever takes large pieces is on the way through the log: the next one comes while this one is worked on.
  if (next < end && next - position >= bytesMax / 2) readAhead.start(segment, next, bytesMax, () => read(next))
  for (let at = 0; position < end; ) {
    const whole = wholeBatch(chunk, at, end - position)
    if (whole === 'later') break
    if (whole === 'bad' || !(await batchHolds(segment, chunk, at, { position, nextOffset: expected }, options))) {
      if (position > place.position) break
      return { batches, nextOffset, position, hole: await findHole(segment, place, options), release }
    }
    const lastOffset = batchLastOffset(chunk, at)
    if (batchBaseOffset(chunk, at) >= options.limit) {
      // What lies between is a gap, which compaction may have left.
      nextOffset = Math.max(nextOffset, options.limit)
      break
    }
    const verdict = batchIsControl(chunk, at) || lastOffset < offset ? 'skip' : verdictOn(chunk, at, options)
    if (verdict === 'refuse') {
      if (position > place.position) break
      return { batches, nextOffset, position, hole: undecided(chunk, at, position), release }
    }
    if (verdict === 'serve') {
      const records = await batchRecords(chunk, at)
      const from = firstFrom(records, offset)
      if (from < records.count) batches.push(records.slice(from, records.count))
    }
    const size = batchSize(chunk, at)
    expected = lastOffset + 1
    nextOffset = Math.max(offset, expected)
    at += size
    position += size
  }
  return { batches, nextOffset, position, hole: undefined, release }
}

function verdictOn(chunk: Buffer, at: number, { verdict }: SegmentReadOptions): Verdict {
  if (verdict === undefined || !batchIsTransactional(chunk, at)) return 'serve'
  return verdict(batchProducerId(chunk, at), batchBaseOffset(chunk, at))
}

/** A batch of which nobody can say whether it was committed is no better than a damaged one. */
function undecided(chunk: Buffer, at: number, position: number): Hole {
  const firstOffset = batchBaseOffset(chunk, at)
  return { position, end: position + batchSize(chunk, at), firstOffset, lastOffset: batchLastOffset(chunk, at) }
}

/** Checksum, and the base offset that it does not cover. */
async function batchHolds(
  segment: Segment,
  chunk: Buffer,
  at: number,
  place: ScanPlace,
  options: SegmentReadOptions,
): Promise<boolean> {
  if (options.checkCrcs && !batchChecksumHolds(chunk, at)) return false
  const baseOffset = batchBaseOffset(chunk, at)
  if (baseOffset < place.nextOffset || batchLastOffset(chunk, at) >= options.offsetEnd) return false
  if (baseOffset === place.nextOffset) return true
  return !(await offsetIsShifted(segment.store, place.position, place.nextOffset, options.bytesEnd))
}

/**
 * As many bytes as asked for. A batch that is cut at their end is completed when it is the first one, or when the cut
 * would waste more than half of what was read.
 */
async function readChunk(segment: Segment, position: number, end: number, bytesMax: number, pool: BufferPool) {
  const wanted = Math.min(Math.max(bytesMax, READ_BYTES_MIN), end - position)
  const chunk = wanted < POOLED_BYTES_MIN ? Buffer.allocUnsafeSlow(wanted) : pool.take(wanted)
  const length = await segment.store.read(chunk, 0, wanted, position)
  const whole = wholeBytes(chunk, length)
  if (whole > wanted / 2 || length - whole < BATCH_HEADER_BYTES || !batchIsSane(chunk, whole)) {
    return chunk.subarray(0, length)
  }
  const complete = whole + batchSize(chunk, whole)
  if (complete <= length || complete > end - position) return chunk.subarray(0, length)
  const larger = pool.take(complete)
  chunk.copy(larger, 0, 0, length)
  pool.give(chunk)
  return larger.subarray(0, length + (await segment.store.read(larger, length, complete - length, position + length)))
}

/** How many of the first `length` bytes are whole batches, as far as their headers say. */
function wholeBytes(chunk: Buffer, length: number): number {
  let at = 0
  while (length - at >= BATCH_HEADER_BYTES && batchIsSane(chunk, at) && at + batchSize(chunk, at) <= length) {
    at += batchSize(chunk, at)
  }
  return at
}

/** Whether a batch lies whole at `at`, begins in the chunk and goes on behind it, or cannot be one. */
function wholeBatch(chunk: Buffer, at: number, bytesLeft: number): 'whole' | 'later' | 'bad' {
  const inChunk = chunk.length - at
  if (inChunk < BATCH_HEADER_BYTES) return bytesLeft < BATCH_HEADER_BYTES || at === 0 ? 'bad' : 'later'
  if (!batchIsSane(chunk, at) || batchSize(chunk, at) > bytesLeft) return 'bad'
  if (batchSize(chunk, at) <= inChunk) return 'whole'
  return at === 0 ? 'bad' : 'later'
}

/** What is damaged from `place` on; found once and remembered. */
export async function findHole(segment: Segment, place: ScanPlace, options: SegmentEnds): Promise<Hole> {
  const known = segment.holes.find(hole => hole.position === place.position)
  if (known !== undefined) return known
  const { offsetEnd, bytesEnd } = options
  const next = await findNextBatch(segment.store, place, bytesEnd, offsetEnd)
  const hole = {
    position: place.position,
    end: next?.position ?? bytesEnd,
    firstOffset: place.nextOffset,
    lastOffset: (next?.nextOffset ?? offsetEnd) - 1,
  }
  segment.addHole(hole)
  return hole
}

function firstFrom(records: PackedRecords, offset: number): number {
  if (records.baseOffset >= offset) return 0
  if (records.offsetDeltas === undefined) return Math.min(records.count, offset - records.baseOffset)
  let i = 0
  while (i < records.count && records.offset(i) < offset) i++
  return i
}

/**
 * Where the first record at or after `timestamp`, and not below offset `from`, may be: the first batch that has one. Damage on the way is where the
 * answer may be, so the search ends there; the end of what is readable when there is neither.
 */
export async function seekTime(
  segment: Segment,
  timestamp: number,
  from: number,
  ends: SegmentEnds,
): Promise<ScanPlace> {
  const entry = await segment.timeIndex.before(timestamp)
  const before = entry !== undefined && (await timeHolds(segment, entry, ends.bytesEnd)) ? entry : undefined
  const start = await seekSegment(segment, Math.max(from, (before?.offset ?? -1) + 1, segment.baseOffset), ends)
  const isBefore = (bytes: Buffer, at: number) => batchMaxTimestamp(bytes, at) < timestamp || batchIsControl(bytes, at)
  return scanBatches(segment.store, start, ends.bytesEnd, false, isBefore)
}

/** Whether the batch with that offset has that largest time: an index without a checksum may say anything. */
export async function timeHolds(
  segment: Segment,
  { timestamp, offset }: TimeEntry,
  bytesEnd: number,
): Promise<boolean> {
  const entry = await segment.offsetIndex.floor(offset)
  const header = Buffer.alloc(BATCH_HEADER_BYTES)
  let found = false
  const look = (bytes: Buffer, at: number) => {
    if (batchLastOffset(bytes, at) < offset) return true
    found = batchBaseOffset(bytes, at) <= offset && batchMaxTimestamp(bytes, at) === timestamp
    return false
  }
  const position = entry?.position ?? 0
  if (position + header.length > bytesEnd) return false
  await segment.store.read(header, 0, header.length, position)
  if (!batchIsSane(header, 0)) return false
  await scanBatches(segment.store, { position, nextOffset: batchBaseOffset(header, 0) }, bytesEnd, false, look)
  return found
}
