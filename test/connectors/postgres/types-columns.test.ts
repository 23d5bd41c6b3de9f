import { beforeAll, describe, expect, test } from 'vitest'
import type { ColumnCodec } from '../../../connectors/postgres/column-codec.ts'
import { JsonBytes } from '../../../connectors/postgres/json-bytes.ts'
import type { ColumnInfo, TypeInfo, Types } from '../../../connectors/postgres/table-info.ts'
import { columnCodec } from '../../../connectors/postgres/types/index.ts'
import { jsonOf, silentLogger } from '../../../runtime/api/index.ts'
import { recordingLogger } from '../../support/recording-logger.ts'
import { BASE_TYPE, schemaJson, type TypeOptions, typeOptions } from './types-harness.ts'

const NUMERIC_6_2 = ((6 << 16) | 2) + 4

const OIDS: Readonly<Record<string, number>> = {}
const types: Types = new Map(
  (
    [
      ...['bool', 'int4', 'int8', 'text', 'bpchar', 'numeric', 'float8', 'uuid', 'bytea', 'jsonb', 'bit', 'varbit'],
      ...['date', 'time', 'timestamp', 'timestamptz', 'interval', 'money', 'inet', 'tsquery', 'point'],
    ] as string[]
  )
    .map((name, i): Partial<TypeInfo> => ({ oid: 100 + i, name }))
    .concat(
      { oid: 200, name: '_int4', elementOid: 101 },
      { oid: 201, name: '_text', elementOid: 103 },
      { oid: 202, name: '_interval', elementOid: 116 },
      { oid: 203, name: '_numeric', elementOid: 105 },
      { oid: 20000, schema: 'public', name: 'mood', kind: 'e', labels: ['sad', 'ok'] },
      { oid: 20001, schema: 'public', name: 'feeling', kind: 'd', baseOid: 20000 },
      { oid: 20002, schema: 'public', name: '_feeling', elementOid: 20001 },
      { oid: 20003, schema: 'public', name: 'price', kind: 'd', baseOid: 105, baseModifier: NUMERIC_6_2 },
      { oid: 20004, schema: 'public', name: 'dear', kind: 'd', baseOid: 20003 },
      { oid: 20005, schema: 'public', name: 'text', kind: 'c' },
      { oid: 20006, schema: 'public', name: 'vector' },
    )
    .map((type): [number, TypeInfo] => {
      Object.assign(OIDS, { [type.name!]: OIDS[type.name!] ?? type.oid })
      return [type.oid!, { ...BASE_TYPE, ...type }]
    }),
)

function column(type: string | number, more: Partial<ColumnInfo> = {}): ColumnInfo {
  return {
    name: 'c',
    typeOid: typeof type === 'number' ? type : OIDS[type]!,
    typeModifier: -1,
    notNull: false,
    default: undefined,
    generated: undefined,
    identity: false,
    ...more,
  }
}

function codecOf(
  type: string | number,
  more: Partial<ColumnInfo> = {},
  options: Partial<TypeOptions> = {},
): ColumnCodec {
  return columnCodec(column(type, more), types, typeOptions(options), silentLogger)!
}

function valueIn(codec: ColumnCodec, text: string): unknown {
  const bytes = Buffer.from(text)
  return codec.valueOfText(bytes, 0, bytes.length)
}

function jsonOfText(codec: ColumnCodec, text: string): string {
  const bytes = Buffer.from(text)
  const into = new JsonBytes(64)
  codec.writeText(bytes, 0, bytes.length, into)
  return into.bytes.toString('utf8', 0, into.length)
}

