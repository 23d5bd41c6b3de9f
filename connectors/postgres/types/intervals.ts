import { type Form, schemaOf, type TypeSettings, unreadable } from './form.ts'
import { writeInteger } from './json-output.ts'
import { integer64 } from './times.ts'

const DAY_SECONDS = 86400
/** A twelfth of 365.25 days. */
const MONTH_SECONDS = 2_629_800
const INFINITE_SECONDS = 1e13
const INT32_MAX = 0x7fffffff
const INT32_MIN = -0x80000000

/** Months and days as the server keeps them; the rest in seconds and microseconds of one sign. */
interface Span {
  readonly months: number
  readonly days: number
  readonly seconds: number
  readonly micros: number
  readonly infinite: -1 | 0 | 1
}

/** interval, as microseconds or as ISO 8601 text (`interval.handling.mode`). */
export function interval(settings: TypeSettings): Form {
  return settings.intervals === 'numeric' ? numeric() : iso()
}

function numeric(): Form {
  const valueFrom = ({ months, days, seconds, micros, infinite }: Span) =>
    infinite !== 0
      ? integer64(infinite * INFINITE_SECONDS, 0)
      : integer64(months * MONTH_SECONDS + days * DAY_SECONDS + seconds, micros)
  return {
    schema: schemaOf('INT64', 'io.debezium.time.MicroDuration'),
    valueOfText: (bytes, start, end) => valueFrom(ofText(bytes, start, end)),
    writeText: (bytes, start, end, into) => writeInteger(into, valueFrom(ofText(bytes, start, end))),
    valueOfBinary: (bytes, start) => valueFrom(ofBinary(bytes, start)),
    writeBinary: (bytes, start, _end, into) => writeInteger(into, valueFrom(ofBinary(bytes, start))),
    zero: 0,
    generated: 0,
    unavailable: 0,
  }
}

function iso(): Form {
  const zero = 'P0Y0M0DT0H0M0S'
  return {
    schema: schemaOf('STRING', 'io.debezium.time.Interval'),
    valueOfText: (bytes, start, end) => isoText(ofText(bytes, start, end)),
    writeText: (bytes, start, end, into) => into.ascii(`"${isoText(ofText(bytes, start, end))}"`),
    valueOfBinary: (bytes, start) => isoText(ofBinary(bytes, start)),
    writeBinary: (bytes, start, _end, into) => into.ascii(`"${isoText(ofBinary(bytes, start))}"`),
    zero,
    generated: zero,
    unavailable: zero,
  }
}

/** `P1Y2M3DT4H5M6.78S`, every part with a sign of its own. */
function isoText({ months, days, seconds, micros, infinite }: Span): string {
  if (infinite !== 0) return infinite > 0 ? 'infinity' : '-infinity'
  const minutes = Math.trunc(seconds / 60)
  const fraction = micros === 0 ? '' : `.${String(Math.abs(micros)).padStart(6, '0').replace(/0+$/, '')}`
  const rest = seconds % 60
  const sign = rest < 0 || micros < 0 ? '-' : ''
  return (
    `P${whole(months / 12)}Y${whole(months % 12)}M${days}DT` +
    `${whole(minutes / 60)}H${whole(minutes % 60)}M${sign}${Math.abs(rest)}${fraction}S`
  )
}

/** Without a fraction, and not -0. */
function whole(value: number): number {
  return Math.trunc(value) + 0
}

const PARTS =
  /^(?:([+-]?\d+) years?)? ?(?:([+-]?\d+) mons?)? ?(?:([+-]?\d+) days?)? ?(?:([+-]?)(\d+):(\d\d):(\d\d)(?:\.(\d+))?)?$/

/** `-1 years -2 mons +3 days -04:05:06.000001` (IntervalStyle postgres). */
function ofText(bytes: Buffer, start: number, end: number): Span {
  const text = bytes.toString('latin1', start, end)
  const parts = PARTS.exec(text)
  if (parts !== null && text !== '') {
    const [, years = '0', months = '0', days = '0', sign, hours = '0', minutes = '0', seconds = '0', fraction = ''] =
      parts
    const direction = sign === '-' ? -1 : 1
    return {
      months: Number(years) * 12 + Number(months),
      days: Number(days),
      seconds: direction * (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)),
      micros: direction * Number(fraction.padEnd(6, '0')),
      infinite: 0,
    }
  }
  if (text === 'infinity' || text === '-infinity') return infinity(text === 'infinity' ? 1 : -1)
  throw unreadable('an interval in style postgres', bytes, start, end)
}

/** Microseconds in eight bytes, days in four, months in four. */
function ofBinary(bytes: Buffer, start: number): Span {
  const time = bytes.readBigInt64BE(start)
  const days = bytes.readInt32BE(start + 8)
  const months = bytes.readInt32BE(start + 12)
  if (days === INT32_MAX && months === INT32_MAX) return infinity(1)
  if (days === INT32_MIN && months === INT32_MIN) return infinity(-1)
  return { months, days, seconds: Number(time / 1_000_000n), micros: Number(time % 1_000_000n), infinite: 0 }
}

function infinity(infinite: -1 | 1): Span {
  return { months: 0, days: 0, seconds: 0, micros: 0, infinite }
}
