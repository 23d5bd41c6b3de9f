import { isUtf8 } from 'node:buffer'
import {
  decodeHeaders,
  type JsonValue,
  KtsError,
  type PackedHeader,
  type PackedRecords,
  parseJson,
  stringifyJson,
} from '../runtime/api/index.ts'

/**
 * Records as JSON lines, for people and scripts: one object per line,
 * `{"topic","partition","offset","timestamp","key","value","headers"}`. Bytes that are UTF-8 stand as they are in `key`
 * and `value`; others in base64 in `keyBase64` and `valueBase64` instead. `headers` is absent where there are none.
 */
export function recordLines(topic: string, partition: number, records: PackedRecords): string {
  const place = `{"topic":${JSON.stringify(topic)},"partition":${partition},"offset":`
  let text = ''
  for (let i = 0; i < records.count; i++) {
    const block = records.headerBlock(i)
    text += `${place}${records.offset(i)},"timestamp":${records.timestamp(i)},${member('key', records.key(i))},`
    text += member('value', records.value(i))
    text += block === undefined ? '}\n' : `,"headers":[${decodeHeaders(block).map(headerJson).join(',')}]}\n`
  }
  return text
}

function member(name: string, bytes: Buffer | null): string {
  if (bytes === null) return `"${name}":null`
  if (isUtf8(bytes)) return `"${name}":${JSON.stringify(bytes.toString())}`
  return `"${name}Base64":"${bytes.toString('base64')}"`
}

function headerJson(header: PackedHeader): string {
  const value = header.value === null ? null : Buffer.from(header.value)
  return `{"name":${JSON.stringify(header.key)},${member('value', value)}}`
}

/** A record to be written. */
export interface NewRecord {
  readonly partition: number | undefined
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly PackedHeader[]
  /** -1: the time of the append. */
  readonly timestamp: number
}

type Members = { readonly [name: string]: JsonValue }

/**
 * Reads one line of the same form. `value` (and `key`) may also be any JSON, which is written compactly; absent and null
 * are both null. `topic` and `offset` are ignored, so what was read can be written again. Throws KtsError RECORD_INVALID.
 */
function parseRecordLine(line: string, number: number): NewRecord {
  const invalid = (what: string) => new KtsError('RECORD_INVALID', `line ${number}: ${what}`)
  let json: JsonValue
  try {
    json = parseJson(line)
  } catch {
    throw invalid('expected a JSON object such as {"key":"k","value":"v"}; send plain lines as text/plain')
  }
  if (!isObject(json)) throw invalid('expected a JSON object such as {"key":"k","value":"v"}')
  const { partition, timestamp, headers } = json
  if (partition !== undefined && !isCount(partition)) throw invalid('"partition" must be a number from 0')
  if (timestamp !== undefined && !isCount(timestamp)) throw invalid('"timestamp" must be milliseconds since 1970')
  if (headers !== undefined && !Array.isArray(headers)) throw invalid('"headers" must be a list')
  return {
    partition,
    key: bytesOf(json, 'key'),
    value: bytesOf(json, 'value'),
    headers: (headers ?? []).map((header: JsonValue) => {
      if (!isObject(header) || typeof header.name !== 'string') throw invalid('each header needs a "name"')
      return { key: header.name, value: bytesOf(header, 'value') }
    }),
    timestamp: timestamp ?? -1,
  }
}

/** Every record of a body of such lines; empty lines are passed over. */
export function parseRecordLines(body: Buffer): readonly NewRecord[] {
  const lines = body.toString().split('\n')
  return lines.flatMap((line, i) => (line === '' || line === '\r' ? [] : [parseRecordLine(line, i + 1)]))
}

/** Each line, byte for byte and without its newline, as the value of a record without a key. */
export function plainRecords(body: Buffer): readonly NewRecord[] {
  const records: NewRecord[] = []
  for (let start = 0; start < body.length; ) {
    const newline = body.indexOf(10, start)
    const end = newline < 0 ? body.length : newline
    records.push({ partition: undefined, key: null, value: body.subarray(start, end), headers: [], timestamp: -1 })
    start = end + 1
  }
  return records
}

function bytesOf(members: Members, name: string): Buffer | null {
  const base64 = members[`${name}Base64`]
  if (typeof base64 === 'string') return Buffer.from(base64, 'base64')
  const value = members[name]
  if (value === undefined || value === null) return null
  return Buffer.from(typeof value === 'string' ? value : stringifyJson(value))
}

function isObject(value: JsonValue): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCount(value: JsonValue): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
