import { createHash } from 'node:crypto'
import { jsonOf, type Schema } from '../../../runtime/api/index.ts'
import type { ColumnCodec } from '../column-codec.ts'

/** A codec with another schema for each one of the codec's own. */
export function withSchema(codec: ColumnCodec, altered: (schema: Schema) => Schema): ColumnCodec {
  let own = codec.schema
  let schema = altered(own)
  const { evolves, masksNull, valueOfBinary, writeBinary, absent } = codec
  return {
    get schema() {
      if (codec.schema !== own) {
        own = codec.schema
        schema = altered(own)
      }
      return schema
    },
    ...(evolves && { evolves }),
    ...(masksNull && { masksNull }),
    valueOfText: (bytes, start, end) => codec.valueOfText(bytes, start, end),
    writeText: (bytes, start, end, into) => codec.writeText(bytes, start, end, into),
    ...(valueOfBinary && { valueOfBinary }),
    ...(writeBinary && { writeBinary }),
    get unavailable() {
      return codec.unavailable
    },
    absent,
  }
}

export function withParameters(codec: ColumnCodec, more: Readonly<Record<string, string>>): ColumnCodec {
  return withSchema(codec, schema => ({ ...schema, parameters: { ...schema.parameters, ...more } }))
}

/** A codec for text of which something else is told: the same for a value that was sent and one that stands for one. */
export function withValue<T>(codec: ColumnCodec, told: (value: T) => T): ColumnCodec {
  const { schema, evolves, valueOfBinary } = codec
  const of = (value: unknown) => (value === null ? null : told(value as T))
  const write = (value: unknown) => jsonOf(codec.schema, of(value))
  return {
    schema,
    ...(evolves && { evolves }),
    valueOfText: (bytes, start, end) => of(codec.valueOfText(bytes, start, end)),
    writeText: (bytes, start, end, into) => into.text(write(codec.valueOfText(bytes, start, end))),
    ...(valueOfBinary && {
      valueOfBinary: (bytes: Buffer, start: number, end: number) => of(valueOfBinary(bytes, start, end)),
      writeBinary: (bytes, start, end, into) => into.text(write(valueOfBinary(bytes, start, end))),
    }),
    // Known to stand for a value: whoever looks for it must find it whole.
    unavailable: codec.unavailable,
    absent: of(codec.absent),
  }
}

/** The same text whatever the value is, also where it is NULL or was not sent. */
export function constantCodec({ schema }: ColumnCodec, text: string): ColumnCodec {
  const json = jsonOf(schema, text)
  const value = () => text
  const write: ColumnCodec['writeText'] = (_bytes, _start, _end, into) => into.text(json)
  return {
    schema,
    masksNull: true,
    valueOfText: value,
    writeText: write,
    valueOfBinary: value,
    writeBinary: write,
    unavailable: text,
    absent: text,
  }
}

const SERIALIZED_SHORT = Buffer.from('aced000574', 'hex')
const SERIALIZED_LONG = Buffer.from('aced00057c', 'hex')
const SHORT_MAX = 0xffff

/** A text as java.io.ObjectOutputStream writes it: version 1 of Debezium's hashes is of these bytes. */
export function serialized(text: string): Buffer {
  const bytes = modifiedUtf8(text)
  const isShort = bytes.length <= SHORT_MAX
  const length = Buffer.alloc(isShort ? 2 : 8)
  if (isShort) length.writeUInt16BE(bytes.length)
  else length.writeBigUInt64BE(BigInt(bytes.length))
  return Buffer.concat([isShort ? SERIALIZED_SHORT : SERIALIZED_LONG, length, bytes])
}

/** Java's: zero takes two bytes, and what is past U+FFFF two times three. */
function modifiedUtf8(text: string): Buffer {
  if (!/[\0\ud800-\udfff]/.test(text)) return Buffer.from(text)
  const bytes: number[] = []
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit > 0 && unit < 0x80) bytes.push(unit)
    else if (unit < 0x800) bytes.push(0xc0 | (unit >> 6), 0x80 | (unit & 0x3f))
    else bytes.push(0xe0 | (unit >> 12), 0x80 | ((unit >> 6) & 0x3f), 0x80 | (unit & 0x3f))
  }
  return Buffer.from(bytes)
}

/** Lower-case hexadecimal of the digest of salt and value. */
export function hashOf(algorithm: string, salt: string, version: 1 | 2): (text: string) => string {
  return text =>
    createHash(algorithm)
      .update(salt)
      .update(version === 1 ? serialized(text) : text)
      .digest('hex')
}

/** At most so many UTF-16 units, as Java counts; never half of a character. */
export function truncated(text: string, length: number): string {
  if (text.length <= length) return text
  const last = text.charCodeAt(length - 1)
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? length - 1 : length)
}