describe('the default in a schema', () => {
  test.each<[string, string, unknown]>([
    ['int4', '42', 42],
    ['int4', "'-1'::integer", -1],
    ['int4', '(-1)', -1],
    ['int8', "'9223372036854775807'::bigint", 9223372036854775807n],
    ['int4', "nextval('s.t_id_seq'::regclass)", 0],
    ['bool', 'true', true],
    ['text', "'it''s'::text", "it's"],
    ['text', "('a'::text)::character varying(10)", 'a'],
    ['text', "md5('x'::text)", ''],
    ['bpchar', "'ab'::bpchar", 'ab'],
    ['numeric', '12.50', undefined],
    ['price', '12.5', { unscaled: 1250n, scale: 2 }],
    ['float8', '1.5', 1.5],
    ['uuid', 'gen_random_uuid()', '00000000-0000-0000-0000-000000000000'],
    ['jsonb', '\'{"a": 1}\'::jsonb', '{"a": 1}'],
    ['timestamp', "'2020-01-02 03:04:05'::timestamp(3) without time zone", 1577934245000000],
    ['timestamp', 'now()', 0],
    ['timestamptz', 'CURRENT_TIMESTAMP', '1970-01-01T00:00:00.000000Z'],
    ['date', "'2020-02-29'::date", 18321],
    ['date', "('now'::text)::date", undefined],
    ['interval', "'1 day 02:03:04'::interval", 93784000000],
    ['bit', `B'101'::"bit"`, Buffer.from([5])],
    ['mood', "'ok'::public.mood", 'ok'],
    ['mood', `'ok'::"My Schema"."My Mood"`, 'ok'],
    ['text', 'NULL::text', undefined],
    ['text', "('a'::text || 'b'::text)", undefined],
    ['int4', '(1 + 2)', undefined],
    ['bytea', "'\\xdeadbeef'::bytea", undefined],
    ['money', "'$1.23'::money", undefined],
    ['_int4', "'{1,2}'::integer[]", undefined],
  ])('%s DEFAULT %s', (type, expression, expected) => {
    expect(codecOf(type, { default: expression }).schema.default).toEqual(expected)
  })
})

describe('a column', () => {
  test('has nothing where only the key of a row was sent, a NOT NULL one its default or the zero of its type', () => {
    expect(codecOf('int4', { default: '7' }).absent).toBe(null)
    expect(codecOf('int4', { default: '7', notNull: true }).absent).toBe(7)
    expect(codecOf('text', { notNull: true }).absent).toBe('')
    expect(codecOf('timestamptz', { notNull: true }).absent).toBe('1970-01-01T00:00:00Z')
    expect(codecOf('timestamp', { notNull: true }, { 'time.precision.mode': 'nanoseconds' }).absent).toBe(0)
    expect(codecOf('_int4', { notNull: true }).absent).toEqual([])
  })

  test('has a placeholder of its type for a value that was not sent', () => {
    const said = (type: string, options: Partial<TypeOptions> = {}) => {
      const codec = codecOf(type, {}, { 'unavailable.value.placeholder': 'gone', ...options })
      return JSON.parse(jsonOf(codec.schema, codec.unavailable)) as unknown
    }
    const bytes = Buffer.from('gone')
    expect(said('text')).toBe('gone')
    expect(said('jsonb')).toBe('gone')
    expect(said('bytea')).toBe(bytes.toString('base64'))
    expect(said('bytea', { 'binary.handling.mode': 'hex' })).toBe(bytes.toString('hex'))
    expect(said('price')).toBe(bytes.toString('base64'))
    expect(said('numeric')).toEqual({ scale: 0, value: bytes.toString('base64') })
    expect(said('_text')).toEqual(['gone'])
    expect(said('_int4')).toEqual([...bytes])
    expect(said('text', { 'unavailable.value.placeholder': 'hex:c3a9' })).toBe('é')
  })

  test('of a domain has the form of its type, with the modifier of the domain that has one', () => {
    expect(codecOf('dear').schema.parameters).toEqual({ scale: '2', 'connect.decimal.precision': '6' })
    expect(codecOf('feeling').schema).toMatchObject({
      name: 'io.debezium.data.Enum',
      parameters: { allowed: 'sad,ok' },
    })
    expect(valueIn(codecOf('_feeling'), '{ok,NULL}')).toEqual(['ok', null])
  })

  test('NOT NULL of a decimal becomes optional with the first NaN, which is null, and says so once', () => {
    const log = recordingLogger()
    const codec = columnCodec(column('price', { notNull: true }), types, typeOptions(), log)!
    expect(codec.evolves).toBe(true)
    const before = codec.schema
    expect(before.optional).toBe(false)
    expect(valueIn(codec, '1.50')).toEqual({ unscaled: 150n, scale: 2 })
    expect(codec.schema).toBe(before)
    expect(valueIn(codec, 'NaN')).toBe(null)
    expect(jsonOfText(codec, 'NaN')).toBe('null')
    expect(codec.schema.optional).toBe(true)
    expect(log.lines.map(({ message }) => message)).toEqual([
      'Column c has a value that is given as null: its form cannot say NaN and infinities',
    ])
  })

  test('of an array is nested as declared, and more deeply once a deeper value comes', () => {
    const codec = codecOf('_int4', { dimensions: 2 })
    const depth = () => JSON.stringify(schemaJson(codec.schema)).split('"array"').length - 1
    expect(depth()).toBe(2)
    expect(valueIn(codec, '{1,2}')).toEqual([[1, 2]])
    expect(jsonOfText(codec, '{1,2}')).toBe('[[1,2]]')
    expect(valueIn(codec, '{}')).toEqual([])
    expect(valueIn(codec, '[0:0][3:4]={{1,2}}')).toEqual([[1, 2]])
    expect(depth()).toBe(2)
    expect(valueIn(codec, '{{{1},{NULL}}}')).toEqual([[[1], [null]]])
    expect(depth()).toBe(3)
    expect(jsonOf(codec.schema, valueIn(codec, '{1,2}'))).toBe('[[[1,2]]]')
  })

  test('of a type without a form is text, with one warning per type; a type of that name elsewhere is no other', () => {
    const log = recordingLogger()
    const options = typeOptions()
    for (const oid of [OIDS.tsquery!, OIDS.tsquery!, 20006, 20005, 424242]) {
      const codec = columnCodec(column(oid), types, options, log)!
      expect(codec.schema).toEqual({ type: 'STRING', optional: true })
      expect(codec.valueOfBinary).toBe(undefined)
    }
    const told = (name: string) => `Values of type ${name} are given as the server's text: it has no form of its own`
    expect(log.lines.map(({ message }) => message)).toEqual(
      ['pg_catalog.tsquery', 'public.vector', 'public.text', 'with OID 424242'].map(told),
    )
  })

  test('of a type that Debezium leaves out is left out with include.unknown.datatypes false', () => {
    const log = recordingLogger()
    const options = typeOptions({ 'include.unknown.datatypes': false })
    for (const type of ['tsquery', '_interval']) expect(columnCodec(column(type), types, options, log)).toBe(undefined)
    expect(columnCodec(column('interval'), types, options, log)).toBeDefined()
    expect(log.lines.map(({ message }) => message)).toEqual([
      'Columns of type pg_catalog.tsquery are left out (include.unknown.datatypes)',
      'Columns of type _interval are left out (include.unknown.datatypes)',
    ])
  })
})

