import fc from 'fast-check'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Types } from '../../../connectors/postgres/table-info.ts'
import { columnCodec } from '../../../connectors/postgres/types/index.ts'
import { plainText } from '../../../connectors/postgres/types/numeric-digits.ts'
import { type Decimal, silentLogger } from '../../../runtime/api/index.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { columnsOf, type TypeOptions, typeOptions, typesClient, typesOf, valuesOf, ways } from './types-harness.ts'

const SEED = 5
const COUNT = 250
const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n }
/** Of 4714 BC to 294247, where microseconds still have 64 bits. */
const MICROS = { min: -210866803200000000n, max: 9223000000000000000n }

interface Case {
  /** Of the column. */
  readonly type: string
  /** Texts from which the server makes values, `x` in `made`. */
  readonly texts: fc.Arbitrary<string>
  /** SQL; absent: a cast. */
  readonly made?: string
  readonly options?: Partial<TypeOptions>
  /** Our value as text, `x` in `same`. */
  readonly shown?: (value: unknown, json: string) => string
  /** SQL, true when `x` says what the column `v` has; absent: it equals the text cast to the type. */
  readonly same?: string
}

const integers = (min: bigint, max: bigint) =>
  fc.oneof(fc.bigInt({ min, max }), fc.constantFrom(min, max, 0n, -1n, 9007199254740993n % (max + 1n))).map(String)
const pad = (value: number, size: number) => String(value).padStart(size, '0')
const clock = fc.oneof(
  fc.integer({ min: 0, max: 86_399_999_999 }).map(micros => {
    const seconds = Math.floor(micros / 1e6)
    return `${pad(Math.floor(seconds / 3600), 2)}:${pad(Math.floor(seconds / 60) % 60, 2)}:${pad(seconds % 60, 2)}.${pad(micros % 1e6, 6)}`
  }),
  fc.constantFrom('24:00', '00:00', '23:59:59.9', '00:00:00.000001'),
)
const days = fc.oneof(fc.integer({ min: -2440588, max: 2145042905 }), fc.integer({ min: -800000, max: 50000 }))
/** Read by the expression of the type's insert, so that no calendar of ours makes the input. */
const instants = fc.oneof(
  fc.bigInt(MICROS),
  fc.bigInt({ min: -63_000_000_000_000_000n, max: 253_000_000_000_000_000n }),
  fc.bigInt({ min: -3_000_000n, max: 3_000_000n }),
)
const strings = fc.string({ unit: 'binary', maxLength: 40 }).map(s => Buffer.from(s.replaceAll('\0', '')).toString())
const doubles = fc.oneof(
  fc.double(),
  fc.integer({ min: -1074, max: 1023 }).map(exponent => 2 ** exponent),
  fc.integer().map(n => n / 100),
  fc.constantFrom(0, -0, 473736.625, -8111.65625, 1e7, 9999999.5, 0.001, 0.00099, 1e21, 1e22, 2 ** 53),
)
const digits = (max: number) => fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 1, maxLength: max })
const decimals = (whole: number, fraction: number) =>
  fc.tuple(fc.constantFrom('', '-'), digits(whole), digits(fraction)).map(([sign, a, b]) => `${sign}${a}.${b}`)
const plainOf = (value: unknown) => {
  if (!Array.isArray(value)) return plainText((value as Decimal).unscaled, (value as Decimal).scale)
  const [scale, bytes] = value as [number, Buffer]
  return plainText(BigInt.asIntN(bytes.length * 8, BigInt(`0x${bytes.toString('hex')}`)), scale)
}
const spans = fc
  .tuple(
    fc.integer({ min: -3000, max: 3000 }),
    fc.integer({ min: -400, max: 400 }),
    fc.bigInt({ min: -(10n ** 13n), max: 10n ** 13n }),
  )
  .map(([months, ds, micros]) => `${months} months ${ds} days ${micros} microseconds`)
const bitsOf = (min: number, max: number) =>
  fc.string({ unit: fc.constantFrom('0', '1'), minLength: min, maxLength: max })
