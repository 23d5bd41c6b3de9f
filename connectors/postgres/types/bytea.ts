import { writeBase64 } from './base64.ts'
import { type Form, schemaOf, type TypeSettings, unreadable } from './form.ts'
import { quoteBytes } from './json-output.ts'

const BACKSLASH = 0x5c
const X = 0x78

/** Values of bytea, by `binary.handling.mode`; the text form is `\x` and hexadecimal (bytea_output hex). */
export function bytea(settings: TypeSettings): Form {
  return settings.binary === 'bytes' ? asBytes(settings) : asText(settings, settings.binary)
}

function asBytes(settings: TypeSettings): Form {
  return {
    schema: schemaOf('BYTES'),
    valueOfText: ofText,
    writeText(bytes, start, end, into) {
      const value = ofText(bytes, start, end)
      writeBase64(value, 0, value.length, into)
    },
    // A copy: the bytes are used again for the next row.
    valueOfBinary: (bytes, start, end) => Buffer.from(bytes.subarray(start, end)),
    writeBinary: writeBase64,
    zero: Buffer.alloc(0),
    unavailable: settings.placeholder.bytes,
  }
}

function asText(settings: TypeSettings, mode: 'base64' | 'base64-url-safe' | 'hex'): Form {
  const textOf = (bytes: Buffer, start: number, end: number) => {
    if (mode === 'hex') return bytes.toString('hex', start, end)
    const base64 = bytes.toString('base64', start, end)
    // With its padding, which Node's base64url leaves out.
    return mode === 'base64' ? base64 : base64.replaceAll('+', '-').replaceAll('/', '_')
  }
  const valueOfText = (bytes: Buffer, start: number, end: number) => {
    const value = ofText(bytes, start, end)
    return textOf(value, 0, value.length)
  }
  return {
    schema: schemaOf('STRING'),
    valueOfText,
    writeText(bytes, start, end, into) {
      if (mode === 'hex') quoteBytes(bytes, digitsStart(bytes, start, end), end, into)
      else into.ascii(`"${valueOfText(bytes, start, end)}"`)
    },
    valueOfBinary: textOf,
    writeBinary: (bytes, start, end, into) => into.ascii(`"${textOf(bytes, start, end)}"`),
    zero: '',
    unavailable: textOf(settings.placeholder.bytes, 0, settings.placeholder.bytes.length),
  }
}

function ofText(bytes: Buffer, start: number, end: number): Buffer {
  return Buffer.from(bytes.toString('latin1', digitsStart(bytes, start, end), end), 'hex')
}

function digitsStart(bytes: Buffer, start: number, end: number): number {
  if (bytes[start] === BACKSLASH && bytes[start + 1] === X && (end - start) % 2 === 0) return start + 2
  throw unreadable('bytea in hexadecimal', bytes, start, end)
}
