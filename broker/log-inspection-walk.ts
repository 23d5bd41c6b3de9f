import { crc32c } from '../base/index.ts'
import { BATCH_HEADER_BYTES, batchBaseOffset, batchIsSane, batchLastOffset, batchSize } from './batch.ts'
import { findNextBatch, type ScanPlace, scanBatches } from './batch-scan.ts'
import type { Store } from './store.ts'

/** Bytes of a log file in which no batch could be found that may be believed. */
export interface BadBytes {
  /** Bytes [position, end) of the file. */
  readonly position: number
  readonly end: number
  /** Offsets that were or may have been there, inclusive; `lastOffset` is undefined where nothing tells it. */
  readonly firstOffset: number
  readonly lastOffset: number | undefined
  readonly reason: string
  /** The bytes look like a batch's header, and the good batches go on where it says that it ends. */
  readonly isBatch: boolean
}

export interface SegmentVisitor {
  /** A batch whose checksum holds. Of `bytes` only the header at `at` need be there; `position` is its byte in the file. */
  batch(bytes: Buffer, at: number, position: number): Promise<void>
  bad(range: BadBytes): Promise<void>
}

/**
 * Walks a log file from its start with the rules of recovery, and passes over damage as a reader would. `offsetEnd`: the
 * next segment's base offset, infinite for the last one. Answers the offset behind the last good batch.
 */
export async function walkSegment(
  store: Store,
  baseOffset: number,
  offsetEnd: number,
  visitor: SegmentVisitor,
): Promise<number> {
  const end = store.size
  let place: ScanPlace = { position: 0, nextOffset: baseOffset }
  for (;;) {
    place = await scanBatches(store, place, end, true, async (bytes, at, position) => {
      await visitor.batch(bytes, at, position)
      return true
    })
    if (place.position === end) return place.nextOffset
    const next = await findNextBatch(store, place, end, offsetEnd)
    await visitor.bad(await describe(store, place, next, end, offsetEnd))
    if (next === undefined) return place.nextOffset
    place = next
  }
}

async function describe(
  store: Store,
  place: ScanPlace,
  next: ScanPlace | undefined,
  end: number,
  offsetEnd: number,
): Promise<BadBytes> {
  const header = Buffer.alloc(Math.min(BATCH_HEADER_BYTES, end - place.position))
  const length = await store.read(header, 0, header.length, place.position)
  const whole = length === BATCH_HEADER_BYTES && batchIsSane(header, 0)
  const behind = next?.position ?? end
  const isBatch = whole && place.position + batchSize(header, 0) === behind
  const lastOffset = next !== undefined ? next.nextOffset - 1 : Number.isFinite(offsetEnd) ? offsetEnd - 1 : undefined
  return {
    position: place.position,
    end: behind,
    firstOffset: place.nextOffset,
    lastOffset:
      lastOffset ?? (whole && batchLastOffset(header, 0) >= place.nextOffset ? batchLastOffset(header, 0) : undefined),
    reason: await reasonOf(store, place, header.subarray(0, length), end),
    isBatch,
  }
}

/** Completes a sentence that begins with the bytes. */
async function reasonOf(
  store: Store,
  { position, nextOffset }: ScanPlace,
  header: Buffer,
  end: number,
): Promise<string> {
  const left = end - position
  if (header.length < BATCH_HEADER_BYTES) return `only ${left} bytes, fewer than the header of a batch`
  if (header[16] !== 2) return `magic ${header[16]} where a batch has 2`
  const size = batchSize(header, 0)
  if (size < BATCH_HEADER_BYTES) return `a batch length of ${size} bytes`
  if (size > left) return `a batch of ${size} bytes, of which ${left} are there`
  if (!batchIsSane(header, 0)) return 'a batch header with impossible offsets or counts'
  const stored = header.readUInt32BE(17)
  const computed = await checksum(store, position + 21, position + size)
  if (computed !== stored) return `a batch with checksum ${stored} whose bytes have ${computed}`
  const baseOffset = batchBaseOffset(header, 0)
  if (baseOffset < nextOffset) return `a batch of base offset ${baseOffset}, where ${nextOffset} is the next`
  return `a batch of base offset ${baseOffset}, for which the next batch leaves no room: the offset was altered`
}

const PIECE_BYTES = 1 << 20

async function checksum(store: Store, from: number, to: number): Promise<number> {
  const bytes = Buffer.allocUnsafe(Math.min(PIECE_BYTES, to - from))
  let crc = 0
  for (let at = from; at < to; ) {
    const length = await store.read(bytes, 0, Math.min(bytes.length, to - at), at)
    if (length === 0) break
    crc = crc32c(bytes.subarray(0, length), crc)
    at += length
  }
  return crc
}
