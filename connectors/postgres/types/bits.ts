import { writeBase64 } from './base64.ts'
import { Piece } from '../json-bytes.ts'
import { type Form, schemaOf, type TypeSettings } from './form.ts'
import { writeNull } from './json-output.ts'

const ONE = 0x31
const TRUE = new Piece('true')
const FALSE = new Piece('false')
/** What Debezium gives as the length of a varbit without one. */
const UNLIMITED = 2147483647

/** bit and varbit: of one bit a boolean, else the bits as a little-endian number without leading zeros. */
export function bits(modifier: number, settings: TypeSettings): Form {
  return modifier === 1 ? oneBit() : manyBits(modifier < 0 ? UNLIMITED : modifier, settings)
}

function oneBit(): Form {
  return {
    schema: schemaOf('BOOLEAN'),
    lacks: 'an empty bit string',
    valueOfText: (bytes, start, end) => (start === end ? null : bytes[start] === ONE),
    writeText(bytes, start, end, into) {
      if (start === end) writeNull(into)
      else into.piece(bytes[start] === ONE ? TRUE : FALSE)
    },
    valueOfBinary: (bytes, start) => (bytes.readInt32BE(start) === 0 ? null : bytes[start + 4]! >= 0x80),
    writeBinary(bytes, start, _end, into) {
      if (bytes.readInt32BE(start) === 0) writeNull(into)
      else into.piece(bytes[start + 4]! >= 0x80 ? TRUE : FALSE)
    },
    zero: false,
    generated: false,
    unavailable: false,
  }
}

function manyBits(length: number, settings: TypeSettings): Form {
  const write = (value: Buffer, into: Parameters<Form['writeText']>[3]) => writeBase64(value, 0, value.length, into)
  return {
    schema: schemaOf('BYTES', 'io.debezium.data.Bits', { parameters: { length: String(length) } }),
    valueOfText: ofText,
    writeText: (bytes, start, end, into) => write(ofText(bytes, start, end), into),
    valueOfBinary: ofBinary,
    writeBinary: (bytes, start, end, into) => write(ofBinary(bytes, start, end), into),
    zero: Buffer.alloc(0),
    generated: Buffer.alloc(0),
    unavailable: settings.placeholder.bytes,
  }
}

function ofText(bytes: Buffer, start: number, end: number): Buffer {
  const value = Buffer.alloc(Math.ceil((end - start) / 8))
  for (let i = end - 1, bit = 0; i >= start; i--, bit++) if (bytes[i] === ONE) value[bit >> 3]! |= 1 << (bit & 7)
  return withoutZeros(value)
}

/** The number of bits and then the bits, the first one highest. */
function ofBinary(bytes: Buffer, start: number, end: number): Buffer {
  const count = Math.min(bytes.readInt32BE(start), (end - start - 4) * 8)
  const value = Buffer.alloc(Math.ceil(count / 8))
  for (let i = 0; i < count; i++) {
    if ((bytes[start + 4 + (i >> 3)]! & (0x80 >> (i & 7))) === 0) continue
    const bit = count - 1 - i
    value[bit >> 3]! |= 1 << (bit & 7)
  }
  return withoutZeros(value)
}

function withoutZeros(value: Buffer): Buffer {
  let size = value.length
  while (size > 0 && value[size - 1] === 0) size--
  return value.subarray(0, size)
}
