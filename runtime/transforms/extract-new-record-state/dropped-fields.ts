import { type ConnectRecord, errorMessage, parseJson, RecordError, type Schema } from '../../api/index.ts'
import { NAME, type Typed } from './change.ts'

export interface DropOptions {
  /** Of the header that lists the fields. */
  readonly header: string
  readonly fromKey: boolean
  /** Only fields that a reader of the schema can miss are dropped. */
  readonly keepCompatible: boolean
}

/** A schema without some of its fields, and where the others stood. */
interface Reduced {
  readonly schema: Schema
  readonly kept: readonly number[]
}

/** Headers are written by others, so that there may be any number of lists. */
const LISTS_MAX = 64

/** Takes the fields out of a record that a header of it names. */
export class DroppedFields {
  readonly #options: DropOptions
  readonly #reduced = new WeakMap<Schema, Map<string, Reduced>>()

  constructor(options: DropOptions) {
    this.#options = options
  }

  apply(record: ConnectRecord): void {
    const header = record.headers?.find(({ key }) => key === this.#options.header)
    if (header === undefined || header.value === null || header.value === undefined) return
    const names = namesOf(header.value, this.#options.header)
    if (names.length === 0) return
    if (this.#options.fromKey) {
      const { value, schema } = this.#without({ value: record.key, schema: record.keySchema }, names)
      record.key = value
      record.keySchema = schema
    }
    const { value, schema } = this.#without({ value: record.value, schema: record.valueSchema }, names)
    record.value = value
    record.valueSchema = schema
  }

  #without(typed: Typed, names: readonly string[]): Typed {
    const { value, schema } = typed
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return typed
    if (schema === undefined) {
      const left = Object.entries(value).filter(([name]) => !names.includes(name))
      return { value: Object.fromEntries(left), schema }
    }
    if (schema.type !== 'STRUCT') return typed
    const reduced = this.#reduce(schema, names)
    if (reduced.kept.length === schema.fields!.length) return typed
    return { value: reduced.kept.map(i => (value as readonly unknown[])[i]), schema: reduced.schema }
  }

  #reduce(schema: Schema, names: readonly string[]): Reduced {
    const key = JSON.stringify(names)
    let ofSchema = this.#reduced.get(schema)
    if (ofSchema === undefined || ofSchema.size > LISTS_MAX) {
      ofSchema = new Map()
      this.#reduced.set(schema, ofSchema)
    }
    let reduced = ofSchema.get(key)
    if (reduced === undefined) {
      const stays = schema.fields!.map(
        field => !names.includes(field.name) || (this.#options.keepCompatible && !field.schema.optional),
      )
      const kept = stays.flatMap((stay, i) => (stay ? [i] : []))
      reduced = { kept, schema: { ...schema, fields: kept.map(i => schema.fields![i]!) } }
      ofSchema.set(key, reduced)
    }
    return reduced
  }
}

/** A list, or its JSON where the record came from the log. */
function namesOf(value: unknown, header: string): readonly string[] {
  const list = value instanceof Uint8Array || typeof value === 'string' ? parsed(value, header) : value
  if (Array.isArray(list) && list.every(name => typeof name === 'string')) return list
  throw new RecordError(`${NAME}: header ${header}: expected a list of field names, got ${typeof list}`)
}

function parsed(value: Uint8Array | string, header: string): unknown {
  const text = typeof value === 'string' ? value : Buffer.from(value).toString('utf8')
  try {
    return parseJson(text)
  } catch (cause) {
    const message = `${NAME}: header ${header}: expected a JSON list of field names: ${errorMessage(cause)}`
    throw new RecordError(message, { cause })
  }
}
