import {
  type Converter,
  DECIMAL,
  type Decimal,
  decimalText,
  doubleText,
  floatText,
  jsonOf,
  RecordError,
  type Schema,
  stringifyJson,
} from '../api/index.ts'

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Connect's StringConverter: text as UTF-8; numbers as Java writes them, other values by their JSON text. */
export const stringConverter: Converter = {
  name: 'string',
  encoding: 'bytes',
  encode(value, schema, into) {
    if (value === null || value === undefined) return false
    if (typeof value === 'string') into.appendUtf8(value)
    else if (value instanceof Uint8Array) into.append(value)
    else into.appendUtf8(schema === undefined ? stringifyJson(value) : textOf(value, schema))
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

function textOf(value: unknown, schema: Schema): string {
  if (typeof value === 'number' && schema.type === 'FLOAT64') return doubleText(value)
  if (typeof value === 'number' && schema.type === 'FLOAT32') return floatText(value)
  if (schema.name === DECIMAL) return decimalText(value as Decimal)
  return jsonOf(schema, value)
}
