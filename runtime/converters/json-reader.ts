import { DECIMAL, type Decimal, JsonFraction, RecordError, type Schema } from '../api/index.ts'

type Read = (json: unknown) => unknown

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/
/** More digits behind the point, or zeros before it, than any number that was meant. */
const SCALE_MAX = 100_000

/** Reads values of one schema out of parsed JSON, as Connect's JsonConverter wrote them. */
export class JsonReader {
  /** Reads what parseJsonExact parsed; set once a decimal has come as a number. */
  exact = false
  readonly #replaceNulls: boolean
  readonly #read: Read

  constructor(schema: Schema, replaceNulls: boolean) {
    this.#replaceNulls = replaceNulls
    this.#read = this.#compile(schema)
  }

  /** Throws RecordError for a value that is not of the schema, InexactNumber where the text is to be parsed exactly. */
  read(json: unknown): unknown {
    return this.#read(json)
  }

  #compile(schema: Schema): Read {
    const read = this.#compileType(schema)
    const { optional, default: given } = schema
    const instead = this.#replaceNulls && given !== undefined ? given : optional ? null : undefined
    return json => {
      if (json !== null && json !== undefined) return read(json)
      if (instead !== undefined) return instead
      throw new RecordError(`expected ${schema.type}, got null, and the schema is not optional`)
    }
  }

  #compileType(schema: Schema): Read {
    switch (schema.type) {
      case 'BOOLEAN':
        return json => (typeof json === 'boolean' ? json : wrong('true or false', json))
      case 'STRING':
        return json => (typeof json === 'string' ? json : wrong('a text', json))
      case 'BYTES':
        return schema.name === DECIMAL ? this.#decimal(schema) : bytes
      case 'FLOAT32':
      case 'FLOAT64':
        return floating
      case 'ARRAY':
        return this.#array(schema)
      case 'MAP':
        return this.#map(schema)
      case 'STRUCT':
        return this.#struct(schema)
      default:
        return integer(schema.type)
    }
  }

  #decimal(schema: Schema): Read {
    const scale = Number(schema.parameters?.scale ?? Number.NaN)
    return json => {
      if (typeof json === 'string') {
        if (!Number.isInteger(scale)) throw new RecordError('expected the parameter scale with a Decimal, got none')
        return { unscaled: signed(bytes(json)), scale }
      }
      if (json instanceof JsonFraction) return decimalOf(json.text)
      if (typeof json !== 'number' && typeof json !== 'bigint') return wrong('a Decimal as base64 or as a number', json)
      if (this.exact) return { unscaled: BigInt(json), scale: 0 }
      this.exact = true
      throw new InexactNumber()
    }
  }

  #array(schema: Schema): Read {
    const read = this.#compile(schema.valueSchema!)
    return json => (Array.isArray(json) ? json.map(read) : wrong('a list', json))
  }

  #map(schema: Schema): Read {
    const readKey = this.#compile(schema.keySchema!)
    const read = this.#compile(schema.valueSchema!)
    if (schema.keySchema?.type === 'STRING') {
      return json => {
        if (!isObject(json)) return wrong('an object', json)
        return new Map(Object.entries(json).map(([key, member]) => [key, read(member)]))
      }
    }
    return json => {
      if (!Array.isArray(json)) return wrong('a list of pairs', json)
      return new Map(
        json.map(pair =>
          Array.isArray(pair) && pair.length === 2 ? [readKey(pair[0]), read(pair[1])] : wrong('a pair', pair),
        ),
      )
    }
  }

  #struct(schema: Schema): Read {
    const fields = (schema.fields ?? []).map(field => ({ name: field.name, read: this.#compile(field.schema) }))
    return json => {
      if (!isObject(json)) return wrong('an object', json)
      return fields.map(({ name, read }) => {
        try {
          return read(Object.hasOwn(json, name) ? json[name] : null)
        } catch (error) {
          if (!(error instanceof RecordError)) throw error
          throw new RecordError(`${name}: ${error.message}`, { cause: error })
        }
      })
    }
  }
}

/** A decimal came as a number, whose digits are lost: 1.50 is 1.5. */
export class InexactNumber extends Error {}

const LIMITS = { INT8: 2 ** 7, INT16: 2 ** 15, INT32: 2 ** 31, INT64: 2 ** 63 } as const

function integer(type: Schema['type']): Read {
  const limit = LIMITS[type as keyof typeof LIMITS]
  return json => {
    const whole = typeof json === 'bigint' || Number.isInteger(json)
    if (whole && Number(json) >= -limit && Number(json) < limit) return json === 0 ? 0 : json
    // 2^63-1 rounds up to the limit.
    if (typeof json === 'bigint' && BigInt.asIntN(64, json) === json && type === 'INT64') return json
    return wrong(type, json)
  }
}

function floating(json: unknown): unknown {
  if (typeof json === 'number') return json
  if (typeof json === 'bigint') return Number(json)
  if (json instanceof JsonFraction) return Number(json.text)
  if (json === 'NaN' || json === 'Infinity' || json === '-Infinity') return Number(json)
  return wrong('a number', json)
}

function bytes(json: unknown): Buffer {
  if (typeof json === 'string' && BASE64.test(json)) return Buffer.from(json, 'base64')
  return wrong('base64', json)
}

/** Of two's complement, big-endian. */
function signed(from: Buffer): bigint {
  if (from.length === 0) return 0n
  return BigInt.asIntN(from.length * 8, BigInt(`0x${from.toString('hex')}`))
}

function decimalOf(text: string): Decimal {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?$/.exec(text) ?? wrong('a number', text)
  const scale = fraction.length - Number(exponent)
  if (Math.abs(scale) > SCALE_MAX) throw new RecordError(`expected a Decimal of at most ${SCALE_MAX} digits, got more`)
  return { unscaled: BigInt(sign + whole + fraction), scale }
}

function isObject(json: unknown): json is Record<string, unknown> {
  return typeof json === 'object' && json !== null && !Array.isArray(json) && !(json instanceof JsonFraction)
}

function wrong(expected: string, json: unknown): never {
  const got = Array.isArray(json) ? 'a list' : json === null ? 'null' : typeof json
  throw new RecordError(`expected ${expected}, got ${got === 'object' ? 'an object' : `another ${got}`}`)
}
