import { type Converter, RecordError } from '../api/index.ts'

/** Connect's ByteArrayConverter: bytes as they are. Text is taken as UTF-8. */
export const bytesConverter: Converter = {
  name: 'bytes',
  encoding: 'bytes',
  encode(value, _schema, into) {
    if (value === null || value === undefined) return false
    if (typeof value === 'string') into.appendUtf8(value)
    else if (value instanceof Uint8Array) into.append(value)
    else
      throw new RecordError(`bytes converter: expected bytes or text, got ${typeof value}; set value.converter: json`)
    return true
  },
  decode: bytes => ({ value: bytes, schema: undefined }),
}
