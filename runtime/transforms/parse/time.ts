/**
 * Times as logs write them, in milliseconds since the epoch. NaN is "not such a time": the calendar is checked, so 31 Feb
 * and 25:00 are not times. Fixed positions and one bounded pattern, so that hostile text costs nothing.
 */

const MONTHS = 'JanFebMarAprMayJunJulAugSepOctNovDec'
const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
// Position and character code of each separator: // : : : and a space.
const TIME_LOCAL_MARKS = [2, 47, 6, 47, 11, 58, 14, 58, 17, 58, 20, 32]
const ISO = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?:[Zz]|([+-])(\d\d):?(\d\d))?$/

// The largest time that Date knows (ECMA-262), and where seconds end and milliseconds begin in a bare number:
// 10^11 is the year 5138 as seconds and March 1973 as milliseconds.
const TIME_MAX = 8.64e15
const SECONDS_BELOW = 1e11

/** nginx's `$time_local`, Apache's `%t`: `20/Nov/2026:14:05:09 +0000`, exactly so. */
export function parseTimeLocal(text: string): number {
  if (text.length !== 26) return Number.NaN
  for (let i = 0; i < TIME_LOCAL_MARKS.length; i += 2) {
    if (text.charCodeAt(TIME_LOCAL_MARKS[i]!) !== TIME_LOCAL_MARKS[i + 1]) return Number.NaN
  }
  const month = MONTHS.indexOf(text.slice(3, 6))
  if (month < 0 || month % 3 !== 0) return Number.NaN
  const sign = text.charAt(21) === '+' ? 1 : text.charAt(21) === '-' ? -1 : Number.NaN
  const offset = sign * (two(text, 22) * 60 + two(text, 24))
  const year = two(text, 7) * 100 + two(text, 9)
  return instant(year, month / 3, two(text, 0), two(text, 12), two(text, 15), two(text, 18), 0, offset)
}

/** ISO 8601 or RFC 3339 with seconds, an optional fraction, and a zone; without a zone it is UTC. */
export function parseIso8601(text: string): number {
  const m = ISO.exec(text)
  if (m === null) return Number.NaN
  const offset = m[8] === undefined ? 0 : (m[8] === '-' ? -1 : 1) * (Number(m[9]) * 60 + Number(m[10]))
  const ms = m[7] === undefined ? 0 : Number(m[7].padEnd(3, '0').slice(0, 3))
  return instant(+m[1]!, +m[2]! - 1, +m[3]!, +m[4]!, +m[5]!, +m[6]!, ms, offset)
}

/**
 * What a JSON log may hold: a number (or its text) is seconds since the epoch below 10^11 and milliseconds from there on;
 * other text is ISO 8601 or the form of `$time_local`.
 */
export function parseAnyTime(value: unknown): number {
  if (typeof value === 'number') return epoch(value)
  if (typeof value !== 'string' || value === '' || value.length > 40) return Number.NaN
  const number = Number(value)
  if (!Number.isNaN(number)) return epoch(number)
  const iso = parseIso8601(value)
  return Number.isNaN(iso) ? parseTimeLocal(value) : iso
}

function epoch(value: number): number {
  const ms = Math.round(value < SECONDS_BELOW ? value * 1000 : value)
  return ms >= 0 && ms <= TIME_MAX ? ms : Number.NaN
}

function instant(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
  ms: number,
  offsetMinutes: number,
): number {
  // 60 is a leap second; Date counts it as the first of the next minute, as POSIX does.
  const valid = month >= 0 && month < 12 && day >= 1 && day <= DAYS[month]! && hour < 24 && minute < 60 && second <= 60
  if (!valid) return Number.NaN
  if (month === 1 && day === 29 && !isLeap(year)) return Number.NaN
  return Date.UTC(year, month, day, hour, minute, second, ms) - offsetMinutes * 60_000
}

function isLeap(year: number): boolean {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
}

function two(text: string, at: number): number {
  const tens = text.charCodeAt(at) - 48
  const ones = text.charCodeAt(at + 1) - 48
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN
}
