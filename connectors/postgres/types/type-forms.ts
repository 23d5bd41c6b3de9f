import type { TypeInfo, Types } from '../table-info.ts'
import { arrayOf, vectorOf } from './arrays.ts'
import { bits } from './bits.ts'
import { bytea } from './bytea.ts'
import { numeric } from './decimals.ts'
import type { Form, TypeSettings } from './form.ts'
import { point, postgis } from './geometry.ts'
import { hstore } from './hstore.ts'
import { interval } from './intervals.ts'
import { money } from './money.ts'
import { address, hardwareAddress } from './network.ts'
import { boolean, float, integer } from './numbers.ts'
import { singleByte, text, uuid } from './text.ts'
import { date, time, timestamp, zonedTime, zonedTimestamp } from './times.ts'

/** Makes the form of a type for a type modifier (pg_attribute.atttypmod, -1 for none). */
type MakeForm = (modifier: number, settings: TypeSettings) => Form

/** OIDs of what is not part of the server itself begin here (FirstNormalObjectId). */
const FIRST_OF_USERS = 16384
const NESTING_MAX = 32

const TEXT: MakeForm = (_, settings) => text(settings, { binary: 'text', generated: '' })
const SHOWN: MakeForm = (_, settings) => text(settings, { binary: 'other' })
const JSON_NAME = 'io.debezium.data.Json'

/** The server's own types, by pg_type.typname. */
const BUILT_IN: ReadonlyMap<string, MakeForm> = new Map<string, MakeForm>([
  ['bool', boolean],
  ['int2', () => integer('INT16')],
  ['int4', () => integer('INT32')],
  ['int8', () => integer('INT64')],
  ['oid', () => integer('INT64', true)],
  ['float4', () => float('FLOAT32')],
  ['float8', () => float('FLOAT64')],
  ['numeric', numeric],
  ['money', (_, settings) => money(settings)],
  ['text', TEXT],
  ['varchar', TEXT],
  ['bpchar', TEXT],
  ['name', TEXT],
  ['char', (_, settings) => singleByte(settings)],
  ['json', (_, settings) => text(settings, { name: JSON_NAME, binary: 'text', generated: '{}' })],
  ['jsonb', (_, settings) => text(settings, { name: JSON_NAME, binary: 'versioned', generated: '{}' })],
  ['xml', (_, settings) => text(settings, { name: 'io.debezium.data.Xml', binary: 'other', generated: '' })],
  ['uuid', (_, settings) => uuid(settings)],
  ['bytea', (_, settings) => bytea(settings)],
  ['bit', bits],
  ['varbit', bits],
  ['date', (_, settings) => date(settings)],
  ['time', time],
  ['timetz', zonedTime],
  ['timestamp', timestamp],
  ['timestamptz', zonedTimestamp],
  ['interval', (_, settings) => interval(settings)],
  ['inet', (_, settings) => address(settings)],
  ['cidr', (_, settings) => address(settings)],
  ['macaddr', (_, settings) => hardwareAddress(settings)],
  ['macaddr8', (_, settings) => hardwareAddress(settings)],
  ['tsvector', (_, settings) => text(settings, { name: 'io.debezium.data.Tsvector', binary: 'other' })],
  ['int4range', SHOWN],
  ['int8range', SHOWN],
  ['numrange', SHOWN],
  ['tsrange', SHOWN],
  ['tstzrange', SHOWN],
  ['daterange', SHOWN],
  ['point', point],
  ['int2vector', () => vectorOf(integer('INT16'))],
  ['oidvector', () => vectorOf(integer('INT64', true))],
])

/** Types of extensions, which have no OID of their own, in whatever schema they are. */
const EXTENSIONS: ReadonlyMap<string, MakeForm> = new Map<string, MakeForm>([
  ['citext', TEXT],
  ['ltree', (_, settings) => text(settings, { name: 'io.debezium.data.Ltree', binary: 'versioned' })],
  ['hstore', (_, settings) => hstore(settings)],
  ['geometry', (_, settings) => postgis('Geometry', settings)],
  ['geography', (_, settings) => postgis('Geography', settings)],
  ...['isbn', 'isbn13', 'ismn', 'ismn13', 'issn', 'issn13', 'ean13', 'upc'].map((name): [string, MakeForm] => [
    name,
    SHOWN,
  ]),
])

/** Of arrays of these there are none with Debezium. */
const SCALAR_ONLY: ReadonlySet<string> = new Set(['interval', 'money', 'point'])

export interface TypeForm {
  readonly form: Form
  /** Debezium leaves columns of the type out. */
  readonly unknown: boolean
  /** Of the type that has no form of its own and is given as text; undefined for others. */
  readonly shownAsText: string | undefined
}

/** `dimensions` as declared, of an array. */
export function typeForm(
  oid: number,
  modifier: number,
  dimensions: number,
  types: Types,
  settings: TypeSettings,
  depth = 0,
): TypeForm {
  const type = types.get(oid)
  if (type === undefined || depth > NESTING_MAX) return asText(`with OID ${oid}`, settings)
  if (type.kind === 'd') return typeForm(type.baseOid, type.baseModifier, dimensions, types, settings, depth + 1)
  if (type.kind === 'e') return known(enumeration(type, settings))
  const make =
    oid < FIRST_OF_USERS ? BUILT_IN.get(type.name) : type.kind === 'b' ? EXTENSIONS.get(type.name) : undefined
  if (make !== undefined) return known(make(modifier, settings))
  if (type.elementOid === 0) return asText(`${type.schema}.${type.name}`, settings)
  const element = typeForm(type.elementOid, modifier, 1, types, settings, depth + 1)
  const elementType = types.get(type.elementOid)
  return {
    form: arrayOf(element.form, elementType?.delimiter ?? ',', dimensions, settings),
    unknown: element.unknown || SCALAR_ONLY.has(elementType?.name ?? ''),
    shownAsText: element.shownAsText,
  }
}

function known(form: Form): TypeForm {
  return { form, unknown: false, shownAsText: undefined }
}

function asText(name: string, settings: TypeSettings): TypeForm {
  return { form: SHOWN(-1, settings), unknown: true, shownAsText: name }
}

function enumeration({ labels }: TypeInfo, settings: TypeSettings): Form {
  return text(settings, {
    name: 'io.debezium.data.Enum',
    more: { parameters: { allowed: labels.join(',') } },
    binary: 'text',
    generated: labels[0] ?? '',
  })
}
