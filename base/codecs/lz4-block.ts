import { copyLiterals, copyMatch, matchLength, viewOf } from './block-bytes.ts'

/**
 * lz4's block format (lz4_Block_format.md of lz4/lz4): sequences of a token, literals and a copy of what came before. A
 * block ends with literals: its last five bytes are no match, and no match begins in its last twelve.
 */
export const LZ4_BLOCK_MAX = 1 << 16

const TABLE_BITS = 13
const TABLE = new Uint16Array(1 << TABLE_BITS)
const HASH_PRIME = 0x9e3779b1
const HASH_SHIFT = 32 - TABLE_BITS
const MATCH_MIN = 4
const LAST_LITERALS = 5
const LAST_MATCH = 12

/** A length byte of 255 gives 255 bytes: no more can come out of fewer bytes. */
export const LZ4_EXPANSION_MAX = 255

/** Room that the worst case of `length` bytes takes. */
export function lz4Bound(length: number): number {
  return length + Math.ceil(length / 255) + 16
}

/**
 * Compresses `input[from, to)`, at most 64 KiB, to `out` at `at`; answers where it ended. `out` must have `lz4Bound` bytes
 * there.
 */
export function compressLz4(input: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
  const view = viewOf(input)
  const limit = to - LAST_MATCH
  TABLE.fill(0)
  let into = at
  let emitted = from
  let position = from + 1
  let tried = 64
  while (position <= limit) {
    const here = view.getInt32(position, true)
    const slot = Math.imul(here, HASH_PRIME) >>> HASH_SHIFT
    let candidate = from + TABLE[slot]!
    TABLE[slot] = position - from
    if (view.getInt32(candidate, true) !== here) {
      // Steps grow where nothing matches.
      position += tried++ >> 6
      continue
    }
    tried = 64
    while (position > emitted && candidate > from && input[position - 1] === input[candidate - 1]) {
      position--
      candidate--
    }
    const length = MATCH_MIN + matchLength(view, candidate + MATCH_MIN, position + MATCH_MIN, to - LAST_LITERALS)
    into = putSequence(input, emitted, position, out, into, position - candidate, length)
    position += length
    emitted = position
    if (position > limit) break
    TABLE[Math.imul(view.getInt32(position - 2, true), HASH_PRIME) >>> HASH_SHIFT] = position - 2 - from
  }
  return putLiterals(input, emitted, to, out, into, 0)
}

/** Token, lengths and literals; `matchCode` is the token's lower half. */
function putLiterals(input: Uint8Array, from: number, to: number, out: Uint8Array, at: number, matchCode: number) {
  const length = to - from
  let into = at + 1
  if (length < 15) out[at] = (length << 4) | matchCode
  else {
    out[at] = 0xf0 | matchCode
    into = putLength(out, into, length - 15)
  }
  copyLiterals(input, from, out, into, length)
  return into + length
}

function putSequence(
  input: Uint8Array,
  from: number,
  to: number,
  out: Uint8Array,
  at: number,
  distance: number,
  length: number,
): number {
  const more = length - MATCH_MIN - 15
  const into = putLiterals(input, from, to, out, at, more < 0 ? length - MATCH_MIN : 15)
  out[into] = distance
  out[into + 1] = distance >> 8
  return more < 0 ? into + 2 : putLength(out, into + 2, more)
}

function putLength(out: Uint8Array, at: number, length: number): number {
  let into = at
  let rest = length
  for (; rest >= 255; rest -= 255) out[into++] = 255
  out[into++] = rest
  return into
}

/**
 * Unpacks the block in `input[from, to)` to `out` at `at` and answers where it ended, at most `end`. Copies may reach back
 * to `windowStart` in `out`. Throws RangeError for a block that does not keep to that.
 */
export function decompressLz4(
  input: Uint8Array,
  from: number,
  to: number,
  out: Uint8Array,
  at: number,
  end: number,
  windowStart: number,
): number {
  const view = viewOf(out)
  let position = from
  let into = at
  while (position < to) {
    const token = input[position++]!
    let literals = token >> 4
    if (literals === 15) {
      let more = 255
      while (more === 255) {
        if (position >= to) throw new RangeError('a length is cut')
        more = input[position++]!
        literals += more
      }
    }
    if (literals > to - position || literals > end - into)
      throw new RangeError(`${literals} literal bytes pass the end`)
    copyLiterals(input, position, out, into, literals)
    position += literals
    into += literals
    // The last sequence has no match.
    if (position === to) return into
    if (position + 2 > to) throw new RangeError('a copy is cut')
    const distance = input[position]! | (input[position + 1]! << 8)
    position += 2
    let length = (token & 15) + MATCH_MIN
    if (length === 15 + MATCH_MIN) {
      let more = 255
      while (more === 255) {
        if (position >= to) throw new RangeError('a length is cut')
        more = input[position++]!
        length += more
      }
    }
    if (distance === 0 || distance > into - windowStart || length > end - into)
      throw new RangeError(`a copy of ${length} bytes from ${distance} before passes an end`)
    copyMatch(view, out, into, distance, length)
    into += length
  }
  throw new RangeError('a block ends with a copy')
}
