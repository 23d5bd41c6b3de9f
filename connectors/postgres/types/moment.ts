import { unreadable } from './form.ts'

const SPACE = 0x20
const PLUS = 0x2b
const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
const COLON = 0x3a
const C = 0x43
const I = 0x69
/** Length of `2016-11-04 13:51:30`. */
const CLOCK_END = 19
/** Below anything that the sums of other numbers can make up for. */
const NO_NUMBER = -1_000_000
const DAY_MICROS = 86_400_000_000
/** Days from 1970-01-01 to 2000-01-01, where the server counts from. */
const EPOCH_2000 = 10957
const INT32_MAX = 0x7fffffff
const INT32_MIN = -0x80000000

/**
 * What the readers below found last: one object, used again for each value, so that reading makes none. Days since
 * 1970-01-01 in the proleptic Gregorian calendar, microseconds of the day (24:00 is 86,400,000,000), seconds east of UTC.
 */
export const moment = { days: 0, micros: 0, offset: 0, infinite: 0 as -1 | 0 | 1 }

let at = 0

/** `2016-11-04`, `0044-03-15 BC`, `infinity`. */
export function readDateText(bytes: Buffer, start: number, end: number): void {
  readTimestampText(bytes, start, end)
}

/** `2016-11-04 13:51:30.123456`, with offset and era if there are such; without a time it is midnight. */
export function readTimestampText(bytes: Buffer, start: number, end: number): void {
  moment.micros = 0
  moment.offset = 0
  moment.infinite = infinityOf(bytes, start, end)
  if (moment.infinite !== 0) return
  if (end - start >= CLOCK_END && bytes[start + 4] === MINUS && bytes[start + 10] === SPACE) {
    readUsual(bytes, start, end)
    if (at === end) return
  }
  at = start
  let year = number(bytes, end)
  expectByte(bytes, start, end, MINUS)
  const month = number(bytes, end)
  expectByte(bytes, start, end, MINUS)
  const day = number(bytes, end)
  const digit = at + 1 < end ? bytes[at + 1]! - ZERO : -1
  if (bytes[at] === SPACE && at < end && digit >= 0 && digit <= 9) {
    at++
    readClock(bytes, start, end)
  }
  if (at + 3 === end && bytes[at] === SPACE && bytes[at + 2] === C) {
    year = 1 - year
    at = end
  }
  if (at !== end || month < 1 || month > 12) throw unreadable('a timestamp', bytes, start, end)
  moment.days = daysOf(year, month, day)
  if (moment.offset !== 0) shift(-moment.offset)
}

/** The same for four digits of the year and no offset but `+00`: what nearly every value is. `at` tells how far it came. */
function readUsual(bytes: Buffer, start: number, end: number): void {
  at = start
  const month = two(bytes, start + 5)
  const year = two(bytes, start) * 100 + two(bytes, start + 2)
  const seconds = two(bytes, start + 11) * 3600 + two(bytes, start + 14) * 60 + two(bytes, start + 17)
  // Below zero where a byte is no digit.
  if (month < 1 || month > 12 || year < 0 || seconds < 0) return
  let behind = start + CLOCK_END
  let fraction = 0
  if (bytes[behind] === POINT && behind < end) {
    let unit = 1_000_000
    for (behind++; behind < end && unit > 1; behind++) {
      const digit = bytes[behind]! - ZERO
      if (digit < 0 || digit > 9) break
      unit /= 10
      fraction += digit * unit
    }
  }
  const isUtc = end - behind === 3 && bytes[behind] === PLUS && two(bytes, behind + 1) === 0
  if (behind !== end && !isUtc) return
  moment.days = daysOf(year, month, two(bytes, start + 8))
  moment.micros = seconds * 1_000_000 + fraction
  at = end
}

/** Two digits; far below zero where one is none. */
function two(bytes: Buffer, position: number): number {
  const tens = bytes[position]! - ZERO
  const units = bytes[position + 1]! - ZERO
  return tens < 0 || tens > 9 || units < 0 || units > 9 ? NO_NUMBER : tens * 10 + units
}

/** `13:51:30.123456`, `24:00:00`, `13:51:30+05:30`. */
export function readTimeText(bytes: Buffer, start: number, end: number): void {
  moment.days = 0
  moment.offset = 0
  moment.infinite = 0
  at = start
  readClock(bytes, start, end)
  if (at !== end) throw unreadable('a time', bytes, start, end)
}

/** Time and offset, from `at` on. */
function readClock(bytes: Buffer, start: number, end: number): void {
  const hours = number(bytes, end)
  expectByte(bytes, start, end, COLON)
  const minutes = number(bytes, end)
  expectByte(bytes, start, end, COLON)
  const seconds = number(bytes, end)
  let fraction = 0
  if (at < end && bytes[at] === POINT) {
    const first = ++at
    fraction = number(bytes, end)
    for (let digits = at - first; digits < 6; digits++) fraction *= 10
  }
  moment.micros = (hours * 3600 + minutes * 60 + seconds) * 1_000_000 + fraction
  if (at < end && (bytes[at] === PLUS || bytes[at] === MINUS)) moment.offset = offset(bytes, end)
}

