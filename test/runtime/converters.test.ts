import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { PackedWriter } from '../../base/index.ts'
import type { Converter } from '../../runtime/api/index.ts'
import { converterNamed } from '../../runtime/converters/index.ts'
import { sharedData } from '../support/shared-data.ts'

interface Case {
  readonly id: string
  readonly converter: string
  readonly config: Record<string, string>
  readonly isKey?: boolean
  readonly dir: 'from' | 'to' | 'fromHeader' | 'toHeader'
  readonly schema: unknown
  readonly value: unknown
  readonly bytes: string | null
  readonly error?: unknown
}

/** The recorded Java values as ours: README of the data set. Undefined for what this version has no value for. */
function ours(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value
  const [type, inner] = Object.entries(value)[0] as [string, unknown]
  if (/^int|^float/.test(type))
    return typeof inner === 'string' && /^-?\d+$/.test(inner) ? BigInt(inner) : number(inner)
  if (type === 'bytes' || type === 'bytebuffer') return Buffer.from(inner as string, 'base64')
  if (type === 'array') return (inner as unknown[]).map(ours)
  if (type === 'map') return map(inner as [unknown, unknown][])
  if (type === 'bigint') return BigInt(inner as string)
  throw new Error(`no ${type} in this version`)
}

const number = (value: unknown) => (typeof value === 'string' ? Number(value) : value)

function map(pairs: [unknown, unknown][]): unknown {
  const entries = pairs.map(([k, v]) => [ours(k), ours(v)] as const)
  return entries.every(([k]) => typeof k === 'string')
    ? Object.fromEntries(entries as [string, unknown][])
    : new Map(entries)
}

function encode(converter: Converter, value: unknown): Buffer | null {
  const writer = new PackedWriter()
  writer.endRecord(converter.encode(value, undefined, writer), undefined, 0)
  return writer.build().value(0)
}

const folder = sharedData('connect-golden/converters')
const cases: Case[] =
  folder === undefined
    ? []
    : readFileSync(join(folder, 'converters.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map(line => JSON.parse(line) as Case)

/** Where this version differs on purpose, or says the same thing in another way. */
const DIFFERENT: Readonly<Record<string, string>> = {
  'JsonConverter-209': 'top-level bytes are text',
  'JsonConverter-210': 'top-level bytes are text',
  'JsonConverter-258': 'an integer past 2^63 wraps around there, and is kept here',
  'JsonConverter-260': 'an integer past 2^63 wraps around there, and is kept here',
  'JsonConverter-271': 'text behind the value is ignored there, and an error here',
  'JsonConverter-280': 'a leading zero is not JSON',
  'StringConverter-011': "a map is Java's toString there, and JSON here",
  'StringConverter-012': "a list is Java's toString there, and JSON here",
}

describe.skipIf(folder === undefined)(
  "values without schema, as Kafka Connect's converters wrote and read them",
  () => {
    const applies = (c: Case) =>
      /Json|String|ByteArray/.test(c.converter) &&
      (c.schema ?? null) === null &&
      (c.converter.includes('Json')
        ? c.config['schemas.enable'] === 'false' && Object.keys(c.config).length === 1
        : Object.keys(c.config).length === 0)
    const known = (c: Case) => c.error === undefined && !(c.id in DIFFERENT)
    const converting = cases.filter(c => applies(c) && known(c))

    test('there are enough of them', () => expect(converting.length).toBeGreaterThan(40))

    test.each(converting.filter(c => c.dir === 'from').map(c => [c.id, c] as const))('%s: the same bytes', (_, c) => {
      const bytes = encode(converterNamed(c.converter, { 'schemas.enable': false }), ours(c.value))
      const expected = c.bytes === null ? null : Buffer.from(c.bytes, 'base64').toString()
      const got = bytes === null ? null : bytes.toString()
      if (expected !== null && got !== null && c.converter.includes('Json')) {
        // The order of a map's members is not part of the data.
        expect(JSON.parse(got)).toEqual(JSON.parse(expected))
      } else {
        expect(got).toBe(expected)
      }
    })

    test.each(converting.filter(c => c.dir === 'to').map(c => [c.id, c] as const))('%s: the same value', (_, c) => {
      const bytes = c.bytes === null ? null : Buffer.from(c.bytes, 'base64')
      const { value } = converterNamed(c.converter, { 'schemas.enable': false }).decode(bytes)
      expect(value === 0 ? 0 : value).toEqual(ours(c.value))
    })
  },
)

test('a line of a log becomes a JSON string, not base64', () => {
  expect(encode(converterNamed('json'), Buffer.from('GET "/" é'))?.toString()).toBe('"GET \\"/\\" é"')
})

test('integers past 2^53 survive both ways', () => {
  const text = '{"id":9007199254740993,"small":1,"ratio":0.12345678901234568}'
  const json = converterNamed('json')
  const { value } = json.decode(Buffer.from(text))
  expect((value as { id: bigint }).id).toBe(9007199254740993n)
  expect(encode(json, value)?.toString()).toBe(text)
})

test('text that is not JSON or not UTF-8 is a bad record with a remedy', () => {
  const json = converterNamed('json')
  for (const bytes of [Buffer.from('GET / HTTP/1.1'), Buffer.from([0x22, 0xff, 0x22])]) {
    expect(() => json.decode(bytes)).toThrow(/use value.converter: bytes/)
  }
  expect(() => converterNamed('string').decode(Buffer.from([0xff]))).toThrow(/UTF-8/)
  expect(() => converterNamed('xml')).toThrow(/expected one of bytes/)
})
