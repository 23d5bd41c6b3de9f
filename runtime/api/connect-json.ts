import { RecordError } from './errors.ts'
import { decimalText, doubleText, floatText } from './java-numbers.ts'
import type { Decimal, Schema } from './schema.ts'

/** Name of the logical type whose values are `Decimal`. */
export const DECIMAL = 'org.apache.kafka.connect.data.Decimal'

export interface JsonForm {
  /** A null is written as the default of its schema, where that has one (`replace.null.with.default`). */
  readonly replaceNulls: boolean
  /** Decimals as base64 of their unscaled bytes, or as numbers (`decimal.format`). */
  readonly decimals: 'BASE64' | 'NUMERIC'
}

type Write = (value: unknown) => string

/**
 * Values with a schema as JSON text, byte for byte as Connect's JsonConverter writes them. Compiled once for each schema
 * object.
 */
export class ConnectJson {
  readonly #form: JsonForm
  readonly #compiled = new WeakMap<Schema, Write>()

  constructor(form: JsonForm) {
    this.#form = form
  }

  /** Throws RecordError for a value that is not of its schema. */
  text(schema: Schema, value: unknown): string {
    return this.#writer(schema)(value)
  }

  #writer(schema: Schema): Write {
    let write = this.#compiled.get(schema)
    if (write === undefined) {
      write = this.#compile(schema)
      this.#compiled.set(schema, write)
    }
    return write
  }

  #compile(schema: Schema): Write {
    const write = this.#compileType(schema)
    const { optional } = schema
    const hasDefault = (schema.default ?? null) !== null
    const instead = this.#form.replaceNulls && hasDefault ? write(schema.default) : optional ? 'null' : undefined
    return value => {
      if (value !== null && value !== undefined) return write(value)
      if (instead !== undefined) return instead
      throw new RecordError(`expected ${nameOf(schema)}, got null, and the schema is not optional`)
    }
  }

  #compileType(schema: Schema): Write {
    if (schema.type === 'BYTES') return schema.name === DECIMAL ? this.#decimal(schema) : bytesText(schema)
    if (schema.type === 'ARRAY') return this.#array(schema)
    if (schema.type === 'MAP') return this.#map(schema)
    if (schema.type === 'STRUCT') return this.#struct(schema)
    return scalarWriter(schema)
  }

  #decimal(schema: Schema): Write {
    const scale = Number(schema.parameters?.scale)
    const numeric = this.#form.decimals === 'NUMERIC'
    return value => {
      if (!isDecimal(value)) throw mismatch(schema, value)
      if (numeric) return decimalText(value)
      if (value.scale === scale) return `"${unscaledBytes(value.unscaled).toString('base64')}"`
      throw new RecordError(`expected a Decimal of scale ${scale}, got one of scale ${value.scale}`)
    }
  }

  #array(schema: Schema): Write {
    const write = this.#writer(part(schema.valueSchema, 'an element schema'))
    return value => {
      if (!Array.isArray(value)) throw mismatch(schema, value)
      let text = '['
      for (let i = 0; i < value.length; i++) text += i === 0 ? write(value[i]) : `,${write(value[i])}`
      return `${text}]`
    }
  }

  /** An object where keys are text, else a list of pairs. */
  #map(schema: Schema): Write {
    const keySchema = part(schema.keySchema, 'a key schema')
    const writeKey = this.#writer(keySchema)
    const write = this.#writer(part(schema.valueSchema, 'a value schema'))
    const named = keySchema.type === 'STRING'
    return value => {
      if (!(value instanceof Map)) throw mismatch(schema, value)
      const members: string[] = []
      for (const [key, member] of value)
        members.push(named ? `${writeKey(key)}:${write(member)}` : `[${writeKey(key)},${write(member)}]`)
      return named ? `{${members.join(',')}}` : `[${members.join(',')}]`
    }
  }

  #struct(schema: Schema): Write {
    const fields = schema.fields ?? []
    const names = fields.map(({ name }, i) => `${i === 0 ? '{' : ','}${stringText(name)}:`)
    const writes = fields.map(field => this.#writer(field.schema))
    const count = fields.length
    if (count === 0) return value => (Array.isArray(value) ? '{}' : raise(mismatch(schema, value)))
    return value => {
      if (!Array.isArray(value) || value.length > count) throw mismatch(schema, value)
      let i = 0
      try {
        let text = ''
        for (; i < count; i++) text += names[i]! + writes[i]!(value[i])
        return `${text}}`
      } catch (error) {
        if (!(error instanceof RecordError)) throw error
        throw new RecordError(`${fields[i]!.name}: ${error.message}`, { cause: error })
      }
    }
  }
}