const v4 = fc.ipV4()
const v6 = fc.oneof(
  fc.ipV6(),
  fc
    .array(fc.constantFrom('0', '0', '1', 'ffff', 'abcd'), { minLength: 8, maxLength: 8 })
    .map(words => words.join(':')),
  fc.constantFrom('::', '::1', '::2', '::ffff:1.2.3.4', '::1.2.3.4', '1::', '::ffff:0:0', '0:0:1::'),
)
const network = fc.oneof(
  fc.tuple(v4, fc.integer({ min: 0, max: 32 })).map(([host, bits]) => `${host}/${bits}`),
  fc.tuple(v6, fc.integer({ min: 0, max: 128 })).map(([host, bits]) => `${host}/${bits}`),
  v4,
  v6,
)
const element = (text: string | null) => (text === null ? 'NULL' : `"${text.replace(/["\\]/g, '\\$&')}"`)
const arrays = (texts: fc.Arbitrary<string>, nullable = true) =>
  fc.array(nullable ? fc.option(texts) : texts, { maxLength: 6 }).map(list => `{${list.map(element).join(',')}}`)
const octets = (size: number) =>
  fc.uint8Array({ minLength: size, maxLength: size }).map(bytes => Buffer.from(bytes).toString('hex'))
const pairText = (text: string | null) => (text === null ? 'NULL' : `"${text.replace(/["\\]/g, '\\$&')}"`)
const pairs = fc.dictionary(strings, fc.option(strings), { maxKeys: 5 }).map(object =>
  Object.entries(object)
    .map(([key, value]) => `${pairText(key)}=>${pairText(value)}`)
    .join(','),
)
const hstoreText = (map: unknown) =>
  [...(map as Map<string, string | null>)].map(([key, value]) => `${pairText(key)}=>${pairText(value)}`).join(',')
const hex = (bytes: unknown) => `\\x${Buffer.from(bytes as Uint8Array).toString('hex')}`
/** Of Bits: the number's digits. */
const bitText = (bytes: unknown) => {
  const bigEndian = Buffer.from(bytes as Uint8Array)
    .reverse()
    .toString('hex')
  return bigEndian === '' ? '' : BigInt(`0x${bigEndian}`).toString(2)
}
/** An ISO year in the server's spelling. */
const eraOf = (iso: unknown) => {
  const [, sign, year, rest] = /^([+-]?)(\d+)(.*)$/.exec(String(iso))!
  const number = Number(year)
  return sign === '-' || number === 0 ? `${pad(number + 1, 4)}${rest} BC` : `${year}${rest}`
}
const zones = fc.integer({ min: -57599, max: 57599 }).map(zone => {
  const size = Math.abs(zone)
  return `${zone < 0 ? '-' : '+'}${pad(Math.floor(size / 3600), 2)}:${pad(Math.floor(size / 60) % 60, 2)}:${pad(size % 60, 2)}`
})
const EPOCH_MICROS = '(extract(epoch FROM v) * 1000000)::numeric(38,0) = x::numeric'
const EPOCH_MILLIS = 'floor(extract(epoch FROM v) * 1000)::numeric(38,0) = x::numeric'
const INSTANT = (type: string) => `'1970-01-01'::${type} + (x || ' microseconds')::interval`
const json = (_: unknown, text: string) => text
const JSON_ARRAY = 'to_jsonb(v) = x::jsonb'

