import { type JsonBytes, Piece } from '../json-bytes.ts'

const QUOTE = 0x22
const ZERO = 0x30
const MINUS = 0x2d
const DIGITS_MAX = 20
const HALF = 100_000_000
const NULL = new Piece('null')

/** ASCII that needs no escape, between quotes. */
export function quoteBytes(bytes: Buffer, start: number, end: number, into: JsonBytes): void {
  into.reserve(end - start + 2)
  const out = into.bytes
  let at = into.length
  out[at++] = QUOTE
  for (let i = start; i < end; i++) out[at++] = bytes[i]!
  out[at++] = QUOTE
  into.length = at
}

export function writeNull(into: JsonBytes): void {
  into.piece(NULL)
}

export function writeInteger(into: JsonBytes, value: number | bigint): void {
  if (typeof value === 'bigint') {
    into.ascii(String(value))
    return
  }
  into.reserve(DIGITS_MAX)
  const out = into.bytes
  let at = into.length
  if (value < 0) out[at++] = MINUS
  const size = Math.abs(value)
  // In two halves, so that the digits are made with 32-bit integers.
  const high = Math.floor(size / HALF)
  if (high > 0) at = putDigits(out, putDigits(out, at, high, digitsOf(high)), size - high * HALF, 8)
  else at = putDigits(out, at, size, digitsOf(size))
  into.length = at
}

/** Of an integer below 10^9. */
function digitsOf(value: number): number {
  let digits = 1
  for (let limit = 10; limit <= value; limit *= 10) digits++
  return digits
}

/** Two digits of a number below 100; answers the position behind them. */
export function putTwo(out: Buffer, at: number, value: number): number {
  const tens = (value * 103) >> 10
  out[at] = ZERO + tens
  out[at + 1] = ZERO + value - tens * 10
  return at + 2
}

/** The last `digits` digits of a number below 2^31; answers the position behind them. */
export function putDigits(out: Buffer, at: number, value: number, digits: number): number {
  let rest = value | 0
  for (let i = at + digits - 1; i >= at; i--) {
    const tenth = (rest / 10) | 0
    out[i] = ZERO + rest - tenth * 10
    rest = tenth
  }
  return at + digits
}
