import { isUtf8 } from 'node:buffer'
import {
  ConnectJson,
  type Converter,
  type ConverterWriter,
  errorMessage,
  parseJson,
  parseJsonExact,
  RecordError,
  type Schema,
  stringifyJson,
} from '../api/index.ts'
import { InexactNumber, JsonReader } from './json-reader.ts'
import { readSchema, schemaText } from './json-schema.ts'
import { type CompleteJsonSettings, OUR_DEFAULTS } from './json-settings.ts'

const BYTE_ORDER_MARK = 0xfeff
const BRACE_END = 0x7d

interface Decoded {
  readonly value: unknown
  readonly schema: Schema | undefined
}

const NOTHING: Decoded = { value: null, schema: undefined }

/**
 * Connect's JsonConverter. Integers come without loss both ways, nested bytes are base64, NaN and the infinities text. A
 * value with a schema is written by it, byte for byte as Connect does. With `schemas.enable` the schema stands beside it.
 */
export function jsonConverter(settings: CompleteJsonSettings): Converter {
  const form = {
    replaceNulls: settings['replace.null.with.default'],
    decimals: settings['decimal.format'],
  }
  return settings['schemas.enable'] ? new SchemaJson(settings, form) : plainJson(settings, new ConnectJson(form))
}

/** Without a schema top-level bytes are taken for UTF-8 text and not turned into base64: a line of a log is what they are. */
function plainJson(settings: CompleteJsonSettings, json: ConnectJson): Converter {
  return {
    name: 'json',
    settings: notesOf(settings),
    encoding: 'json',
    encode: (value, schema, into) => append(into, () => plainText(value, schema, json)),
    decode: bytes => {
      if (bytes === null || bytes.length === 0) return NOTHING
      return decoding(() => ({ value: parseJson(textOf(bytes)), schema: undefined }))
    },
  }
}

function plainText(value: unknown, schema: Schema | undefined, json: ConnectJson): string | undefined {
  if (schema !== undefined) return json.text(schema, value)
  if (value === null || value === undefined) return undefined
  return stringifyJson(value instanceof Uint8Array ? bufferOf(value).toString('utf8') : expressible(value))
}

/** `{"schema":…,"payload":…}`. */
class SchemaJson implements Converter {
  readonly name = 'json'
  readonly encoding = 'other'
  readonly settings: Readonly<Record<string, string>>
  readonly #json: ConnectJson
  readonly #replaceNulls: boolean
  readonly #cacheSize: number
  readonly #prefixes = new WeakMap<Schema, string>()
  readonly #known = new Map<string, KnownSchema>()
  /** Of the last record: one topic's records mostly have one schema. */
  #last: KnownSchema | undefined

  constructor(settings: CompleteJsonSettings, form: { replaceNulls: boolean; decimals: 'BASE64' | 'NUMERIC' }) {
    this.settings = notesOf(settings)
    this.#json = new ConnectJson(form)
    this.#replaceNulls = form.replaceNulls
    this.#cacheSize = Math.max(1, settings['schemas.cache.size'])
  }

  encode(value: unknown, schema: Schema | undefined, into: ConverterWriter): boolean {
    return append(into, () => {
      if (schema !== undefined) return `${this.#prefix(schema)}${this.#json.text(schema, value)}}`
      if (value === null || value === undefined) return undefined
      return `{"schema":null,"payload":${stringifyJson(expressible(value))}}`
    })
  }

  decode(bytes: Uint8Array | null): Decoded {
    if (bytes === null) return NOTHING
    return decoding(() => {
      return this.#asBefore(bufferOf(bytes)) ?? this.#decode(textOf(bytes))
    })
  }