const PLAIN = new ConnectJson({ replaceNulls: false, decimals: 'BASE64' })

/** The JSON text of a value, as the JSON converter without schemas writes it by default. Throws RecordError. */
export function jsonOf(schema: Schema, value: unknown): string {
  return PLAIN.text(schema, value)
}

const NEEDS_JAVA_ESCAPES = /[^ -\ud7ff\ue000-\uffff]/
const ESCAPE_OR_SURROGATE = /\\(?:u([0-9a-f]{4})|.)|[\ud800-\udfff]/g

/** A text as Jackson writes it: escapes in capitals, and what is past U+FFFF as two of them. */
export function stringText(text: string): string {
  const json = JSON.stringify(text)
  if (!NEEDS_JAVA_ESCAPES.test(text)) return json
  return json.replace(ESCAPE_OR_SURROGATE, (found, hex: string | undefined) => {
    if (hex !== undefined) return `\\u${hex.toUpperCase()}`
    return found.length === 1 ? `\\u${found.charCodeAt(0).toString(16).toUpperCase()}` : found
  })
}

/** Of a Decimal: two's complement, big-endian, as few bytes as hold it (BigInteger.toByteArray). */
export function unscaledBytes(unscaled: bigint): Buffer {
  const magnitude = (unscaled < 0n ? ~unscaled : unscaled).toString(16)
  const bits = magnitude.length * 4 - Math.clz32(Number.parseInt(magnitude[0]!, 16)) + 28
  const size = Math.floor(bits / 8) + 1
  const hex = BigInt.asUintN(size * 8, unscaled).toString(16)
  return Buffer.from(hex.padStart(size * 2, '0'), 'hex')
}

function scalarWriter(schema: Schema): Write {
  switch (schema.type) {
    case 'STRING':
      return value => (typeof value === 'string' ? stringText(value) : raise(mismatch(schema, value)))
    case 'BOOLEAN':
      return value => (typeof value === 'boolean' ? String(value) : raise(mismatch(schema, value)))
    case 'FLOAT32':
    case 'FLOAT64': {
      const text = schema.type === 'FLOAT32' ? floatText : doubleText
      return value => {
        if (typeof value !== 'number') throw mismatch(schema, value)
        return Number.isFinite(value) ? text(value) : `"${value}"`
      }
    }
    default: {
      const isLong = schema.type === 'INT64'
      return value => {
        if (Number.isInteger(value) || (isLong && typeof value === 'bigint')) return integerText(value as number)
        throw mismatch(schema, value)
      }
    }
  }
}

/** `-0` is 0, and nothing goes to `1e+21`. */
function integerText(value: number | bigint): string {
  return typeof value === 'bigint' || Number.isSafeInteger(value) ? String(value) : BigInt(value).toString()
}

function bytesText(schema: Schema): Write {
  return value => {
    if (!(value instanceof Uint8Array)) throw mismatch(schema, value)
    return `"${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')}"`
  }
}

function isDecimal(value: unknown): value is Decimal {
  return typeof value === 'object' && value !== null && 'unscaled' in value && typeof value.unscaled === 'bigint'
}

function part(schema: Schema | undefined, what: string): Schema {
  if (schema !== undefined) return schema
  throw new RecordError(`expected ${what}, got none`)
}

function mismatch(schema: Schema, value: unknown): RecordError {
  const got =
    value instanceof Uint8Array ? 'bytes' : Array.isArray(value) ? `${value.length} values in a list` : typeof value
  const wanted =
    schema.type === 'STRUCT' ? `a list of ${schema.fields?.length ?? 0} values for ${nameOf(schema)}` : nameOf(schema)
  return new RecordError(`expected ${wanted}, got ${got === 'object' && value instanceof Map ? 'a map' : got}`)
}

function nameOf(schema: Schema): string {
  return schema.name === undefined ? schema.type : `${schema.type} ${schema.name}`
}

function raise(error: Error): never {
  throw error
}
