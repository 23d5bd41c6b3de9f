import { crc32c } from '../base/index.ts'
import {
  BATCH_HEADER_BYTES,
  batchBaseOffset,
  batchIsSane,
  batchLastOffset,
  batchLastOffsetDelta,
  batchSize,
} from './batch.ts'
import { FileWindow } from './file-window.ts'
import type { Store } from './store.ts'

/** Headers lie far apart, so a small window reads less between them. */
const HEADERS_WINDOW_BYTES = 16 << 10
const WHOLE_WINDOW_BYTES = 1 << 20

/** Offset of the magic byte in a batch, and its value. */
const MAGIC_AT = 16
const MAGIC = 2

export interface ScanPlace {
  /** Byte in the log file. */
  readonly position: number
  /** No batch there may begin below this. */
  readonly nextOffset: number
}

/**
 * Sees one header: `at` in `bytes`, at `position` in the file. More than the header need not be in `bytes`. False stops
 * the walk in front of it.
 */
export type BatchVisitor = (bytes: Buffer, at: number, position: number) => boolean | Promise<boolean>

/**
 * Walks the batches of a segment from `from` to `end` and answers where it stopped: behind the last good one, or at the
 * one for which `visit` said so.
 */
export async function scanBatches(
  store: Store,
  from: ScanPlace,
  end: number,
  checkCrcs: boolean,
  visit: BatchVisitor,
): Promise<ScanPlace> {
  const window = new FileWindow(store, end, checkCrcs ? WHOLE_WINDOW_BYTES : HEADERS_WINDOW_BYTES)
  let { position, nextOffset } = from
  for (;;) {
    const at = await window.locate(position, BATCH_HEADER_BYTES)
    if (at < 0 || !isNextBatch(window.bytes, at, nextOffset)) break
    const size = batchSize(window.bytes, at)
    if (position + size > end) break
    if (checkCrcs && !(await checksumHolds(store, window, position, size, end))) break
    const gap = batchBaseOffset(window.bytes, await window.locate(position, BATCH_HEADER_BYTES)) > nextOffset
    if (gap && (await offsetIsShifted(store, position, nextOffset, end))) break
    const header = await window.locate(position, BATCH_HEADER_BYTES)
    const lastOffset = batchLastOffset(window.bytes, header)
    if (!(await visit(window.bytes, header, position))) break
    nextOffset = lastOffset + 1
    position += size
  }
  return { position, nextOffset }
}

/**
 * The checksum does not cover the base offset. A batch in front of a gap whose follower leaves room for it only where the
 * gap begins belongs there: its base offset was altered. A follower that fits neither way says nothing.
 */
export async function offsetIsShifted(
  store: Store,
  position: number,
  nextOffset: number,
  end: number,
): Promise<boolean> {
  const header = Buffer.alloc(BATCH_HEADER_BYTES)
  const read = async (at: number) =>
    at + header.length <= end && (await store.read(header, 0, header.length, at)) === header.length
  if (!(await read(position)) || batchBaseOffset(header, 0) <= nextOffset) return false
  const lastOffset = batchLastOffset(header, 0)
  const lastOffsetInGap = nextOffset + batchLastOffsetDelta(header, 0)
  if (!(await read(position + batchSize(header, 0))) || !batchIsSane(header, 0)) return false
  const behind = batchBaseOffset(header, 0)
  return behind > lastOffsetInGap && behind <= lastOffset
}

function isNextBatch(bytes: Buffer, at: number, nextOffset: number): boolean {
  return batchIsSane(bytes, at) && batchBaseOffset(bytes, at) >= nextOffset
}

/** A batch larger than the window is read in pieces, so that a hostile length allocates nothing. */
async function checksumHolds(store: Store, window: FileWindow, position: number, size: number, end: number) {
  let at = await window.locate(position, Math.min(size, window.bytes.length))
  if (at < 0) return false
  const expected = window.bytes.readUInt32BE(at + 17)
  let length = Math.min(size, window.bytes.length)
  let crc = crc32c(window.bytes.subarray(at + 21, at + length))
  const pieces = length === size ? undefined : new FileWindow(store, end, WHOLE_WINDOW_BYTES)
  while (pieces !== undefined && length < size) {
    const piece = Math.min(size - length, pieces.bytes.length)
    at = await pieces.locate(position + length, piece)
    if (at < 0) return false
    crc = crc32c(pieces.bytes.subarray(at, at + piece), crc)
    length += piece
  }
  return crc === expected
}

/**
 * The next good batch behind damage at `from`, or undefined. It begins at an offset in [from.nextOffset, offsetEnd). First
 * looked for where the damaged batch says that it ends; then byte by byte, where a batch that lies inside a record (a
 * copied log file, perhaps) must not be taken for one of ours: it has to be followed by another one or the end.
 */
export async function findNextBatch(
  store: Store,
  from: ScanPlace,
  end: number,
  offsetEnd: number,
): Promise<ScanPlace | undefined> {
  const window = new FileWindow(store, end, WHOLE_WINDOW_BYTES)
  const good = (position: number) => goodBatch(store, window, position, end, from.nextOffset, offsetEnd)
  const at = await window.locate(from.position, BATCH_HEADER_BYTES)
  if (at >= 0 && batchSize(window.bytes, at) >= BATCH_HEADER_BYTES) {
    const found = await good(from.position + batchSize(window.bytes, at))
    if (found !== undefined) return found.place
  }
  for (let position = from.position + 1; position + BATCH_HEADER_BYTES <= end; position++) {
    const start = await window.locate(position, BATCH_HEADER_BYTES)
    if (start < 0) return undefined
    const magic = window.bytes.indexOf(MAGIC, start + MAGIC_AT)
    const within = window.at(position) - BATCH_HEADER_BYTES
    const skip = magic < 0 ? within + 1 : magic - MAGIC_AT - start
    if (skip > 0) {
      position += Math.min(skip, within + 1) - 1
      continue
    }
    const found = await good(position)
    if (found !== undefined && (found.end === end || (await good(found.end)) !== undefined)) return found.place
  }
  return undefined
}

async function goodBatch(
  store: Store,
  window: FileWindow,
  position: number,
  end: number,
  offsetMin: number,
  offsetEnd: number,
): Promise<{ place: ScanPlace; end: number } | undefined> {
  const at = await window.locate(position, BATCH_HEADER_BYTES)
  if (at < 0 || !isNextBatch(window.bytes, at, offsetMin)) return undefined
  const baseOffset = batchBaseOffset(window.bytes, at)
  const size = batchSize(window.bytes, at)
  if (baseOffset >= offsetEnd || batchLastOffset(window.bytes, at) >= offsetEnd || position + size > end)
    return undefined
  if (!(await checksumHolds(store, window, position, size, end))) return undefined
  return { place: { position, nextOffset: baseOffset }, end: position + size }
}
