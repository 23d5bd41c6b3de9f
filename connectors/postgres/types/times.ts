import type { JsonBytes } from '../json-bytes.ts'
import { type Form, schemaOf, type TypeSettings } from './form.ts'
import { copyIsoTimestamp, stringOf, TRIMMED, writeIsoDate, writeIsoTime, writeIsoTimestamp } from './iso-output.ts'
import { writeInteger, writeNull } from './json-output.ts'
import {
  moment,
  readDateBinary,
  readDateText,
  readTimeBinary,
  readTimestampBinary,
  readTimestampText,
  readTimeText,
  readZonedTimeBinary,
} from './moment.ts'
import { safe } from './numbers.ts'

const INT64_MAX = 0x7fffffffffffffffn
const INT64_MIN = -0x8000000000000000n
/** What JDBC's infinite timestamps are, in milliseconds: what Debezium gives for them. */
const INFINITE_MILLIS = 9223372036825200n
const NEGATIVE_INFINITE_MILLIS = -9223372036832400n
const MICROS_DEFAULT = 6
const DAY_SECONDS = 86400

interface Readers {
  text(bytes: Buffer, start: number, end: number): void
  binary(bytes: Buffer, start: number, end: number): void
}
const DATES: Readers = { text: readDateText, binary: readDateBinary }
const TIMESTAMPS: Readers = { text: readTimestampText, binary: readTimestampBinary }
const TIMES: Readers = { text: readTimeText, binary: readTimeBinary }
const ZONED_TIMES: Readers = { text: readTimeText, binary: readZonedTimeBinary }

/** date: days since 1970, or ISO text. Infinity is the largest and the smallest integer, which no date is. */
export function date(settings: TypeSettings): Form {
  if (settings.times === 'isostring') return ofText(DATES, 'io.debezium.time.IsoDate', writeIsoDate, '1970-01-01Z')
  const name = settings.times === 'connect' ? 'org.apache.kafka.connect.data.Date' : 'io.debezium.time.Date'
  return ofNumber(DATES, 'INT32', name, () =>
    moment.infinite === 0 ? moment.days : moment.infinite > 0 ? 0x7fffffff : -0x80000000,
  )
}

/** timestamp without time zone, in the unit that `time.precision.mode` and the column's precision say. */
export function timestamp(precision: number, settings: TypeSettings): Form {
  switch (settings.times) {
    case 'isostring':
      return ofText(TIMESTAMPS, 'io.debezium.time.IsoTimestamp', isoTrimmed, '1970-01-01T00:00:00Z')
    case 'connect':
      return ofNumber(TIMESTAMPS, 'INT64', 'org.apache.kafka.connect.data.Timestamp', epochMillis)
    case 'nanoseconds':
      return {
        ...ofNumber(TIMESTAMPS, 'INT64', 'io.debezium.time.NanoTimestamp', epochNanos),
        lacks: 'timestamps before 1677 and after 2262',
      }
    case 'microseconds':
      return ofNumber(TIMESTAMPS, 'INT64', 'io.debezium.time.MicroTimestamp', epochMicros)
    default:
      return precision >= 0 && precision <= 3
        ? ofNumber(TIMESTAMPS, 'INT64', 'io.debezium.time.Timestamp', epochMillis)
        : ofNumber(TIMESTAMPS, 'INT64', 'io.debezium.time.MicroTimestamp', epochMicros)
  }
}

/** timestamp with time zone: ISO text in UTC with as many digits of a second as the column has. */
export function zonedTimestamp(precision: number): Form {
  const digits = precision < 0 ? MICROS_DEFAULT : precision
  const form = ofText(
    TIMESTAMPS,
    'io.debezium.time.ZonedTimestamp',
    into => writeIsoTimestamp(into, digits),
    '1970-01-01T00:00:00Z',
  )
  const writeText: Form['writeText'] = (bytes, start, end, into) => {
    if (!copyIsoTimestamp(bytes, start, end, into, digits)) form.writeText(bytes, start, end, into)
  }
  return {
    ...form,
    valueOfText: (bytes, start, end) => stringOf(into => writeText(bytes, start, end, into)),
    writeText,
    generated: `1970-01-01T00:00:00${digits === 0 ? '' : `.${'0'.repeat(digits)}`}Z`,
  }
}

