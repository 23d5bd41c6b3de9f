import { readFileSync } from 'node:fs'
import { CATALOGUE } from '../../../cli/compose.ts'
import type { ConnectRecord, Field, Header, Schema, SchemaType } from '../../../runtime/api/index.ts'
import type { TransformConfig } from '../../../runtime/config/types.ts'
import { loadTexts } from '../../support/config-fixture.ts'
import { sharedData } from '../../support/shared-data.ts'

/**
 * What the real Kafka Connect and Debezium made of records (its README tells the encoding). Records are decoded into ours,
 * and both sides are compared in `Told`, a form in which structs have names again.
 */
export interface GoldenCase {
  readonly id: string
  readonly note?: string
  readonly class: string
  readonly config: Readonly<Record<string, string>>
  readonly input: number | readonly number[]
  /** What each record became, in the order of the inputs. */
  readonly results: readonly GoldenResult[]
  readonly validate?: Readonly<Record<string, readonly string[]>>
  /** The configuration was refused. */
  readonly refused?: { readonly class: string; readonly message: string }
}

export type GoldenResult =
  | { readonly output: 'same' | null | Readonly<Partial<EncodedRecord>> }
  | { readonly error: { readonly phase: string; readonly class: string; readonly message: string } }

interface EncodedRecord {
  readonly topic: string
  readonly partition?: number | null
  readonly keySchema?: number | null
  readonly key?: Encoded
  readonly valueSchema?: number | null
  readonly value?: Encoded
  readonly headers?: readonly (readonly [string, number | null, Encoded])[] | null
  readonly timestamp?: number | null
}

type Encoded = null | undefined | boolean | string | Readonly<Record<string, unknown>>

interface EncodedSchema {
  readonly type: string
  readonly optional?: boolean
  readonly name?: string
  readonly version?: number
  readonly doc?: string
  readonly default?: Encoded
  readonly parameters?: Readonly<Record<string, string>>
  readonly fields?: readonly (readonly [string, EncodedSchema])[]
  readonly items?: EncodedSchema
  readonly keys?: EncodedSchema
  readonly values?: EncodedSchema
}

/** A record as plain data. */
export interface Told {
  readonly topic: string
  readonly partition: number | undefined
  readonly keySchema: Schema | undefined
  readonly key: unknown
  readonly valueSchema: Schema | undefined
  readonly value: unknown
  readonly headers: readonly { readonly key: string; readonly schema: Schema | undefined; readonly value: unknown }[]
  readonly timestamp: number | undefined
}

export class GoldenTransforms {
  readonly cases: readonly GoldenCase[]
  readonly #records: ReadonlyMap<number, EncodedRecord>
  readonly #schemas: ReadonlyMap<number, Schema>

  /** `kafka` or `debezium`; undefined without the test data. */
  static load(family: 'kafka' | 'debezium'): GoldenTransforms | undefined {
    const folder = sharedData('connect-golden/transforms')
    return folder === undefined ? undefined : new GoldenTransforms(`${folder}/${family}`)
  }

  private constructor(prefix: string) {
    this.cases = linesOf(`${prefix}.jsonl`).map(line => caseOf(line as never))
    this.#records = new Map(linesOf(`${prefix}-records.jsonl`) as [number, EncodedRecord][])
    const schemas = linesOf(`${prefix}-schemas.jsonl`) as [number, EncodedSchema][]
    this.#schemas = new Map(schemas.map(([number, schema]) => [number, schemaOf(schema)]))
  }

  /** A new record each time; its schemas are those of every other record that has them. */
  input(number: number): ConnectRecord {
    const record = this.#records.get(number)!
    const keySchema = this.#schema(record.keySchema)
    const valueSchema = this.#schema(record.valueSchema)
    return {
      topic: record.topic,
      partition: record.partition ?? undefined,
      keySchema,
      key: decode(record.key, keySchema),
      valueSchema,
      value: decode(record.value, valueSchema),
      headers: record.headers?.map(([key, number, value]): Header => {
        const schema = this.#schema(number)
        return { key, value: decode(value, schema), schema }
      }),
      timestamp: record.timestamp ?? undefined,
    }
  }

