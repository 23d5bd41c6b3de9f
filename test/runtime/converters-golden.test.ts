import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { PackedWriter } from '../../base/index.ts'
import type { Converter, Schema, SchemaType } from '../../runtime/api/index.ts'
import { converterNamed, type JsonSettings } from '../../runtime/converters/index.ts'
import { sharedData } from '../support/shared-data.ts'

interface EncodedSchema {
  readonly type: string
  readonly optional?: boolean
  readonly name?: string
  readonly default?: unknown
  readonly fields?: readonly [string, EncodedSchema][]
  readonly items?: EncodedSchema
  readonly keys?: EncodedSchema
  readonly values?: EncodedSchema
}

interface Case {
  readonly id: string
  readonly converter: string
  readonly config: Readonly<Record<string, string | boolean>>
  readonly dir: string
  readonly schema?: EncodedSchema | null
  readonly value?: unknown
  readonly bytes?: string | null
  readonly back?: { readonly schema?: EncodedSchema | null; readonly value?: unknown }
  readonly error?: { readonly phase: string }
}

const DAY_MS = 86_400_000

function schemaOf(encoded: EncodedSchema): Schema {
  const { type, optional = false, fields, items, keys, values, default: given, ...rest } = encoded
  const valueSchema = items ?? values
  const schema: Schema = {
    ...rest,
    type: type.toUpperCase() as SchemaType,
    optional,
    ...(fields && { fields: fields.map(([name, of]) => ({ name, schema: schemaOf(of) })) }),
    ...(valueSchema && { valueSchema: schemaOf(valueSchema) }),
    ...(keys && { keySchema: schemaOf(keys) }),
  }
  return given === undefined ? schema : { ...schema, default: ours(given, schema) }
}

function ours(encoded: unknown, schema: Schema | undefined): unknown {
  if (encoded === null || typeof encoded !== 'object') return encoded
  const [type, inner] = Object.entries(encoded)[0] as [string, never]
  if (type === 'int64') {
    const long = BigInt(inner)
    return Number.isSafeInteger(Number(long)) ? Number(long) : long
  }
  if (/^int|^float/.test(type)) return Number(inner)
  if (type === 'bytes' || type === 'bytebuffer') return Buffer.from(inner, 'base64')
  if (type === 'bigint') return BigInt(inner)
  if (type === 'date') return schema?.name?.endsWith('.Date') ? inner / DAY_MS : inner
  if (type === 'decimal') {
    const { unscaled, scale } = inner as { unscaled: string; scale: number }
    return { unscaled: BigInt(unscaled), scale }
  }
  if (type === 'array') return (inner as unknown[]).map(item => ours(item, schema?.valueSchema))
  if (type === 'struct') return schema!.fields!.map(field => ours(inner[field.name] ?? null, field.schema))
  const pairs = (inner as [unknown, unknown][]).map(
    ([k, v]) => [ours(k, schema?.keySchema), ours(v, schema?.valueSchema)] as const,
  )
  const isObject = schema === undefined && pairs.every(([k]) => typeof k === 'string')
  return isObject ? Object.fromEntries(pairs) : new Map(pairs)
}

function settingsOf(config: Case['config']): JsonSettings {
  const flag = (name: string) => (config[name] === undefined ? undefined : String(config[name]) === 'true')
  const format = config['decimal.format']
  return {
    'schemas.enable': flag('schemas.enable'),
    'replace.null.with.default': flag('replace.null.with.default'),
    'decimal.format': format === undefined ? undefined : (String(format).toUpperCase() as 'NUMERIC'),
  }
}

function encode(converter: Converter, value: unknown, schema: Schema | undefined): string | null {
  const writer = new PackedWriter()
  writer.endRecord(converter.encode(value, schema, writer), undefined, 0)
  return writer.build().value(0)?.toString('base64') ?? null
}

