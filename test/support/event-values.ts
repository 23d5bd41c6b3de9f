import { type JsonObject, type JsonValue, parseJson } from '../../base/index.ts'
import { isObject } from './golden-events.ts'

/** Numbers that stand for what no number can say; of dates, of timestamps in milliseconds and in microseconds. */
const INFINITE: Readonly<Record<string, string>> = {
  '2147483647': 'infinity',
  '-2147483648': '-infinity',
  '9223372036825200': 'infinity',
  '-9223372036832400': '-infinity',
  '9223372036825200000': 'infinity',
  '-9223372036832400000': '-infinity',
}
const DECIMALS: Readonly<Record<string, string>> = {
  NAN: 'NaN',
  POSITIVE_INFINITY: 'Infinity',
  NEGATIVE_INFINITY: '-Infinity',
}
/** The length that is said of bits without one. */
const UNLIMITED = 2 ** 31 - 1
const DAY_US = 86_400_000_000n

/**
 * What a member of a row says, as text that PostgreSQL reads as the column's type: a decoder of Debezium's schemas that
 * shares nothing with the connector (`decimal.handling.mode` and `interval.handling.mode` are `string`).
 */
export function serverText(value: JsonValue, schema: JsonObject): string | null {
  if (value === null) return null
  const named = NAMED[String(schema.name ?? '')]
  if (named !== undefined) return named(value, schema)
  if (schema.type === 'array') return arrayText(value as readonly JsonValue[], schema.items as JsonObject)
  if (schema.type === 'bytes') return `\\x${Buffer.from(String(value), 'base64').toString('hex')}`
  return typeof value === 'string' ? (DECIMALS[value] ?? value) : String(value)
}

const NAMED: Readonly<Record<string, (value: JsonValue, schema: JsonObject) => string>> = {
  'io.debezium.time.Date': value => INFINITE[String(value)] ?? dateText(BigInt(String(value))),
  'io.debezium.time.Timestamp': value => INFINITE[String(value)] ?? momentText(BigInt(String(value)) * 1000n),
  'io.debezium.time.MicroTimestamp': value => INFINITE[String(value)] ?? momentText(unwrapped(BigInt(String(value)))),
  'io.debezium.time.ZonedTimestamp': value => zonedText(String(value)),
  'io.debezium.time.Time': value => timeText(BigInt(String(value)) * 1000n),
  'io.debezium.time.MicroTime': value => timeText(BigInt(String(value))),
  'io.debezium.data.Bits': (value, schema) => bitsText(value, Number((schema.parameters as JsonObject).length)),
  'io.debezium.data.geometry.Point': value => {
    const { x, y } = value as JsonObject
    return `(${double(x!)},${double(y!)})`
  },
  'io.debezium.data.geometry.Geometry': wkbText,
  'io.debezium.data.geometry.Geography': wkbText,
}

function double(value: JsonValue): string {
  return Object.is(value, -0) ? '-0' : String(value)
}

function wkbText(value: JsonValue): string {
  return Buffer.from(String((value as JsonObject).wkb), 'base64').toString('hex')
}

/** The last years that a timestamp can say are past what 64 bits count from 1970, and come round again. */
function unwrapped(us: bigint): bigint {
  return us < -9_000_000_000_000_000_000n ? us + 2n ** 64n : us
}

function momentText(us: bigint): string {
  const day = floorDiv(us, DAY_US)
  const date = dateText(day)
  const time = timeText(us - day * DAY_US)
  return date.endsWith(' BC') ? `${date.slice(0, -3)} ${time} BC` : `${date} ${time}`
}

/** Days since 1970 in the proleptic Gregorian calendar (https://howardhinnant.github.io/date_algorithms.html). */
function dateText(days: bigint): string {
  const z = days + 719_468n
  const era = floorDiv(z, 146_097n)
  const dayOfEra = z - era * 146_097n
  const yearOfEra = (dayOfEra - dayOfEra / 1460n + dayOfEra / 36_524n - dayOfEra / 146_096n) / 365n
  const dayOfYear = dayOfEra - (365n * yearOfEra + yearOfEra / 4n - yearOfEra / 100n)
  const month = (5n * dayOfYear + 2n) / 153n
  const day = dayOfYear - (153n * month + 2n) / 5n + 1n
  const calendarMonth = month < 10n ? month + 3n : month - 9n
  const year = yearOfEra + era * 400n + (calendarMonth <= 2n ? 1n : 0n)
  const pad = (n: bigint, length: number) => String(n).padStart(length, '0')
  const text = `${pad(year > 0n ? year : 1n - year, 4)}-${pad(calendarMonth, 2)}-${pad(day, 2)}`
  return year > 0n ? text : `${text} BC`
}

function timeText(us: bigint): string {
  const pad = (n: bigint, length: number) => String(n).padStart(length, '0')
  const seconds = us / 1_000_000n
  return `${pad(seconds / 3600n, 2)}:${pad((seconds / 60n) % 60n, 2)}:${pad(seconds % 60n, 2)}.${pad(us % 1_000_000n, 6)}`
}

/** `+10000-01-01T…` and, for the year 44 before Christ, `-0043-03-15T…`. */
function zonedText(text: string): string {
  const match = /^([+-]?)(\d+)(-.*)$/.exec(text)
  if (match === null) return text
  const [, sign, digits, rest] = match
  const year = Number(digits)
  if (sign === '-') return `${String(year + 1).padStart(4, '0')}${rest} BC`
  return year === 0 ? `0001${rest} BC` : `${digits!.padStart(4, '0')}${rest}`
}

/** Little-endian bytes; the length is the column's, where it has one. */
function bitsText(value: JsonValue, length: number): string {
  const bytes = Buffer.from(String(value), 'base64').reverse()
  const bits = [...bytes].map(byte => byte.toString(2).padStart(8, '0')).join('')
  return length >= UNLIMITED ? bits : bits.padStart(length, '0').slice(-length)
}

function arrayText(items: readonly JsonValue[], schema: JsonObject): string {
  const texts = items.map(item => {
    if (Array.isArray(item))
      return arrayText(item as readonly JsonValue[], isObject(schema.items) ? schema.items : schema)
    const text = serverText(item, schema)
    return text === null ? 'NULL' : `"${text.replaceAll(/["\\]/g, '\\$&')}"`
  })
  return `{${texts.join()}}`
}

/** An hstore as JSON (`hstore.handling.mode=json`), as hstore reads it. */
export function hstoreText(json: string): string {
  const quoted = (text: string) => `"${text.replaceAll(/["\\]/g, '\\$&')}"`
  return Object.entries(parseJson(json) as JsonObject)
    .map(([key, value]) => `${quoted(key)}=>${value === null ? 'NULL' : quoted(String(value))}`)
    .join()
}

function floorDiv(a: bigint, b: bigint): bigint {
  const quotient = a / b
  return a % b < 0n ? quotient - 1n : quotient
}
