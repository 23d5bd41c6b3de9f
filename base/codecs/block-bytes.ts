/** What the block compressors share: matches of bytes, found and copied. All positions must lie inside. */

/** Below this a loop is quicker than a call. */
const LOOP_MAX = 12
const CALL_MIN = 32

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** How many bytes at `a` equal those at `b`, which lies behind it and may go on to `end`. */
export function matchLength(view: DataView, a: number, b: number, end: number): number {
  const from = b
  let behind = a
  let at = b
  while (at + 4 <= end) {
    const difference = view.getInt32(at, true) ^ view.getInt32(behind, true)
    // The lowest set bit is in the first byte that differs.
    if (difference !== 0) return at - from + ((31 - Math.clz32(difference & -difference)) >> 3)
    at += 4
    behind += 4
  }
  while (at < end && view.getUint8(at) === view.getUint8(behind)) {
    at++
    behind++
  }
  return at - from
}

/** Copies `length` bytes from one buffer to another. */
export function copyLiterals(from: Uint8Array, start: number, into: Uint8Array, at: number, length: number): void {
  if (length > LOOP_MAX) into.set(from.subarray(start, start + length), at)
  else for (let i = 0; i < length; i++) into[at + i] = from[start + i]!
}

/** Copies `length` bytes from `distance` bytes before `at`; a distance below the length repeats what was just copied. */
export function copyMatch(view: DataView, bytes: Uint8Array, at: number, distance: number, length: number): void {
  const start = at - distance
  if (length > CALL_MIN && distance >= length) {
    bytes.copyWithin(at, start, start + length)
    return
  }
  if (length > CALL_MIN && distance === 1) {
    bytes.fill(bytes[start]!, at, at + length)
    return
  }
  let i = 0
  // Four at a time, none of which may be among those that it writes.
  if (distance >= 4) for (; i + 4 <= length; i += 4) view.setInt32(at + i, view.getInt32(start + i, true), true)
  for (; i < length; i++) bytes[at + i] = bytes[start + i]!
}
