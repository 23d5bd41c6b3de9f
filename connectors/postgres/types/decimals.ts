import { DECIMAL, doubleText, type Schema, unscaledBytes } from '../../../runtime/api/index.ts'
import type { JsonBytes } from '../json-bytes.ts'
import { writeBase64 } from './base64.ts'
import { type Form, schemaOf, type TypeSettings } from './form.ts'
import { writeNull } from './json-output.ts'
import { plainText, type Reader, readBinary, readText, type Special } from './numeric-digits.ts'
import { writeFloat } from './numbers.ts'

const POINT = 0x2e
const ZERO = 0x30
const LACKS = 'NaN and infinities'
const scratch = Buffer.alloc(8)

/** numeric, by `decimal.handling.mode`. */
export function numeric(modifier: number, settings: TypeSettings): Form {
  if (settings.decimals === 'double') return double(SERVERS_TEXT)
  if (modifier < 4)
    return settings.decimals === 'string' ? decimalString(0, SERVERS_TEXT, settings) : variableScale(settings)
  const precision = ((modifier - 4) >> 16) & 0xffff
  // 11 bits with a sign since PostgreSQL 15; the scales of older servers fit them.
  const scale = (((modifier - 4) & 0x7ff) ^ 0x400) - 0x400
  if (settings.decimals === 'string') return decimalString(Math.max(0, scale), SERVERS_TEXT, settings)
  // Digits in front of the point that are always 0 become digits: few readers know a negative scale.
  return scale >= 0 ? fixedScale(scale, precision, settings) : fixedScale(0, precision - scale, settings)
}

/** Connect's Decimal: base64 of the unscaled number. */
function fixedScale(scale: number, precision: number, settings: TypeSettings): Form {
  const parameters = { scale: String(scale), 'connect.decimal.precision': String(precision) }
  return decimalForm(scale, parameters, settings, {
    text: (bytes, start, end) => readText(bytes, start, end, scale),
    binary: (bytes, start, end) => readBinary(bytes, start, end, scale),
  })
}

export function decimalForm(
  scale: number,
  parameters: Readonly<Record<string, string>>,
  settings: TypeSettings,
  read: { text: Reader; binary?: Reader },
): Form {
  const valueFrom = (unscaled: number | bigint | Special) =>
    typeof unscaled === 'string' ? null : { unscaled: BigInt(unscaled), scale }
  const { text, binary } = read
  const zero = { unscaled: 0n, scale }
  return {
    schema: schemaOf('BYTES', DECIMAL, { parameters }),
    lacks: LACKS,
    valueOfText: (bytes, start, end) => valueFrom(text(bytes, start, end)),
    writeText: (bytes, start, end, into) => writeUnscaled(text(bytes, start, end), into),
    valueOfBinary: binary && ((bytes, start, end) => valueFrom(binary(bytes, start, end))),
    writeBinary: binary && ((bytes, start, end, into) => writeUnscaled(binary(bytes, start, end), into)),
    zero,
    generated: zero,
    // Its JSON is that of the placeholder's bytes.
    unavailable: { unscaled: placeholderNumber(settings), scale },
  }
}

/** Two's complement, big-endian, as few bytes as hold it, in base64. */
function writeUnscaled(unscaled: number | bigint | Special, into: JsonBytes): void {
  if (typeof unscaled === 'string') {
    writeNull(into)
  } else if (typeof unscaled === 'bigint') {
    const bytes = unscaledBytes(unscaled)
    writeBase64(bytes, 0, bytes.length, into)
  } else {
    putInt32(scratch, 0, Math.floor(unscaled / 0x100000000))
    putInt32(scratch, 4, unscaled | 0)
    const sign = unscaled < 0 ? 0xff : 0
    let start = 0
    while (start < 7 && scratch[start] === sign && scratch[start + 1]! >> 7 === sign >> 7) start++
    writeBase64(scratch, start, 8, into)
  }
}

/** As writeInt32BE, which checks more than is to be checked here. */
function putInt32(bytes: Buffer, at: number, value: number): void {
  bytes[at] = value >> 24
  bytes[at + 1] = value >> 16
  bytes[at + 2] = value >> 8
  bytes[at + 3] = value
}

