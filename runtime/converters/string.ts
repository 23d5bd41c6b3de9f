import { type Converter, RecordError, stringifyJson } from '../api/index.ts'

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Connect's StringConverter: text as UTF-8; other values by their JSON text. */
export const stringConverter: Converter = {
  name: 'string',
  encoding: 'bytes',
  encode(value, _schema, into) {
    if (value === null || value === undefined) return false
    if (typeof value === 'string') into.appendUtf8(value)
    else if (value instanceof Uint8Array) into.append(value)
    else into.appendUtf8(stringifyJson(value))
    return true
  },
  decode(bytes) {
    if (bytes === null) return { value: null, schema: undefined }
    try {
      return { value: UTF8.decode(bytes), schema: undefined }
    } catch (cause) {
      throw new RecordError('string converter: the value is not valid UTF-8; use value.converter: bytes', { cause })
    }
  },
}
