import { JsonBytes, Piece } from '../json-bytes.ts'
import { putDigits, putTwo } from './json-output.ts'
import { date, dateOf, moment } from './moment.ts'

const SPACE = 0x20
const PLUS = 0x2b
const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
const COLON = 0x3a
const T = 0x54
const Z = 0x5a
const QUOTE = 0x22
const ROOM = 48
/** Length of `2016-11-04 13:51:30` and of `+00`. */
const CLOCK_END = 19
const OFFSET_SIZE = 3
const INFINITY = new Piece('"infinity"')
const NEGATIVE_INFINITY = new Piece('"-infinity"')
const scratch = new JsonBytes(64)

/** As many digits of a second as are not zeros. */
export const TRIMMED = -1

type Write = (into: JsonBytes) => void

/** The string of which `write` makes the JSON; of ASCII without escapes alone. */
export function stringOf(write: Write): string {
  scratch.length = 0
  write(scratch)
  return scratch.bytes.toString('latin1', 1, scratch.length - 1)
}

/** `2016-11-04Z` of the moment, or the infinity that it is. */
export function writeIsoDate(into: JsonBytes): void {
  if (writeInfinity(into)) return
  into.reserve(ROOM)
  into.bytes[into.length++] = QUOTE
  into.length = putDate(into.bytes, into.length)
  endOfIso(into)
}

/** `2016-11-04T13:51:30.123Z`. */
export function writeIsoTimestamp(into: JsonBytes, digits: number): void {
  if (writeInfinity(into)) return
  into.reserve(ROOM)
  const out = into.bytes
  out[into.length++] = QUOTE
  into.length = putDate(out, into.length)
  out[into.length++] = T
  into.length = putClock(out, into.length, moment.micros, digits)
  endOfIso(into)
}

/** `13:51:30.5Z`; 24:00 is 00:00. */
export function writeIsoTime(into: JsonBytes): void {
  const day = 86_400_000_000
  const micros = moment.micros - moment.offset * 1_000_000
  into.reserve(ROOM)
  into.bytes[into.length++] = QUOTE
  into.length = putClock(into.bytes, into.length, micros - Math.floor(micros / day) * day, TRIMMED)
  endOfIso(into)
}

function writeInfinity(into: JsonBytes): boolean {
  if (moment.infinite === 0) return false
  into.piece(moment.infinite > 0 ? INFINITY : NEGATIVE_INFINITY)
  return true
}

function endOfIso(into: JsonBytes): void {
  into.bytes[into.length++] = Z
  into.bytes[into.length++] = QUOTE
}

/**
 * The server's text in UTC as ISO text with so many digits of a second, by copying it; false, and nothing written, where
 * it is not of the usual form `2016-11-04 13:51:30.123456+00`.
 */
export function copyIsoTimestamp(bytes: Buffer, start: number, end: number, into: JsonBytes, digits: number): boolean {
  const behind = end - OFFSET_SIZE
  const clockEnd = start + CLOCK_END
  const size = behind - clockEnd
  if (size < 0 || size > digits + 1 || size === 1 || bytes[behind] !== PLUS) return false
  if (bytes[behind + 1] !== ZERO || bytes[behind + 2] !== ZERO) return false
  if (bytes[start + 4] !== MINUS || bytes[start + 10] !== SPACE || bytes[clockEnd - 3] !== COLON) return false
  if (size > 0 && bytes[clockEnd] !== POINT) return false
  into.reserve(ROOM)
  const out = into.bytes
  out[into.length++] = QUOTE
  into.raw(bytes, start, behind)
  let at = into.length
  out[at - behind + start + 10] = T
  if (size === 0 && digits > 0) out[at++] = POINT
  for (let i = Math.max(size, 1); i <= digits; i++) out[at++] = ZERO
  out[at++] = Z
  out[at++] = QUOTE
  into.length = at
  return true
}

/** Of the day that was written last: rows behind each other are often of one day. */
const known = { days: Number.NaN, size: 0, text: Buffer.alloc(ROOM) }

function putDate(out: Buffer, position: number): number {
  if (known.days !== moment.days) {
    known.size = putNewDate(known.text, 0)
    known.days = moment.days
  }
  const { text, size } = known
  for (let i = 0; i < size; i++) out[position + i] = text[i]!
  return position + size
}

/** Four digits of the year, or more behind a sign (ISO 8601); 1 BC is 0000. */
function putNewDate(out: Buffer, position: number): number {
  dateOf(moment.days)
  let at = position
  if (date.year < 0) out[at++] = MINUS
  else if (date.year > 9999) out[at++] = PLUS
  const year = Math.abs(date.year)
  if (year < 10_000) {
    const century = (year / 100) | 0
    at = putTwo(out, putTwo(out, at, century), year - century * 100)
  } else {
    at = putDigits(out, at, year, year < 100_000 ? 5 : year < 1_000_000 ? 6 : 7)
  }
  out[at++] = MINUS
  at = putTwo(out, at, date.month)
  out[at++] = MINUS
  return putTwo(out, at, date.day)
}

function putClock(out: Buffer, position: number, micros: number, digits: number): number {
  const seconds = Math.floor(micros / 1_000_000)
  let fraction = micros - seconds * 1_000_000
  const minutes = (seconds / 60) | 0
  const hours = (minutes / 60) | 0
  let at = putTwo(out, position, hours)
  out[at++] = COLON
  at = putTwo(out, at, minutes - hours * 60)
  out[at++] = COLON
  at = putTwo(out, at, seconds - minutes * 60)
  let width = digits === TRIMMED ? (fraction === 0 ? 0 : 6) : digits
  for (let i = 6; i > width; i--) fraction = (fraction / 10) | 0
  if (digits === TRIMMED && width > 0) {
    while (fraction % 10 === 0) {
      fraction /= 10
      width--
    }
  }
  if (width === 0) return at
  out[at++] = POINT
  return putDigits(out, at, fraction, width)
}