/** numeric without a scale: a struct of the number and its own scale. */
function variableScale(settings: TypeSettings): Form {
  const fields = [
    { name: 'scale', schema: schemaOf('INT32') },
    { name: 'value', schema: schemaOf('BYTES') },
  ]
  const schema: Schema = schemaOf('STRUCT', 'io.debezium.data.VariableScaleDecimal', {
    doc: 'Variable scaled decimal',
    fields,
  })
  const valueFrom = (unscaled: number | bigint | Special, scale: number) =>
    typeof unscaled === 'string' ? null : [scale, unscaledBytes(BigInt(unscaled))]
  const write = (unscaled: number | bigint | Special, scale: number, into: JsonBytes) => {
    if (typeof unscaled === 'string') {
      writeNull(into)
      return
    }
    into.ascii('{"scale":')
    into.integer(scale)
    into.ascii(',"value":')
    writeUnscaled(unscaled, into)
    into.ascii('}')
  }
  return {
    schema,
    lacks: LACKS,
    valueOfText(bytes, start, end) {
      const last = behindDigits(bytes, start, end)
      const scale = scaleOfText(bytes, start, last)
      return valueFrom(readText(bytes, start, last, scale), scale)
    },
    writeText(bytes, start, end, into) {
      const last = behindDigits(bytes, start, end)
      const scale = scaleOfText(bytes, start, last)
      write(readText(bytes, start, last, scale), scale, into)
    },
    valueOfBinary(bytes, start, end) {
      const scale = scaleOfBinary(bytes, start, end)
      return valueFrom(readBinary(bytes, start, end, scale), scale)
    },
    writeBinary(bytes, start, end, into) {
      const scale = scaleOfBinary(bytes, start, end)
      write(readBinary(bytes, start, end, scale), scale, into)
    },
    zero: [0, unscaledBytes(0n)],
    unavailable: [0, settings.placeholder.bytes],
  }
}

/** The end without the zeros behind the point that come last, which Debezium does not give: 1.50 is 15 of scale 1. */
function behindDigits(bytes: Buffer, start: number, end: number): number {
  let last = end
  while (last > start && bytes[last - 1] === ZERO) last--
  for (let i = last - 1; i >= start; i--) if (bytes[i] === POINT) return i === last - 1 ? i : last
  return end
}

function scaleOfText(bytes: Buffer, start: number, end: number): number {
  for (let i = start; i < end; i++) if (bytes[i] === POINT) return end - i - 1
  return 0
}

/** The same of the digits to base 10000, of which the last is not zero. */
function scaleOfBinary(bytes: Buffer, start: number, end: number): number {
  const count = Math.min(bytes.readUInt16BE(start), (end - start - 8) >> 1)
  if (count === 0) return 0
  let scale = (count - 1 - bytes.readInt16BE(start + 2)) * 4
  for (let digit = bytes.readUInt16BE(start + 6 + count * 2); digit > 0 && digit % 10 === 0; digit /= 10) scale--
  return Math.max(0, scale)
}

/** A number's digits without exponent, of its text and of its binary form. */
export interface PlainText {
  text(bytes: Buffer, start: number, end: number): string
  readonly binary?: (bytes: Buffer, start: number, end: number) => string
}

const SERVERS_TEXT: PlainText = {
  text(bytes, start, end) {
    const value = bytes.toString('latin1', start, end)
    // Refuses what is no numeric.
    if (!/^-?\d+(\.\d+)?$/.test(value)) readText(bytes, start, end, 0)
    return value
  },
  binary(bytes, start, end) {
    const scale = bytes.readUInt16BE(start + 6)
    return plainText(readBinary(bytes, start, end, scale), scale)
  },
}

/** As Debezium names them. */
const SPELLING: ReadonlyMap<string, string> = new Map([
  ['NaN', 'NAN'],
  ['Infinity', 'POSITIVE_INFINITY'],
  ['-Infinity', 'NEGATIVE_INFINITY'],
])

/** numeric and money in mode `string`. */
export function decimalString(scale: number, textOf: PlainText, settings: TypeSettings): Form {
  const spelled = (text: string) => SPELLING.get(text) ?? text
  const valueFrom = (bytes: Buffer, start: number, end: number) => spelled(textOf.text(bytes, start, end))
  const { binary } = textOf
  const zero = plainText(0, scale)
  return {
    schema: schemaOf('STRING'),
    valueOfText: valueFrom,
    writeText: (bytes, start, end, into) => into.ascii(`"${valueFrom(bytes, start, end)}"`),
    valueOfBinary: binary && ((bytes, start, end) => spelled(binary(bytes, start, end))),
    writeBinary: binary && ((bytes, start, end, into) => into.ascii(`"${spelled(binary(bytes, start, end))}"`)),
    zero,
    generated: zero,
    unavailable: settings.placeholder.text,
  }
}

/** numeric and money in mode `double`. */
export function double(textOf: PlainText): Form {
  const valueFrom = (bytes: Buffer, start: number, end: number) => Number(textOf.text(bytes, start, end))
  const { binary } = textOf
  return {
    schema: schemaOf('FLOAT64'),
    valueOfText: valueFrom,
    writeText: (bytes, start, end, into) => writeFloat(into, valueFrom(bytes, start, end), doubleText),
    valueOfBinary: binary && ((bytes, start, end) => Number(binary(bytes, start, end))),
    writeBinary:
      binary && ((bytes, start, end, into) => writeFloat(into, Number(binary(bytes, start, end)), doubleText)),
    zero: 0,
    generated: 0,
    unavailable: Number.NaN,
  }
}

function placeholderNumber(settings: TypeSettings): bigint {
  const hex = settings.placeholder.bytes.toString('hex')
  return hex === '' ? 0n : BigInt.asIntN(hex.length * 4, BigInt(`0x${hex}`))
}