/** time without time zone; 24:00 is the length of a day, in ISO text 00:00. */
export function time(precision: number, settings: TypeSettings): Form {
  switch (settings.times) {
    case 'isostring':
      return ofText(TIMES, 'io.debezium.time.IsoTime', writeIsoTime, '00:00:00Z')
    case 'connect':
      return ofNumber(TIMES, 'INT32', 'org.apache.kafka.connect.data.Time', () => Math.floor(moment.micros / 1000))
    case 'nanoseconds':
      return ofNumber(TIMES, 'INT64', 'io.debezium.time.NanoTime', () => moment.micros * 1000)
    case 'adaptive':
      if (precision >= 0 && precision <= 3) {
        return ofNumber(TIMES, 'INT32', 'io.debezium.time.Time', () => Math.floor(moment.micros / 1000))
      }
  }
  return ofNumber(TIMES, 'INT64', 'io.debezium.time.MicroTime', () => moment.micros)
}

/** time with time zone: ISO text in UTC. */
export function zonedTime(): Form {
  return ofText(ZONED_TIMES, 'io.debezium.time.ZonedTime', writeIsoTime, '00:00:00Z')
}

function ofText(readers: Readers, name: string, write: (into: JsonBytes) => void, zero: string): Form {
  return {
    schema: schemaOf('STRING', name),
    valueOfText(bytes, start, end) {
      readers.text(bytes, start, end)
      return stringOf(write)
    },
    writeText(bytes, start, end, into) {
      readers.text(bytes, start, end)
      write(into)
    },
    valueOfBinary(bytes, start, end) {
      readers.binary(bytes, start, end)
      return stringOf(write)
    },
    writeBinary(bytes, start, end, into) {
      readers.binary(bytes, start, end)
      write(into)
    },
    zero,
    generated: zero,
    unavailable: zero,
  }
}

function ofNumber(
  readers: Readers,
  type: 'INT32' | 'INT64',
  name: string,
  valueOfMoment: () => number | bigint | null,
): Form {
  const write = (into: JsonBytes) => {
    const value = valueOfMoment()
    if (value === null) writeNull(into)
    else writeInteger(into, value)
  }
  return {
    schema: schemaOf(type, name),
    valueOfText(bytes, start, end) {
      readers.text(bytes, start, end)
      return valueOfMoment()
    },
    writeText(bytes, start, end, into) {
      readers.text(bytes, start, end)
      write(into)
    },
    valueOfBinary(bytes, start, end) {
      readers.binary(bytes, start, end)
      return valueOfMoment()
    },
    writeBinary(bytes, start, end, into) {
      readers.binary(bytes, start, end)
      write(into)
    },
    zero: 0,
    generated: 0,
    unavailable: 0,
  }
}

function isoTrimmed(into: JsonBytes): void {
  writeIsoTimestamp(into, TRIMMED)
}

function epochMillis(): number | bigint {
  if (moment.infinite !== 0) return moment.infinite > 0 ? INFINITE_MILLIS : NEGATIVE_INFINITE_MILLIS
  const millis = Math.floor(moment.micros / 1000)
  const value = moment.days * DAY_SECONDS * 1000 + millis
  return Number.isSafeInteger(value) ? value : BigInt(moment.days * DAY_SECONDS) * 1000n + BigInt(millis)
}

/** The last 29 years that a timestamp can be in are past 64 bits: they are the largest integer. */
function epochMicros(): number | bigint {
  if (moment.infinite !== 0) return (moment.infinite > 0 ? INFINITE_MILLIS : NEGATIVE_INFINITE_MILLIS) * 1000n
  return integer64(moment.days * DAY_SECONDS + Math.floor(moment.micros / 1_000_000), moment.micros % 1_000_000)
}

/** Null outside of 64 bits. */
function epochNanos(): number | bigint | null {
  if (moment.infinite !== 0) return moment.infinite > 0 ? INT64_MAX : INT64_MIN
  const nanos = BigInt(moment.days) * 86_400_000_000_000n + BigInt(moment.micros * 1000)
  return nanos > INT64_MAX || nanos < INT64_MIN ? null : safe(nanos)
}

/** Seconds and microseconds as microseconds, kept inside of 64 bits. */
export function integer64(seconds: number, micros: number): number | bigint {
  if (seconds > -9_007_199_000 && seconds < 9_007_199_000) return seconds * 1_000_000 + micros
  const exact = BigInt(seconds) * 1_000_000n + BigInt(micros)
  return exact > INT64_MAX ? INT64_MAX : exact < INT64_MIN ? INT64_MIN : safe(exact)
}