  /** What the record must be when it comes out with these members changed. */
  expected(number: number, changes: Readonly<Partial<EncodedRecord>>): Told {
    const record = { ...this.#records.get(number)!, ...changes }
    return {
      topic: record.topic,
      partition: record.partition ?? undefined,
      keySchema: this.#schema(record.keySchema),
      key: told(record.key),
      valueSchema: this.#schema(record.valueSchema),
      value: told(record.value),
      headers: (record.headers ?? []).map(([key, schema, value]) => {
        return { key, schema: this.#headerSchema(schema), value: told(value) }
      }),
      timestamp: record.timestamp ?? undefined,
    }
  }

  #schema(number: number | null | undefined): Schema | undefined {
    return number === null || number === undefined ? undefined : this.#schemas.get(number)!
  }

  #headerSchema(number: number | null): Schema | undefined {
    return headerSchema(this.#schema(number))
  }
}

/** As `expected` tells it. */
export function toldOf(record: ConnectRecord): Told {
  return {
    ...record,
    key: toldBy(record.key, record.keySchema),
    value: toldBy(record.value, record.valueSchema),
    headers: (record.headers ?? []).map(({ key, value, schema }) => {
      return { key, schema: headerSchema(schema), value: toldBy(value, schema) }
    }),
  }
}

/** Debezium copies a struct's schema into a header without its fields, which Java does not need to read it; we do. */
function headerSchema(schema: Schema | undefined): Schema | undefined {
  return schema?.type === 'STRUCT' ? { ...schema, fields: [] } : schema
}

/** The transform as a pipeline file would configure it. Rejects with the problems of its configuration. */
export async function configure(className: string, options: Readonly<Record<string, string>>) {
  const source = { type: 'file', paths: ['x'], topic: 't', transforms: [{ type: className, ...options }] }
  const text = JSON.stringify({ name: 'golden', sources: { s: source } })
  const { sources } = await loadTexts({ '/p/golden.json': text }, { catalogue: CATALOGUE })
  return sources[0]!.transforms[0]! as TransformConfig
}

function caseOf(line: Readonly<Record<string, unknown>>): GoldenCase {
  const { output, outputs, error, ...rest } = line
  const failure = error as { phase: string; class: string; message: string } | undefined
  const refused = failure?.phase === 'configure' ? { refused: failure } : {}
  const single = failure === undefined ? { output } : { error: failure }
  const results = outputs ?? (failure?.phase === 'configure' ? [] : [single])
  return { ...rest, ...refused, results } as unknown as GoldenCase
}

function schemaOf(encoded: EncodedSchema): Schema {
  const { type, optional = false, fields, items, keys, values, default: value, ...basics } = encoded
  const valueSchema = items ?? values
  const schema: Schema = {
    type: type.toUpperCase() as SchemaType,
    optional,
    ...basics,
    ...(fields === undefined ? {} : { fields: fields.map(([name, s]): Field => ({ name, schema: schemaOf(s) })) }),
    ...(keys === undefined ? {} : { keySchema: schemaOf(keys) }),
    ...(valueSchema === undefined ? {} : { valueSchema: schemaOf(valueSchema) }),
  }
  return value === undefined ? schema : { ...schema, default: decode(value, schema) }
}

const MS_PER_DAY = 86_400_000

/** In our data model: structs by position, Date in days. */
function decode(encoded: Encoded, schema: Schema | undefined): unknown {
  if (encoded === undefined || encoded === null || typeof encoded !== 'object') return encoded ?? null
  const [[kind, content]] = Object.entries(encoded) as [[string, never]]
  switch (kind) {
    case 'struct': {
      const members = content as Readonly<Record<string, Encoded>>
      return schema!.fields!.map(({ name, schema: field }) => decode(members[name], field))
    }
    case 'array':
      return (content as Encoded[]).map(item => decode(item, schema?.valueSchema))
    case 'map': {
      const pairs = (content as [Encoded, Encoded][]).map(([key, value]) => {
        return [decode(key, schema?.keySchema), decode(value, schema?.valueSchema)] as const
      })
      return schema === undefined ? withoutPrototype(pairs) : new Map(pairs)
    }
    case 'date':
      return schema?.name?.endsWith('.Date') === true ? content / MS_PER_DAY : content
    default:
      return scalarOf(kind, content)
  }
}

function withoutPrototype(pairs: readonly (readonly [unknown, unknown])[]): unknown {
  const members: Record<string, unknown> = Object.create(null)
  for (const [name, value] of pairs) members[String(name)] = value
  return members
}

function scalarOf(kind: string, content: unknown): unknown {
  switch (kind) {
    case 'int8':
    case 'int16':
    case 'int32':
    case 'float32':
    case 'float64':
      return Number(content)
    case 'int64':
    case 'bigint': {
      const value = BigInt(content as number | string)
      return Number.isSafeInteger(Number(value)) ? Number(value) : value
    }
    case 'bytes':
    case 'bytebuffer':
      return new Uint8Array(Buffer.from(content as string, 'base64'))
    case 'decimal': {
      const { unscaled, scale } = content as { unscaled: string; scale: number }
      return { unscaled: BigInt(unscaled), scale }
    }
    default:
      throw new Error(`golden data: expected a kind of value, got ${kind}`)
  }
}

/** An encoded value with the names that it has itself, whatever its schema. */
function told(encoded: Encoded): unknown {
  if (encoded === undefined || encoded === null || typeof encoded !== 'object') return encoded ?? null
  const [[kind, content]] = Object.entries(encoded) as [[string, unknown]]
  if (kind === 'array') return (content as Encoded[]).map(told)
  if (kind === 'date') return content
  if (kind === 'map') return pairsTold((content as [Encoded, Encoded][]).map(([k, v]) => [told(k), told(v)]))
  if (kind !== 'struct') return scalarOf(kind, content)
  const members = Object.entries(content as Readonly<Record<string, Encoded>>)
  return { struct: members.map(([name, value]) => [name, told(value)]) }
}

/** A value of ours with the names that its schema gives. */
function toldBy(value: unknown, schema: Schema | undefined): unknown {
  if (value === undefined || value === null) return null
  if (schema?.type === 'STRUCT') {
    const struct = value as readonly unknown[]
    return { struct: schema.fields!.map((field, i) => [field.name, toldBy(struct[i], field.schema)]) }
  }
  if (schema?.name?.endsWith('.Date') === true) return (value as number) * MS_PER_DAY
  if (Array.isArray(value)) return value.map(item => toldBy(item, schema?.valueSchema))
  if (value instanceof Map) {
    return pairsTold([...value].map(([k, v]) => [toldBy(k, schema?.keySchema), toldBy(v, schema?.valueSchema)]))
  }
  if (schema === undefined && typeof value === 'object' && !(value instanceof Uint8Array)) {
    return pairsTold(Object.entries(value).map(([name, member]) => [name, toldBy(member, undefined)]))
  }
  return value
}

/** The order of a map is not part of the data. */
function pairsTold(pairs: readonly (readonly [unknown, unknown])[]): unknown {
  return { map: [...pairs].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)) }
}

function linesOf(path: string): unknown[] {
  return readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as unknown)
}
