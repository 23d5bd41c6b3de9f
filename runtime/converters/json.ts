import { isUtf8 } from 'node:buffer'
import { type Converter, errorMessage, parseJson, RecordError, stringifyJson } from '../api/index.ts'

const BYTE_ORDER_MARK = 0xfeff

/**
 * Connect's JsonConverter with `schemas.enable: false`: one JSON text, integers without loss, nested bytes as base64, NaN
 * and the infinities as text. One difference: top-level bytes are taken for UTF-8 text and not turned into base64, since
 * a line of a log is what they are here.
 */
export const jsonConverter: Converter = {
  name: 'json',
  encoding: 'json',
  encode(value, _schema, into) {
    if (value === null || value === undefined) return false
    try {
      into.appendUtf8(
        stringifyJson(value instanceof Uint8Array ? bufferOf(value).toString('utf8') : expressible(value)),
      )
    } catch (cause) {
      throw new RecordError(`json converter: ${errorMessage(cause)}`, { cause })
    }
    return true
  },
  decode(bytes) {
    if (bytes === null || bytes.length === 0) return { value: null, schema: undefined }
    try {
      if (!isUtf8(bytes)) throw new SyntaxError('the value is not valid UTF-8')
      const text = bufferOf(bytes).toString('utf8')
      return { value: parseJson(text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text), schema: undefined }
    } catch (cause) {
      throw new RecordError(`json converter: ${errorMessage(cause)}; use value.converter: bytes for raw lines`, {
        cause,
      })
    }
  },
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** The value itself when JSON can say it, which is the common case and costs one walk; else a copy that it can say. */
function expressible(value: unknown): unknown {
  return isExpressible(value) ? value : translated(value)
}

function isExpressible(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || value === null) return true
  if (value instanceof Uint8Array || value instanceof Map) return false
  for (const key in value) if (!isExpressible((value as Record<string, unknown>)[key])) return false
  return true
}

function translated(value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (value instanceof Uint8Array) return bufferOf(value).toString('base64')
  if (Array.isArray(value)) return value.map(translated)
  if (value instanceof Map) return translatedMap(value)
  if (typeof value !== 'object' || value === null) return value
  const copy: Record<string, unknown> = Object.create(null)
  for (const key of Object.keys(value)) copy[key] = translated((value as Record<string, unknown>)[key])
  return copy
}

/** As Connect: an object when every key is text, else a list of pairs. */
function translatedMap(map: ReadonlyMap<unknown, unknown>): unknown {
  const pairs = [...map].map(([key, value]) => [translated(key), translated(value)])
  if (!pairs.every(([key]) => typeof key === 'string')) return pairs
  const copy: Record<string, unknown> = Object.create(null)
  for (const [key, value] of pairs) copy[key as string] = value
  return copy
}
