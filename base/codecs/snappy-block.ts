import { copyLiterals, copyMatch, matchLength, viewOf } from './block-bytes.ts'

/**
 * Snappy's raw format (format_description.txt of google/snappy): the length as a varint, then literals and copies of what
 * came before. Input of at most 64 KiB a block, so that every distance fits in 16 bits.
 */
export const SNAPPY_BLOCK_MAX = 1 << 16

/** A copy element of 3 bytes gives 64: no more can come out of fewer bytes. */
const EXPANSION_MAX = 22

const TABLE_BITS_MAX = 14
const TABLE = new Uint16Array(1 << TABLE_BITS_MAX)
const HASH_PRIME = 0x1e35a7bd

/** Matches are looked for up to so many bytes before the end, so that reads of four bytes stay inside. */
const MARGIN = 15

/** Room that the worst case of `length` bytes takes. */
export function snappyBound(length: number): number {
  return 32 + length + Math.ceil(length / 6)
}

/** Compresses `input[from, to)` to `out` at `at`; answers where it ended. `out` must have `snappyBound` bytes there. */
export function compressSnappy(input: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
  const view = viewOf(input)
  let into = writeLength(out, at, to - from)
  let emitted = from
  const limit = to - MARGIN
  if (limit <= from) return emitted < to ? putLiteral(input, from, to, out, into) : into
  const bits = Math.min(TABLE_BITS_MAX, Math.max(8, 32 - Math.clz32(to - from)))
  const shift = 32 - bits
  const table = TABLE.fill(0, 0, 1 << bits)
  let position = from + 1
  for (;;) {
    const found = nextMatch(view, table, shift, from, position, limit)
    if (found < 0) break
    position = found
    let candidate = CANDIDATE.position
    if (emitted < position) into = putLiteral(input, emitted, position, out, into)
    for (;;) {
      const length = 4 + matchLength(view, candidate + 4, position + 4, to)
      into = putCopy(out, into, position - candidate, length)
      position += length
      emitted = position
      if (position >= limit) return emitted < to ? putLiteral(input, emitted, to, out, into) : into
      table[Math.imul(view.getInt32(position - 1, true), HASH_PRIME) >>> shift] = position - 1 - from
      const here = view.getInt32(position, true)
      const slot = Math.imul(here, HASH_PRIME) >>> shift
      candidate = from + table[slot]!
      table[slot] = position - from
      if (view.getInt32(candidate, true) !== here) break
    }
    position++
  }
  return putLiteral(input, emitted, to, out, into)
}

/** Where `nextMatch` found what it answers; a second result without an object for each match. */
const CANDIDATE = { position: 0 }

/** The next position whose four bytes stood before; -1 when none does. Steps grow where nothing matches. */
function nextMatch(view: DataView, table: Uint16Array, shift: number, base: number, from: number, limit: number) {
  let position = from
  for (let tried = 32; position <= limit; position += tried++ >> 5) {
    const here = view.getInt32(position, true)
    const slot = Math.imul(here, HASH_PRIME) >>> shift
    const candidate = base + table[slot]!
    table[slot] = position - base
    if (view.getInt32(candidate, true) !== here) continue
    CANDIDATE.position = candidate
    return position
  }
  return -1
}

function putLiteral(input: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
  const last = to - from - 1
  let into = at
  if (last < 60) out[into++] = last << 2
  else if (last < 256) {
    out[into++] = 60 << 2
    out[into++] = last
  } else {
    out[into++] = 61 << 2
    out[into++] = last
    out[into++] = last >> 8
  }
  copyLiterals(input, from, out, into, to - from)
  return into + to - from
}

function putCopy(out: Uint8Array, at: number, distance: number, length: number): number {
  let into = at
  let left = length
  // At least four bytes must be left for the last one.
  while (left >= 68) {
    into = putLongCopy(out, into, distance, 64)
    left -= 64
  }
  if (left > 64) {
    into = putLongCopy(out, into, distance, 60)
    left -= 60
  }
  if (left >= 12 || distance >= 2048) return putLongCopy(out, into, distance, left)
  out[into] = 1 | ((left - 4) << 2) | ((distance >> 8) << 5)
  out[into + 1] = distance
  return into + 2
}

function putLongCopy(out: Uint8Array, at: number, distance: number, length: number): number {
  out[at] = 2 | ((length - 1) << 2)
  out[at + 1] = distance
  out[at + 2] = distance >> 8
  return at + 3
}

function writeLength(out: Uint8Array, at: number, length: number): number {
  let into = at
  let rest = length
  for (; rest >= 0x80; rest >>>= 7) out[into++] = rest | 0x80
  out[into++] = rest
  return into
}

/**
 * Bytes that the block in `input[from, to)` says it unpacks to. Throws RangeError when it cannot be true, so that a hostile
 * length is told before anything is allocated (CVE-2023-34455).
 */
export function snappyLength(input: Uint8Array, from: number, to: number): number {
  const { length } = readLength(input, from, to)
  if (length > (to - from) * EXPANSION_MAX) throw new RangeError(`${to - from} bytes cannot unpack to ${length}`)
  return length
}

function readLength(input: Uint8Array, from: number, to: number): { length: number; end: number } {
  let length = 0
  for (let i = 0; i < 5 && from + i < to; i++) {
    const byte = input[from + i]!
    length += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) {
      if (length > 0xffffffff) break
      return { length, end: from + i + 1 }
    }
  }
  throw new RangeError('its length is cut or longer than 32 bits')
}

/** Unpacks the block in `input[from, to)` to `out` at `at`, which has room for its length; answers where it ended. */
export function decompressSnappy(input: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
  const { length, end: start } = readLength(input, from, to)
  const end = at + length
  const view = viewOf(out)
  let into = at
  let position = start
  while (position < to) {
    const tag = input[position++]!
    const kind = tag & 3
    if (kind === 0) {
      let size = tag >> 2
      if (size >= 60) {
        const extra = size - 59
        if (position + extra > to) throw new RangeError('a literal is cut')
        size = 0
        for (let i = 0; i < extra; i++) size += input[position++]! * 2 ** (8 * i)
      }
      size++
      if (size > to - position || size > end - into) throw new RangeError(`a literal of ${size} bytes passes the end`)
      copyLiterals(input, position, out, into, size)
      position += size
      into += size
      continue
    }
    const extra = kind === 3 ? 4 : kind
    if (position + extra > to) throw new RangeError('a copy is cut')
    let size = (tag >> 2) + 1
    let distance = input[position]!
    if (kind === 1) {
      size = ((tag >> 2) & 7) + 4
      distance |= (tag >> 5) << 8
    } else distance |= input[position + 1]! << 8
    if (kind === 3) distance += input[position + 2]! * 2 ** 16 + input[position + 3]! * 2 ** 24
    position += extra
    if (distance === 0 || distance > into - at || size > end - into)
      throw new RangeError(`a copy of ${size} bytes from ${distance} before passes an end`)
    copyMatch(view, out, into, distance, size)
    into += size
  }
  if (into !== end) throw new RangeError(`${into - at} bytes instead of ${length}`)
  return end
}