  /** Where the bytes begin with the last schema as it was written then, only the payload is looked at. */
  #asBefore(bytes: Buffer): Decoded | undefined {
    const last = this.#last
    if (last === undefined || bytes.at(-1) !== BRACE_END || bytes.length <= last.prefix.length) return undefined
    const { length } = last.prefix
    if (bytes.compare(last.prefix, 0, length, 0, length) !== 0) return undefined
    try {
      return { value: readPayload(textOf(bytes.subarray(length, -1)), last.reader), schema: last.schema }
    } catch (error) {
      if (error instanceof SyntaxError) return undefined
      throw error
    }
  }

  #decode(text: string): Decoded {
    const envelope = parseJson(text) as unknown as Readonly<Record<string, unknown>> | null
    const members = typeof envelope === 'object' && envelope !== null ? Object.keys(envelope) : []
    if (members.length !== 2 || !members.includes('schema') || !members.includes('payload')) {
      const got = 'expected {"schema":…,"payload":…} and nothing else, got other JSON'
      throw new RecordError(`${got}; set schemas.enable: false for plain JSON`)
    }
    const { schema, payload } = envelope!
    if (schema === null) return { value: payload, schema: undefined }
    const exactly = () => parseJsonExact(text) as Record<string, unknown>
    const known = this.#schemaOf(schema, () => exactly().schema)
    this.#last = known
    return {
      value: read(
        known.reader,
        () => payload,
        () => exactly().payload,
      ),
      schema: known.schema,
    }
  }

  #schemaOf(json: unknown, exact: () => unknown): KnownSchema {
    const text = stringifyJson(json)
    let known = this.#known.get(text)
    if (known === undefined) {
      const schema = readAnySchema(json, exact)
      const reader = new JsonReader(schema, this.#replaceNulls)
      known = { schema, reader, prefix: Buffer.from(`{"schema":${text},"payload":`) }
      if (this.#known.size >= this.#cacheSize) this.#known.delete(this.#known.keys().next().value!)
      this.#known.set(text, known)
    }
    return known
  }

  #prefix(schema: Schema): string {
    let prefix = this.#prefixes.get(schema)
    if (prefix === undefined) {
      prefix = `{"schema":${schemaText(schema, this.#json)},"payload":`
      this.#prefixes.set(schema, prefix)
    }
    return prefix
  }
}

interface KnownSchema {
  readonly schema: Schema
  readonly reader: JsonReader
  /** How a text begins that has this schema. */
  readonly prefix: Buffer
}

function readAnySchema(json: unknown, exact: () => unknown): Schema {
  try {
    return readSchema(json, false)
  } catch (error) {
    if (error instanceof InexactNumber) return readSchema(exact(), true)
    throw error
  }
}

function readPayload(text: string, reader: JsonReader): unknown {
  return read(
    reader,
    () => parseJson(text),
    () => parseJsonExact(text),
  )
}

/** Parsed exactly only where it must be. */
function read(reader: JsonReader, parsed: () => unknown, exact: () => unknown): unknown {
  if (!reader.exact) {
    try {
      return reader.read(parsed())
    } catch (error) {
      if (!(error instanceof InexactNumber)) throw error
    }
  }
  return reader.read(exact())
}

/** What differs from our `json`: what a reader of the topic must know. */
function notesOf(settings: CompleteJsonSettings): Readonly<Record<string, string>> {
  const names = ['schemas.enable', 'replace.null.with.default', 'decimal.format'] as const
  const told = names.filter(name => settings[name] !== OUR_DEFAULTS[name])
  return Object.fromEntries(told.map(name => [name, String(settings[name])]))
}

function append(into: ConverterWriter, textOf: () => string | undefined): boolean {
  try {
    const text = textOf()
    if (text === undefined) return false
    into.appendUtf8(text)
    return true
  } catch (cause) {
    throw new RecordError(`json converter: ${errorMessage(cause)}`, { cause })
  }
}

function decoding(decode: () => Decoded): Decoded {
  try {
    return decode()
  } catch (cause) {
    const remedy = cause instanceof RecordError ? '' : '; use value.converter: bytes for raw lines'
    throw new RecordError(`json converter: ${errorMessage(cause)}${remedy}`, { cause })
  }
}

function textOf(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw new SyntaxError('the value is not valid UTF-8')
  const text = bufferOf(bytes).toString('utf8')
  return text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text
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