/** The order of a map's members is not part of the data, and there are maps in parameters too. */
function comparable(base64: string | null | undefined, { schema, value }: Case): unknown {
  if (typeof base64 !== 'string') return base64
  const text = Buffer.from(base64, 'base64').toString()
  return /"map"|"parameters"/.test(JSON.stringify([schema, value])) ? [...text].sort().join('') : text
}

const folder = sharedData('connect-golden/converters')
const all: Case[] =
  folder === undefined
    ? []
    : readFileSync(join(folder, 'converters.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map(line => JSON.parse(line) as Case)

const WRAPS = 'a number past its type wraps around there, and is an error here'
const ZERO = 'a value of another type is 0, false or null there, and an error here'

/** Where ours differs on purpose. */
const DIFFERENT: Readonly<Record<string, string>> = {
  'JsonConverter-041': 'a Date is a number of days here: one with hours cannot be said',
  'JsonConverter-117': 'a Date is a number of days here: one with hours cannot be said',
  'JsonConverter-073': 'numbers are of one kind here',
  'JsonConverter-075': 'numbers are of one kind here',
  'JsonConverter-148': 'numbers are of one kind here',
  'JsonConverter-150': 'numbers are of one kind here',
  'JsonConverter-310': 'text behind the value is an error here',
  'JsonConverter-328': WRAPS,
  'JsonConverter-329': WRAPS,
  'JsonConverter-330': ZERO,
  'JsonConverter-331': ZERO,
  'JsonConverter-332': ZERO,
  'JsonConverter-333': WRAPS,
  'JsonConverter-336': 'NaN is written as text, and read as 0 there',
  'JsonConverter-337': 'Infinity is written as text, and read as 0 there',
  'JsonConverter-338': ZERO,
  'JsonConverter-339': ZERO,
  'JsonConverter-347': ZERO,
  'JsonConverter-248': 'there is no schema.content here',
}

describe.skipIf(folder === undefined)("values with schema, as Kafka Connect's converters wrote and read them", () => {
  const isJson = (c: Case) => c.converter.endsWith('.JsonConverter')
  const cases = all.filter(
    c =>
      isJson(c) &&
      c.error?.phase !== 'configure' &&
      !(c.id in DIFFERENT) &&
      // Without schemas, of a value without one: converters.test.ts.
      (String(c.config['schemas.enable']) !== 'false' || (c.schema ?? null) !== null),
  )
  const writing = cases.filter(c => c.dir.startsWith('from'))
  const reading = cases.filter(c => c.dir.startsWith('to'))

  test('there are enough of them', () => expect([writing.length, reading.length]).toEqual([227, 83]))

  test.each(writing.map(c => [c.id, c] as const))('%s: the same bytes', (_, c) => {
    const schema = (c.schema ?? null) === null ? undefined : schemaOf(c.schema!)
    const converter = converterNamed(c.converter, settingsOf(c.config))
    const write = () => encode(converter, ours(c.value ?? null, schema), schema)
    if (c.error !== undefined && !/BigDecimal|Date|BigInteger/.test(JSON.stringify(c.error)))
      expect(write).toThrow(/json converter: /)
    else if (c.error === undefined) expect(comparable(write(), c)).toBe(comparable(c.bytes, c))
  })

  test.each(
    writing.filter(c => c.back !== undefined && !/NaN|Inf/.test(JSON.stringify(c.value))).map(c => [c.id, c] as const),
  )('%s: read back the same', (_, c) => {
    const converter = converterNamed(c.converter, settingsOf(c.config))
    const bytes = c.bytes === null || c.bytes === undefined ? null : Buffer.from(c.bytes, 'base64')
    const schema = (c.back!.schema ?? null) === null ? undefined : schemaOf(c.back!.schema!)
    const expected = { schema, value: ours(c.back!.value ?? null, schema) }
    // Twice: the second time it goes by the schema of the first.
    for (let turn = 0; turn < 2; turn++) expect(positive(converter.decode(bytes))).toEqual(positive(expected))
  })

  test.each(reading.map(c => [c.id, c] as const))('%s: the same value', (_, c) => {
    const converter = converterNamed(c.converter, settingsOf(c.config))
    const bytes = (c.bytes ?? null) === null ? null : Buffer.from(c.bytes!, 'base64')
    if (c.error !== undefined) {
      expect(() => converter.decode(bytes)).toThrow(/json converter: /)
      return
    }
    const schema = (c.schema ?? null) === null ? undefined : schemaOf(c.schema!)
    expect(converter.decode(bytes)).toEqual({ schema, value: ours(c.value ?? null, schema) })
  })
})

/** -0 is a number like any other to whom it matters here. */
function positive({ value, schema }: { value: unknown; schema: Schema | undefined }) {
  return { value: value === 0 ? 0 : value, schema }
}

describe.skipIf(folder === undefined)('text of numbers with schema', () => {
  const ids = ['004', '007', '008', '009', '010', '014', '015', '016', '017', '041', '043']
  test.each(ids)('StringConverter-%s: the same bytes', id => {
    const c = all.find(one => one.id === `StringConverter-${id}`)!
    const schema = schemaOf(c.schema!)
    expect(encode(converterNamed(c.converter), ours(c.value, schema), schema)).toBe(c.bytes)
  })
})

describe('JSON with schemas', () => {
  const schema: Schema = {
    type: 'STRUCT',
    optional: false,
    fields: [
      { name: 'id', schema: { type: 'INT64', optional: false } },
      {
        name: 'price',
        schema: {
          type: 'BYTES',
          optional: true,
          name: 'org.apache.kafka.connect.data.Decimal',
          parameters: { scale: '4' },
        },
      },
      { name: 'note', schema: { type: 'STRING', optional: true, default: 'none' } },
    ],
  }
  const row = [2n ** 62n, { unscaled: 12345678901234567890123400n, scale: 4 }, 'x'.repeat(30_000)]

  test.each([
    ['BASE64', 'json'],
    ['NUMERIC', 'json'],
  ] as const)('loses no digit of a decimal in %s, nor of an integer', (format, name) => {
    const converter = converterNamed(name, { 'schemas.enable': true, 'decimal.format': format })
    const bytes = Buffer.from(encode(converter, row, schema)!, 'base64')
    for (let turn = 0; turn < 2; turn++) expect(converter.decode(bytes)).toEqual({ value: row, schema })
    expect(converter.decode(bytes).schema).toBe(converter.decode(bytes).schema)
  })

  test('says which field is wrong', () => {
    const converter = converterNamed('json', { 'schemas.enable': true })
    expect(() => encode(converter, [1, null, 5], schema)).toThrow('json converter: note: expected STRING, got number')
    const text = Buffer.from(encode(converter, [1, null, null], schema)!, 'base64').toString()
    for (let turn = 0; turn < 2; turn++) {
      const other = Buffer.from(text.replace('"payload":{"id":1', '"payload":{"id":"1"'))
      expect(() => converter.decode(other)).toThrow('json converter: id: expected INT64, got another string')
    }
    const more = Buffer.from(`${text.slice(0, -1)},"extra":1}`)
    expect(() => converter.decode(more)).toThrow('set schemas.enable: false for plain JSON')
  })

  test('keeps no more schemas than schemas.cache.size, and reads on', () => {
    const converter = converterNamed('json', { 'schemas.enable': true, 'schemas.cache.size': 2 })
    for (let turn = 0; turn < 3; turn++) {
      for (let n = 0; n < 5; n++) {
        const text = `{"schema":{"type":"int32","optional":false,"name":"n${n}"},"payload":${n}}`
        expect(converter.decode(Buffer.from(text))).toMatchObject({ value: n, schema: { name: `n${n}` } })
      }
    }
  })
})