function offset(bytes: Buffer, end: number): number {
  const negative = bytes[at++] === MINUS
  let seconds = number(bytes, end) * 3600
  for (let unit = 60; unit > 0 && at < end && bytes[at] === COLON; unit = unit === 60 ? 1 : 0) {
    at++
    seconds += number(bytes, end) * unit
  }
  return negative ? -seconds : seconds
}

function number(bytes: Buffer, end: number): number {
  let value = 0
  for (; at < end; at++) {
    const digit = bytes[at]! - ZERO
    if (digit < 0 || digit > 9) break
    value = value * 10 + digit
  }
  return value
}

function expectByte(bytes: Buffer, start: number, end: number, byte: number): void {
  if (at >= end || bytes[at++] !== byte) throw unreadable('a date or time', bytes, start, end)
}

function infinityOf(bytes: Buffer, start: number, end: number): -1 | 0 | 1 {
  if (bytes[start] === I) return 1
  return end - start === 9 && bytes[start] === MINUS && bytes[start + 1] === I ? -1 : 0
}

/** Four bytes, days since 2000. */
export function readDateBinary(bytes: Buffer, start: number): void {
  const days = bytes.readInt32BE(start)
  moment.infinite = days === INT32_MAX ? 1 : days === INT32_MIN ? -1 : 0
  moment.days = days + EPOCH_2000
  moment.micros = 0
}

/** Eight bytes, microseconds since 2000. */
export function readTimestampBinary(bytes: Buffer, start: number): void {
  const high = bytes.readInt32BE(start)
  const low = bytes.readUInt32BE(start + 4)
  moment.infinite = high === INT32_MAX && low === 0xffffffff ? 1 : high === INT32_MIN && low === 0 ? -1 : 0
  if (moment.infinite !== 0) return
  if (high >= -0x200000 && high < 0x200000) {
    const micros = high * 0x100000000 + low
    const days = Math.floor(micros / DAY_MICROS)
    moment.days = days + EPOCH_2000
    moment.micros = micros - days * DAY_MICROS
    return
  }
  // Remainders of whole days, each part small enough to be exact.
  const days = Number(BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low)) / BigInt(DAY_MICROS))
  const rest = Number(((BigInt(high) << 32n) | BigInt(low)) % BigInt(DAY_MICROS))
  moment.days = days + EPOCH_2000 + (rest < 0 ? -1 : 0)
  moment.micros = rest < 0 ? rest + DAY_MICROS : rest
}

/** Eight bytes, microseconds of the day. */
export function readTimeBinary(bytes: Buffer, start: number): void {
  moment.infinite = 0
  moment.days = 0
  moment.micros = bytes.readUInt32BE(start) * 0x100000000 + bytes.readUInt32BE(start + 4)
  moment.offset = 0
}

/** The same, then four bytes: seconds west of UTC. */
export function readZonedTimeBinary(bytes: Buffer, start: number): void {
  readTimeBinary(bytes, start)
  moment.offset = -bytes.readInt32BE(start + 8)
}

function shift(seconds: number): void {
  const micros = moment.micros + seconds * 1_000_000
  const days = Math.floor(micros / DAY_MICROS)
  moment.days += days
  moment.micros = micros - days * DAY_MICROS
}

/** Days since 1970-01-01; year 0 is 1 BC. Counted in years that begin in March (H. Hinnant, days_from_civil). */
export function daysOf(year: number, month: number, day: number): number {
  const marchYear = month <= 2 ? year - 1 : year
  const era = Math.floor(marchYear / 400)
  const yearOfEra = marchYear - era * 400
  const dayOfYear = ((((month + (month > 2 ? -3 : 9)) * 153 + 2) / 5) | 0) + day - 1
  const dayOfEra = yearOfEra * 365 + ((yearOfEra / 4) | 0) - ((yearOfEra / 100) | 0) + dayOfYear
  return era * 146097 + dayOfEra - 719468
}

/** What `dateOf` found last. */
export const date = { year: 0, month: 0, day: 0 }

/** The inverse of daysOf. */
export function dateOf(days: number): void {
  const shifted = days + 719468
  const era = Math.floor(shifted / 146097)
  const dayOfEra = shifted - era * 146097
  const yearOfEra =
    ((dayOfEra - ((dayOfEra / 1460) | 0) + ((dayOfEra / 36524) | 0) - ((dayOfEra / 146096) | 0)) / 365) | 0
  const dayOfYear = dayOfEra - (yearOfEra * 365 + ((yearOfEra / 4) | 0) - ((yearOfEra / 100) | 0))
  const month = ((dayOfYear * 5 + 2) / 153) | 0
  date.day = dayOfYear - (((month * 153 + 2) / 5) | 0) + 1
  date.month = month < 10 ? month + 3 : month - 9
  date.year = yearOfEra + era * 400 + (date.month <= 2 ? 1 : 0)
}
