import pg from 'pg'
import { JsonBytes } from '../../../connectors/postgres/json-bytes.ts'
import type { ColumnCodec } from '../../../connectors/postgres/column-codec.ts'
import type { ColumnInfo, TypeInfo, Types } from '../../../connectors/postgres/table-info.ts'
import { TYPE_OPTIONS } from '../../../connectors/postgres/type-options.ts'
import { jsonOf, type OptionValues, parseJson, type Schema } from '../../../runtime/api/index.ts'

export type TypeOptions = OptionValues<typeof TYPE_OPTIONS>

/** A type of the server's own, without number and name. */
export const BASE_TYPE: TypeInfo = {
  oid: 0,
  schema: 'pg_catalog',
  name: '',
  kind: 'b',
  elementOid: 0,
  baseOid: 0,
  baseModifier: -1,
  rangeOid: 0,
  labels: [],
  delimiter: ',',
}

export function typeOptions(settings: Partial<TypeOptions> = {}): TypeOptions {
  const defaults = Object.entries(TYPE_OPTIONS).map(([name, spec]) => [name, spec.default])
  return { ...(Object.fromEntries(defaults) as TypeOptions), ...settings }
}

/** A connection with the settings that the codecs rely on, whose results are the server's text as it is. */
export async function typesClient(url: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    types: { getTypeParser: () => (value: string) => value } as unknown as pg.CustomTypesConfig,
  })
  await client.connect()
  await client.query(
    "SET client_encoding = 'UTF8'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; SET extra_float_digits = 3; SET bytea_output = 'hex'",
  )
  return client
}

export async function typesOf(client: pg.Client): Promise<Types> {
  const { rows } = await client.query(`
    SELECT t.oid, nspname, typname, typtype, typdelim, typbasetype, typtypmod,
      CASE WHEN typsubscript = 'array_subscript_handler'::regproc OR typname IN ('int2vector', 'oidvector') THEN typelem ELSE 0 END AS element,
      coalesce(rngtypid, 0) AS range,
      (SELECT json_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid) AS labels
    FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace LEFT JOIN pg_range ON rngmultitypid = t.oid`)
  return new Map(
    rows.map((row): [number, TypeInfo] => [
      Number(row.oid),
      {
        oid: Number(row.oid),
        schema: row.nspname,
        name: row.typname,
        kind: row.typtype,
        elementOid: Number(row.element),
        baseOid: Number(row.typbasetype),
        baseModifier: Number(row.typtypmod),
        rangeOid: Number(row.range),
        labels: JSON.parse(row.labels ?? '[]') as string[],
        delimiter: row.typdelim,
      },
    ]),
  )
}

/** Column, and the SQL that makes its binary form. */
export interface ServerColumn extends ColumnInfo {
  readonly send: string
}

export async function columnsOf(client: pg.Client, table: string): Promise<ServerColumn[]> {
  const { rows } = await client.query(
    `SELECT attname, atttypid, atttypmod, attnotnull OR (typtype = 'd' AND typnotnull) AS notnull, attndims, attidentity,
      attgenerated, pg_get_expr(adbin, adrelid) AS preset, typsend::regproc AS send, quote_ident(attname) AS quoted
    FROM pg_attribute JOIN pg_type t ON t.oid = atttypid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    [table],
  )
  return rows.map(row => ({
    name: row.attname,
    typeOid: Number(row.atttypid),
    typeModifier: Number(row.atttypmod),
    notNull: row.notnull === 't',
    dimensions: Number(row.attndims),
    default: row.attgenerated === '' ? (row.preset ?? undefined) : undefined,
    generated: row.attgenerated === 's' ? 'stored' : undefined,
    identity: row.attidentity !== '',
    send: row.send === '-' ? 'NULL' : `${row.send}(${row.quoted})`,
  }))
}

export interface ServerValue {
  readonly text: string | null
  readonly binary: Buffer | null
}

/** Of each row, each column in both of the server's forms. */
export async function valuesOf(client: pg.Client, table: string, columns: readonly ServerColumn[], order = '1') {
  const { rows } = await client.query({
    text: `SELECT ${columns.map(({ name }) => pg.escapeIdentifier(name)).join(', ')}, ${columns.map(({ send }) => send).join(', ')} FROM ${table} ORDER BY ${order}`,
    rowMode: 'array',
  })
  return (rows as (string | null)[][]).map(row =>
    columns.map((_, i): ServerValue => {
      const binary = row[columns.length + i] ?? null
      return { text: row[i] ?? null, binary: binary === null ? null : Buffer.from(binary.slice(2), 'hex') }
    }),
  )
}

/** What the four ways of a codec say of a value, each as JSON text. */
export function ways(codec: ColumnCodec, { text, binary }: ServerValue): string[] {
  if (text === null) return ['null']
  const padded = Buffer.from(`<${text}>`)
  const end = padded.length - 1
  const into = new JsonBytes(64)
  const value = codec.valueOfText(padded, 1, end)
  const written = [jsonOf(codec.schema, value)]
  codec.writeText(padded, 1, end, into)
  written.push(into.bytes.toString('utf8', 0, into.length))
  if (codec.valueOfBinary === undefined || codec.writeBinary === undefined || binary === null) return written
  const behind = Buffer.concat([Buffer.from([255]), binary, Buffer.from([255])])
  written.push(jsonOf(codec.schema, codec.valueOfBinary(behind, 1, behind.length - 1)))
  into.length = 0
  codec.writeBinary(behind, 1, behind.length - 1, into)
  written.push(into.bytes.toString('utf8', 0, into.length))
  return written
}

/** As Connect's JSON converter writes a schema, without `field`. */
export function schemaJson(schema: Schema): Record<string, unknown> {
  const { type, optional, name, version, doc, parameters, fields, keySchema, valueSchema } = schema
  const types: Record<string, string> = { FLOAT32: 'float', FLOAT64: 'double' }
  return {
    type: types[type] ?? type.toLowerCase(),
    optional,
    ...(fields && { fields: fields.map(field => ({ ...schemaJson(field.schema), field: field.name })) }),
    ...(type === 'ARRAY' && valueSchema && { items: schemaJson(valueSchema) }),
    ...(keySchema && valueSchema && { keys: schemaJson(keySchema), values: schemaJson(valueSchema) }),
    ...(name !== undefined && { name }),
    ...(version !== undefined && { version }),
    ...(doc !== undefined && { doc }),
    ...(parameters && { parameters }),
    ...(schema.default !== undefined && { default: parseJson(jsonOf(schema, schema.default)) }),
  }
}
