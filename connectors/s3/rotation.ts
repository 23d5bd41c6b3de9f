import type { Rows } from '../formats/rows.ts'

/** When an object is finished. -1 switches a limit off. */
export interface Rotation {
  /** Records. */
  readonly flushSize: number
  /** Uncompressed bytes; the object ends behind the record that reaches it. */
  readonly flushBytes: number
  /** Span of record time: a record so much later than the first one begins the next object. */
  readonly intervalMs: number
  /** By the clock, since the last record arrived. */
  readonly idleMs: number
  /** By the clock, since the first record arrived. */
  readonly scheduleMs: number
}

export interface Filling {
  readonly lines: number
  /** Of the first record; -1 when it has none. */
  readonly firstTimestamp: number
}

/**
 * The first row of [from, to) that does not belong in the object any more. Depends on the records alone, never on how they
 * were cut into batches; bytes are watched while they are written.
 */
export function endOfObject(rotation: Rotation, object: Filling, rows: Rows, from: number, to: number): number {
  const { flushSize, intervalMs } = rotation
  let end = to
  if (flushSize >= 0) end = Math.min(end, from + Math.max(0, flushSize - object.lines))
  if (intervalMs < 0 || object.firstTimestamp < 0) return end
  const limit = object.firstTimestamp + intervalMs
  for (let i = from; i < end; i++) if (rows.timestamp(i) >= limit) return i
  return end
}

export function isFull(rotation: Rotation, lines: number, bytes: number): boolean {
  return (rotation.flushSize >= 0 && lines >= rotation.flushSize) || bytes >= byteLimit(rotation)
}

export function byteLimit(rotation: Rotation): number {
  return rotation.flushBytes < 0 ? Number.POSITIVE_INFINITY : rotation.flushBytes
}

/** Times are monotonic milliseconds. */
export function isDue(rotation: Rotation, openedAt: number, touchedAt: number, now: number): boolean {
  return (
    (rotation.idleMs >= 0 && now - touchedAt >= rotation.idleMs) ||
    (rotation.scheduleMs >= 0 && now - openedAt >= rotation.scheduleMs)
  )
}
