import { JsonBytes } from '../json-bytes.ts'
import { putDigits } from './json-output.ts'
import { date, dateOf, moment } from './moment.ts'

const PLUS = 0x2b
const MINUS = 0x2d
const POINT = 0x2e
const COLON = 0x3a
const T = 0x54
const Z = 0x5a
const QUOTE = 0x22
const ROOM = 48
const INFINITY = Buffer.from('"infinity"')
const NEGATIVE_INFINITY = Buffer.from('"-infinity"')
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
  into.raw(moment.infinite > 0 ? INFINITY : NEGATIVE_INFINITY)
  return true
}

function endOfIso(into: JsonBytes): void {
  into.bytes[into.length++] = Z
  into.bytes[into.length++] = QUOTE
}

/** Four digits of the year, or more behind a sign (ISO 8601); 1 BC is 0000. */
function putDate(out: Buffer, position: number): number {
  dateOf(moment.days)
  let at = position
  if (date.year < 0) out[at++] = MINUS
  else if (date.year > 9999) out[at++] = PLUS
  const year = Math.abs(date.year)
  at = putDigits(out, at, year, year < 10_000 ? 4 : year < 100_000 ? 5 : year < 1_000_000 ? 6 : 7)
  out[at++] = MINUS
  at = putDigits(out, at, date.month, 2)
  out[at++] = MINUS
  return putDigits(out, at, date.day, 2)
}

function putClock(out: Buffer, position: number, micros: number, digits: number): number {
  const seconds = Math.floor(micros / 1_000_000)
  let fraction = micros - seconds * 1_000_000
  const minutes = (seconds / 60) | 0
  const hours = (minutes / 60) | 0
  let at = putDigits(out, position, hours, 2)
  out[at++] = COLON
  at = putDigits(out, at, minutes - hours * 60, 2)
  out[at++] = COLON
  at = putDigits(out, at, seconds - minutes * 60, 2)
  let width = digits === TRIMMED ? 6 : digits
  if (digits === TRIMMED && fraction === 0) width = 0
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
