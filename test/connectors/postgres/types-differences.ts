import type { JsonObject, JsonValue } from '../../../runtime/api/index.ts'
import type { TypeOptions } from './types-harness.ts'

/** A column of a table: its schema, undefined where Debezium leaves it out, and its values, row by row. */
export interface FieldOfTable {
  readonly schema: JsonObject | undefined
  readonly values: readonly JsonValue[]
}

/**
 * What a field is with us on purpose, given what it is with Debezium; docs/debezium-differences.md says the same in
 * prose.
 */
export function adjustedField(field: string, options: TypeOptions, debezium: FieldOfTable): FieldOfTable {
  const adjust = DIFFERENCES[field] ?? (AS_TEXT[field] && asText(field))
  const values = debezium.values.map(value => otherwise(value, OTHER_VALUES))
  if (adjust === undefined) return { ...debezium, values }
  return adjust({ ...debezium, values }, options)
}

/**
 * Infinite dates, which overflow there, and infinite timestamps as ISO text; timestamps past 64 bits, which turn negative.
 */
const OTHER_VALUES: ReadonlyMap<JsonValue, JsonValue> = new Map<JsonValue, JsonValue>([
  [-2147472692, 2147483647],
  [-2147472691, -2147483648],
  ['-5877611-06-21Z', 'infinity'],
  ['-5877611-06-22Z', '-infinity'],
  ['+294247-01-10T04:00:25.2Z', 'infinity'],
  ['-290308-12-21T19:59:27.6Z', '-infinity'],
  [-9223372036853775810n, 9223372036854775807n],
  [-9223372036853776809n, 9223372036854775807n],
])

/** The dates of an array come there as those of a snapshot. */
const OTHER_DATES: ReadonlyMap<JsonValue, JsonValue> = new Map<JsonValue, JsonValue>([
  [-622191234, 2147483647],
  [-625821272, -2147483648],
  [-719162, -719528],
  ['+292278994-08-16Z', 'infinity'],
  ['+292269055-12-02Z', '-infinity'],
  ['0001-01-01Z', '0000-01-01Z'],
])

function otherwise(value: JsonValue, others: ReadonlyMap<JsonValue, JsonValue>): JsonValue {
  if (Array.isArray(value)) return value.map(element => otherwise(element as JsonValue, others))
  return others.get(value) ?? value
}

/** Types that it leaves out, or gives as base64 of another text: the server's text. */
const AS_TEXT: Readonly<Record<string, readonly JsonValue[]>> = {
  'unknown_type_table.tsq': ["'fat' & 'rat'", null],
  'not_null_table.cbox': ['(1,1),(0,0)', '(0,0),(0,0)'],
  'not_null_table.ccircle': ['<(0,0),1>', '<(0,0),0>'],
  'not_null_table.cline': ['{1,2,3}', '{1,0,0}'],
  'not_null_table.clseg': ['[(0,0),(1,1)]', '[(0,0),(0,0)]'],
  'not_null_table.cpath': ['((0,0),(1,1))', '[(0,0)]'],
  'not_null_table.cpolygon': ['((0,0),(1,1),(1,0))', '((0,0))'],
  'enum_domain_table.cmp': ['("Main ""st""",5)', null, '(,)'],
  'geom_types_table.l': ['{1,2,3}', null, null, null],
  'geom_types_table.ls': ['[(0,0),(1,1)]', null, null, null],
  'geom_types_table.b': ['(1,1),(0,0)', null, null, null],
  'geom_types_table.pa': ['[(0,0),(1,1)]', null, null, null],
  'geom_types_table.po': ['((0,0),(1,1),(1,0))', null, null, null],
  'geom_types_table.c': ['<(0,0),5>', null, null, null],
  'misc_table.tsq': ["'fat' & 'cat'", null],
  'misc_table.lsn': ['16/B374D848', null],
  'misc_table.snap': ['10:20:10,14,15', null],
  'misc_table.jp': ['$."a"[*]?(@ > 1)', null],
  'misc_table.x': ['123', null],
  'misc_table.x8': ['1234567890123', null],
  'misc_table.rc': ['pg_class', null],
  'misc_table.i4mr': ['{[1,3),[5,7)}', null],
}

function asText(field: string): Adjust {
  const schema = { type: 'string', optional: !field.startsWith('not_null') }
  return () => ({ schema, values: AS_TEXT[field]! })
}

type Adjust = (debezium: FieldOfTable, options: TypeOptions) => FieldOfTable

/** One row's value replaced. */
function value(index: number, by: (options: TypeOptions) => JsonValue): Adjust {
  return ({ schema, values }, options) => ({ schema, values: values.with(index, by(options)) })
}

function arrayOf(items: JsonObject, values: readonly JsonValue[]): FieldOfTable {
  return { schema: { type: 'array', optional: true, items }, values }
}

const byDecimals =
  (precise: JsonValue, double: JsonValue, string: JsonValue) =>
  (options: TypeOptions): JsonValue =>
    ({ precise, double, string })[options['decimal.handling.mode']]

const INT = { type: 'int32', optional: true }
const STRING = { type: 'string', optional: true }
const ENUM = { ...STRING, name: 'io.debezium.data.Enum', version: 1, parameters: { allowed: 'sad,ok,happy day' } }
const BITS = { type: 'bytes', optional: true, name: 'io.debezium.data.Bits', version: 1, parameters: { length: '3' } }
const DECIMAL = { type: 'bytes', optional: true, name: 'org.apache.kafka.connect.data.Decimal', version: 1 }
const POINT = {
  type: 'struct',
  optional: true,
  name: 'io.debezium.data.geometry.Point',
  version: 1,
  doc: 'Geometry (POINT)',
  fields: [
    { type: 'double', optional: false, field: 'x' },
    { type: 'double', optional: false, field: 'y' },
    { type: 'bytes', optional: true, field: 'wkb' },
    { type: 'int32', optional: true, field: 'srid' },
  ],
}