describe('bytes that are no value of the type', () => {
  let read: (type: string, text: string) => () => unknown
  beforeAll(() => {
    read = (type, text) => () => valueIn(codecOf(type), text)
  })

  test.each([
    ['int4', ''],
    ['int4', '1x'],
    ['numeric', '1.2.3'],
    ['numeric', 'x'],
    ['price', ''],
    ['float8', 'one'],
    ['date', '02/29/2020'],
    ['date', '2020-02-29x'],
    ['timestamp', '2020-02-29 1'],
    ['timestamp', 'Sat Feb 29 2020'],
    ['time', '12:30'],
    ['interval', '1 fortnight'],
    ['bytea', 'abc\\000'],
    ['money', '$'],
    ['_int4', '1,2'],
    ['_int4', '{1,2'],
    ['_int4', '{1,2}}'],
    ['_text', '{"a'],
    ['_text', '{"a\\'],
    ['_int4', `${'{'.repeat(1000)}1${'}'.repeat(1000)}`],
    ['point', '1,2'],
  ])('%s %j are refused', (type, text) => {
    expect(read(type, text)).toThrow(/^expected .* as the server writes it/)
  })
})

describe('money', () => {
  test.each([
    ['$1,234.11', '1234.11'],
    ['-$1,234.11', '-1234.11'],
    ['($0.05)', '-0.05'],
    ['1.234.567,89 €', '1234567.89'],
    ['Rs. 12,34,567.00', '1234567.00'],
    ['￥1,234', '1234.00'],
    ['د.ك.‏1,234.567', '1234.57'],
  ])('%s is %s', (text, expected) => {
    expect(valueIn(codecOf('money', {}, { 'decimal.handling.mode': 'string' }), text)).toBe(expected)
  })
})
