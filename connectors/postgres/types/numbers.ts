import { doubleText, floatText } from '../../../runtime/api/index.ts'
import { type JsonBytes, Piece } from '../json-bytes.ts'
import { type Form, schemaOf, unreadable } from './form.ts'
import { writeInteger } from './json-output.ts'

const MINUS = 0x2d
const POINT = 0x2e
const POINT_ZERO = new Piece('.0')
const ZERO = 0x30
const TRUE_TEXT = 0x74
const TRUE = new Piece('true')
const FALSE = new Piece('false')
/** Longer ones may be past 2^53. */
const SAFE_DIGITS = 15

/** smallint, integer, bigint and oid: the server's digits are JSON already. */
export function integer(type: 'INT16' | 'INT32' | 'INT64', unsigned = false): Form {
  const read = unsigned
    ? (bytes: Buffer, start: number) => bytes.readUInt32BE(start)
    : type === 'INT16'
      ? (bytes: Buffer, start: number) => bytes.readInt16BE(start)
      : type === 'INT32'
        ? (bytes: Buffer, start: number) => bytes.readInt32BE(start)
        : readInt64
  return {
    schema: schemaOf(type),
    valueOfText: integerOfText,
    writeText: (bytes, start, end, into) => into.raw(bytes, start, end),
    valueOfBinary: read,
    writeBinary: (bytes, start, _end, into) => writeInteger(into, read(bytes, start)),
    zero: 0,
    generated: 0,
    unavailable: 0,
  }
}

export function integerOfText(bytes: Buffer, start: number, end: number): number | bigint {
  const negative = bytes[start] === MINUS
  const first = negative ? start + 1 : start
  if (first === end) throw unreadable('an integer', bytes, start, end)
  let value = 0
  for (let i = first; i < end; i++) {
    const digit = bytes[i]! - ZERO
    if (digit < 0 || digit > 9) throw unreadable('an integer', bytes, start, end)
    value = value * 10 + digit
  }
  // Not -0, which would be another number to whoever compares.
  if (end - first <= SAFE_DIGITS) return negative && value !== 0 ? -value : value
  return safe(BigInt(bytes.toString('latin1', start, end)))
}

/** A number where that is exact. */
export function safe(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

export function readInt64(bytes: Buffer, start: number): number | bigint {
  const high = bytes.readInt32BE(start)
  if (high >= -0x200000 && high < 0x200000) return high * 0x100000000 + bytes.readUInt32BE(start + 4)
  return safe(bytes.readBigInt64BE(start))
}

export function boolean(): Form {
  const write = (value: boolean, into: JsonBytes) => into.piece(value ? TRUE : FALSE)
  return {
    schema: schemaOf('BOOLEAN'),
    valueOfText: (bytes, start) => bytes[start] === TRUE_TEXT,
    writeText: (bytes, start, _end, into) => write(bytes[start] === TRUE_TEXT, into),
    valueOfBinary: (bytes, start) => bytes[start] === 1,
    writeBinary: (bytes, start, _end, into) => write(bytes[start] === 1, into),
    zero: false,
    generated: false,
    unavailable: false,
  }
}

/** real and double precision: JSON as Java writes it (`4.0`, `1.0E300`), which is often the server's text. */
export function float(type: 'FLOAT32' | 'FLOAT64'): Form {
  const textOf = type === 'FLOAT32' ? floatText : doubleText
  const read =
    type === 'FLOAT32'
      ? (bytes: Buffer, start: number) => shortest(bytes.readFloatBE(start))
      : (bytes: Buffer, start: number) => bytes.readDoubleBE(start)
  return {
    schema: schemaOf(type),
    valueOfText: floatOfText,
    writeText(bytes, start, end, into) {
      const point = plainDecimal(bytes, start, end)
      if (point === undefined) writeFloat(into, floatOfText(bytes, start, end), textOf)
      else {
        into.raw(bytes, start, end)
        if (point === end) into.piece(POINT_ZERO)
      }
    },
    valueOfBinary: read,
    writeBinary: (bytes, start, _end, into) => writeFloat(into, read(bytes, start), textOf),
    zero: 0,
    generated: 0,
    unavailable: 0,
  }
}

/** The number whose text is that of the float: 3.3 rather than 3.299999952316284. */
function shortest(value: number): number {
  return Number.isFinite(value) && value !== 0 ? Number(floatText(value)) : value
}

function floatOfText(bytes: Buffer, start: number, end: number): number {
  const text = bytes.toString('latin1', start, end)
  const value = Number(text)
  if (text === '' || (Number.isNaN(value) && text !== 'NaN')) throw unreadable('a number', bytes, start, end)
  return value
}

export function writeFloat(into: JsonBytes, value: number, textOf: (value: number) => string): void {
  if (Number.isFinite(value)) into.ascii(textOf(value))
  else into.ascii(`"${value}"`)
}

/** Where the point is, or the end without one, of a text that Java would write so as well: 0.001 up to 9999999.9. */
function plainDecimal(bytes: Buffer, start: number, end: number): number | undefined {
  const first = bytes[start] === MINUS ? start + 1 : start
  let point = end
  for (let i = first; i < end; i++) {
    const byte = bytes[i]!
    if (byte === POINT) point = i
    else if (byte < ZERO || byte > ZERO + 9) return undefined
  }
  if (point - first > 7 || point === first) return undefined
  const tiny = bytes[first] === ZERO && point < end
  return tiny && bytes.toString('latin1', point, point + 4) === '.000' ? undefined : point
}
