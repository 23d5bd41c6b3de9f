import { type Converter, errorMessage, parseJson, RecordError, stringifyJson } from '../api/index.ts'

/**
 * Connect's JsonConverter with `schemas.enable: false`: one JSON text, integers without loss. Bytes inside a value are
 * written as base64, as Connect does; top-level bytes are taken for UTF-8 text, which is what a line of a log is.
 */
export const jsonConverter: Converter = {
  name: 'json',
  encoding: 'json',
  encode(value, _schema, into) {
    if (value === null || value === undefined) return false
    try {
      into.appendUtf8(stringifyJson(plain(value)))
    } catch (cause) {
      throw new RecordError(`json converter: ${errorMessage(cause)}`, { cause })
    }
    return true
  },
  decode(bytes) {
    if (bytes === null) return { value: null, schema: undefined }
    try {
      const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
      return { value: parseJson(text), schema: undefined }
    } catch (cause) {
      throw new RecordError(`json converter: ${errorMessage(cause)}; use value.converter: bytes for raw lines`, {
        cause,
      })
    }
  },
}

/** Top-level bytes become text; nested ones become base64. Objects without bytes are passed through untouched. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8')
  return hasBytes(value) ? withBase64(value) : value
}

function hasBytes(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (value instanceof Uint8Array) return true
  for (const key in value) if (hasBytes((value as Record<string, unknown>)[key])) return true
  return false
}

function withBase64(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (Array.isArray(value)) return value.map(withBase64)
  if (typeof value !== 'object' || value === null) return value
  const copy: Record<string, unknown> = Object.create(null)
  for (const key of Object.keys(value)) copy[key] = withBase64((value as Record<string, unknown>)[key])
  return copy
}