const DIFFERENCES: Readonly<Record<string, Adjust>> = {
  // An element that is NULL, or that the form cannot say, does not make the whole array null.
  'array_table.numeric_array': value(2, byDecimals([null, 'kg==', null], [null, -1.1, 'NaN'], [null, '-1.10', 'NAN'])),
  'array_table.varnumeric_array': value(
    2,
    byDecimals(
      [null, null, { scale: 0, value: 'DJ8snNBGdO3qQAAAAA==' }, { scale: 30, value: 'AQ==' }],
      [null, 'NaN', 1e30, 1e-30],
      [null, 'NAN', '1000000000000000000000000000000', '0.000000000000000000000000000001'],
    ),
  ),
  'arrays2_table.vna': value(
    0,
    byDecimals(
      [{ scale: 1, value: 'Dw==' }, null, { scale: 0, value: '/Q==' }],
      [1.5, 'NaN', -3],
      ['1.50', 'NAN', '-3'],
    ),
  ),
  'numeric_special_table.na': ({ schema, values }, options) => ({
    schema,
    values: [
      byDecimals([null], ['NaN'], ['NAN'])(options),
      byDecimals([null, { scale: 0, value: 'AQ==' }], ['Infinity', 1], ['POSITIVE_INFINITY', '1'])(options),
      ...values.slice(2),
    ],
  }),
  'custom_table.lt_array': value(1, () => [null]),
  'enum_domain_table.ma': ({ values }) => arrayOf(ENUM, values.with(0, ['sad', null, 'happy day'])),
  'array_table.date_array': ({ schema, values }) => ({ schema, values: values.map(v => otherwise(v, OTHER_DATES)) }),
  // Microseconds and 24:00 stay what they are in an array, too.
  'arrays2_table.ta': value(0, options => {
    const times: Partial<Record<TypeOptions['time.precision.mode'], JsonValue>> = {
      connect: [43200000, 86400000],
      isostring: ['12:00:00.000001Z', '00:00:00Z'],
      nanoseconds: [43200000001000, 86400000000000],
    }
    return times[options['time.precision.mode']] ?? [43200000001, 86400000000]
  }),
  // Arrays are nested, and arrays of everything are arrays.
  'arrays2_table.int2d': ({ values }) =>
    arrayOf(
      { type: 'array', optional: true, items: INT },
      values.with(0, [
        [1, 2],
        [3, 4],
      ]),
    ),
  'arrays2_table.text2d': ({ values }) =>
    arrayOf(
      { type: 'array', optional: true, items: STRING },
      values.with(0, [
        ['a', 'b'],
        ['c', null],
      ]),
    ),
  'arrays2_table.iva': (_, options) =>
    options['interval.handling.mode'] === 'string'
      ? arrayOf({ ...STRING, name: 'io.debezium.time.Interval', version: 1 }, [
          ['P0Y0M1DT0H0M0S', 'P1Y0M0DT0H0M0S'],
          [],
          null,
        ])
      : arrayOf({ type: 'int64', optional: true, name: 'io.debezium.time.MicroDuration', version: 1 }, [
          [86400000000, 31557600000000],
          [],
          null,
        ]),
  'arrays2_table.mna': (_, options) =>
    arrayOf(
      byDecimals(
        { ...DECIMAL, parameters: { scale: '2' } },
        { type: 'double', optional: true },
        STRING,
      )(options) as JsonObject,
      [byDecimals(['ew=='], [1.23], ['1.23'])(options), [], null],
    ),
  'arrays2_table.pta': () =>
    arrayOf(POINT, [[{ x: 1, y: 2, wkb: 'AQEAAAAAAAAAAADwPwAAAAAAAABA', srid: null }], [], null]),
  'enum_domain_table.cmpa': () => arrayOf(STRING, [['(a,1)'], null, [null]]),
  'misc_table.bita': () => arrayOf(BITS, [['BQ==', null], null]),
  'misc_table.iv': value(0, () => [1, 2, 3]),
  // name has its value in the stream, too.
  'misc_table.nm': value(0, () => 'some_name'),
  // The keys of hstore are in the server's order, not in that of Java's hashes.
  'hstore_table.hs': (debezium, options) =>
    options['hstore.handling.mode'] === 'map'
      ? debezium
      : value(2, () => '{"a":null,"ž":"","b c":"d\\"e\\\\"}')(debezium, options),
  'hstore_table_mul.hsarr': (debezium, options) =>
    options['hstore.handling.mode'] === 'map'
      ? debezium
      : value(0, () => ['{"key4":"val4","key5":null}', '{"key6":"val6"}'])(debezium, options),
  'hstore_table_with_special.hs': (debezium, options) =>
    options['hstore.handling.mode'] === 'map'
      ? debezium
      : value(0, () => '{"key 2":" ##123 78","key_#1":"val 1"}')(debezium, options),
  // A negative scale, which it misreads as 2046.
  'numeric2_table.nneg': ({ schema, values }, options) => ({
    schema:
      options['decimal.handling.mode'] === 'precise'
        ? { ...DECIMAL, parameters: { scale: '0', 'connect.decimal.precision': '7' } }
        : schema,
    values: byDecimals(
      ['Etao', 'nA==', null, 'AA=='],
      [...values],
      ['1234600', '-100', null, '0'],
    )(options) as readonly JsonValue[],
  }),
}