const CASES: readonly Case[] = [
  { type: 'bool', texts: fc.constantFrom('true', 'false') },
  { type: 'int2', texts: integers(-32768n, 32767n) },
  { type: 'int4', texts: integers(-2147483648n, 2147483647n) },
  { type: 'int8', texts: integers(INT64.min, INT64.max) },
  { type: 'oid', texts: integers(0n, 4294967295n).map(text => text.replace('-', '')) },
  { type: 'float8', texts: doubles.map(number => (Object.is(number, -0) ? '-0' : String(number))) },
  { type: 'float4', texts: doubles.map(number => String(Math.fround(number))) },
  { type: 'text', texts: strings },
  { type: 'varchar', texts: strings },
  { type: 'bpchar', texts: strings },
  { type: 'char(12)', texts: strings.map(text => [...text].slice(0, 12).join('')) },
  { type: 'name', texts: fc.string({ maxLength: 60 }) },
  { type: '"char"', texts: fc.string({ maxLength: 1 }) },
  { type: 'citext', texts: strings },
  { type: 'mood', texts: fc.constantFrom('sad', 'so "so"', 'wéll, \\') },
  { type: 'json', texts: fc.json(), same: 'v::text = x' },
  { type: 'jsonb', texts: fc.json() },
  { type: 'uuid', texts: fc.uuid() },
  { type: 'bytea', texts: fc.uint8Array({ maxLength: 200 }).map(hex), shown: hex },
  {
    type: 'bytea',
    texts: fc.uint8Array().map(hex),
    options: { 'binary.handling.mode': 'hex' },
    same: "encode(v, 'hex') = x",
  },
  {
    type: 'bytea',
    texts: fc.uint8Array().map(hex),
    options: { 'binary.handling.mode': 'base64' },
    same: "encode(v, 'base64') = x",
  },
  {
    type: 'date',
    texts: days.map(String),
    made: "'1970-01-01'::date + x::int",
    same: "v = '1970-01-01'::date + x::int",
  },
  {
    type: 'date',
    texts: days.map(String),
    made: "'1970-01-01'::date + x::int",
    options: { 'time.precision.mode': 'isostring' },
    shown: value => eraOf(value).replace('Z', ''),
  },
  { type: 'time', texts: clock, same: EPOCH_MICROS },
  { type: 'time(2)', texts: clock, same: EPOCH_MILLIS },
  {
    type: 'time',
    texts: clock,
    options: { 'time.precision.mode': 'isostring' },
    same: "v = x::time OR v = '24:00' AND x::time = '0:0'",
  },
  {
    type: 'timetz',
    texts: fc.tuple(clock, zones).map(parts => parts.join('')),
    same: "(v AT TIME ZONE 'UTC')::time = x::time",
  },
  { type: 'timestamp', texts: instants.map(String), made: INSTANT('timestamp'), same: EPOCH_MICROS },
  { type: 'timestamp(2)', texts: instants.map(String), made: INSTANT('timestamp'), same: EPOCH_MILLIS },
  {
    type: 'timestamp',
    texts: instants.map(String),
    made: INSTANT('timestamp'),
    options: { 'time.precision.mode': 'connect' },
    same: EPOCH_MILLIS,
  },
  {
    type: 'timestamp',
    texts: instants.map(String),
    made: INSTANT('timestamp'),
    options: { 'time.precision.mode': 'isostring' },
    shown: eraOf,
  },
  { type: 'timestamptz', texts: instants.map(String), made: INSTANT('timestamptz'), shown: eraOf },
  { type: 'timestamptz(3)', texts: instants.map(String), made: INSTANT('timestamptz'), shown: eraOf },
  { type: 'interval', texts: spans, options: { 'interval.handling.mode': 'string' } },
  {
    type: 'interval',
    texts: spans,
    same: `x::numeric = (extract(year FROM v) * 12 + extract(month FROM v)) * 2629800000000
      + extract(day FROM v) * 86400000000 + extract(hour FROM v) * 3600000000 + extract(minute FROM v) * 60000000
      + extract(microseconds FROM v)`,
  },
  { type: 'numeric', texts: fc.oneof(decimals(40, 40), decimals(6, 3), decimals(1, 25), digits(30)), shown: plainOf },
  { type: 'numeric(10,2)', texts: decimals(8, 4), shown: plainOf },
  { type: 'numeric(30,9)', texts: decimals(21, 12), shown: plainOf },
  { type: 'numeric(6,6)', texts: digits(6).map(fraction => `0.${fraction}`), shown: plainOf },
  { type: 'numeric(30,0)', texts: digits(30), shown: plainOf },
  { type: 'numeric', texts: decimals(20, 10), options: { 'decimal.handling.mode': 'string' }, same: 'v::text = x' },
  {
    type: 'numeric',
    texts: decimals(20, 10),
    options: { 'decimal.handling.mode': 'double' },
    same: 'v::float8 = x::float8',
  },
  {
    type: 'money',
    texts: integers(INT64.min / 100n, INT64.max / 100n),
    shown: plainOf,
    same: 'v::numeric = x::numeric',
  },
  { type: 'bit(11)', texts: bitsOf(11, 11), shown: bitText, same: "ltrim(v::text, '0') = ltrim(x, '0')" },
  { type: 'varbit', texts: bitsOf(0, 70), shown: bitText, same: "ltrim(v::text, '0') = ltrim(x, '0')" },
  { type: 'inet', texts: network },
  { type: 'cidr', texts: network, made: 'network(x::inet)' },
  { type: 'macaddr', texts: octets(6) },
  { type: 'macaddr8', texts: octets(8) },
  { type: 'int4[]', texts: arrays(integers(-2147483648n, 2147483647n)), shown: json, same: JSON_ARRAY },
  { type: 'int8[]', texts: arrays(integers(INT64.min, INT64.max)), shown: json, same: JSON_ARRAY },
  {
    type: 'text[]',
    texts: arrays(fc.oneof(strings, fc.constantFrom('NULL', '', '{}', ','))),
    shown: json,
    same: JSON_ARRAY,
  },
  {
    type: 'text[][]',
    texts: arrays(strings, false).map(row => (row === '{}' ? row : `{${row},${row}}`)),
    shown: json,
    same: JSON_ARRAY,
  },
  { type: 'bool[]', texts: arrays(fc.constantFrom('t', 'f')), shown: json, same: JSON_ARRAY },
  { type: 'mood[]', texts: arrays(fc.constantFrom('sad', 'so "so"', 'wéll, \\')), shown: json, same: JSON_ARRAY },
  { type: 'uuid[]', texts: arrays(fc.uuid()), shown: json, same: JSON_ARRAY },
  ...['timestamptz', 'timestamp', 'date', 'timetz', 'time'].map(
    (type): Case => ({
      type: `${type}[]`,
      texts: arrays(
        fc
          .constantFrom('infinity', '-infinity', '2024-02-29 12:30', '0001-01-01 00:00:00.5')
          .map(text => (type.startsWith('timet') || type === 'time' ? '12:30:01.5' : text)),
      ),
      same: 'true',
    }),
  ),
  { type: 'numeric(10,2)[]', texts: arrays(fc.oneof(decimals(8, 2), fc.constant('NaN'))), same: 'true' },
  { type: 'float8[]', texts: arrays(doubles.map(String)), same: 'true' },
  { type: 'bytea[]', texts: arrays(fc.uint8Array().map(hex)), shown: json, same: 'true' },
  { type: 'inet[]', texts: arrays(network), same: 'true' },
  { type: 'varbit[]', texts: arrays(bitsOf(0, 20)), same: 'true' },
  { type: 'jsonb[]', texts: arrays(fc.json()), same: 'true' },
  {
    type: 'hstore',
    texts: pairs,
    same: 'v = x::hstore',
    options: { 'hstore.handling.mode': 'map' },
    shown: hstoreText,
  },
  { type: 'hstore', texts: pairs, same: 'hstore_to_jsonb(v) = x::jsonb' },
  {
    type: 'ltree',
    texts: fc.array(fc.constantFrom('a', 'b1', 'Top_x'), { maxLength: 5 }).map(labels => labels.join('.')),
  },
  {
    type: 'point',
    texts: fc.tuple(doubles, doubles).map(([x, y]) => `(${x},${y})`),
    shown: value => `(${(value as number[])[0]},${(value as number[])[1]})`,
    same: "v ~= x::point OR v::text LIKE '%NaN%'",
  },
]

describe('values of a real server', () => {
  let client: pg.Client
  let types: Types

  beforeAll(async () => {
    const server = await sharedPostgres()
    client = await typesClient(server.url(await server.createDatabase()))
    await client.query(
      `CREATE TYPE mood AS ENUM ('sad', 'so "so"', E'wéll, \\\\'); CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree`,
    )
    types = await typesOf(client)
  }, 120_000)
  afterAll(() => client?.end())

  test.each(CASES)('$type $options: text, binary and JSON say the same, and the server agrees', async one => {
    const { type, texts, made = `x::${type}`, options, shown = String, same = `v = x::${type}` } = one
    const table = `t${CASES.indexOf(one)}`
    await client.query(`CREATE TABLE ${table} (id int, v ${type})`)
    await client.query(`INSERT INTO ${table} SELECT id, ${made} FROM unnest($1::text[]) WITH ORDINALITY AS u (x, id)`, [
      fc.sample(texts, { seed: SEED, numRuns: COUNT }),
    ])
    const columns = await columnsOf(client, table)
    const codec = columnCodec(columns[1]!, types, typeOptions(options), silentLogger)!
    const back: string[] = []
    for (const row of await valuesOf(client, table, columns)) {
      const [first, ...others] = ways(codec, row[1]!)
      for (const other of others) expect(other).toBe(first)
      const text = Buffer.from(row[1]!.text!)
      back.push(shown(codec.valueOfText(text, 0, text.length), first!))
    }
    const { rows } = await client.query(
      `SELECT v, x FROM ${table} JOIN unnest($1::text[]) WITH ORDINALITY AS u (x, id) USING (id) WHERE NOT (${same}) LIMIT 3`,
      [back],
    )
    expect(rows).toEqual([])
  })
})
