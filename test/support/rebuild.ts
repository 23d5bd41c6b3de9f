import pg from 'pg'
import { type JsonObject, type JsonValue, stringifyJson } from '../../base/index.ts'
import { hstoreText, serverText } from './event-values.ts'
import { type ChangeEvent, isObject } from './golden-events.ts'
import type { PostgresServer } from './postgres.ts'

interface Column {
  readonly name: string
  /** As format_type says it. */
  readonly type: string
  readonly isKey: boolean
}

/**
 * Rebuilds a table from the events of its topic and holds it against the real one, column by column, by the server's own
 * text of both; answers a line per difference. `except`: columns that the events cannot give back, by `table.column`.
 */
export async function compareRebuilt(
  server: PostgresServer,
  database: string,
  table: { readonly schema: string; readonly name: string },
  events: readonly ChangeEvent[],
  except: ReadonlyMap<string, string>,
): Promise<readonly string[]> {
  const client = new pg.Client({ connectionString: server.url(database) })
  await client.connect()
  try {
    const { rows: columns } = await client.query<Column>(COLUMNS, [table.schema, table.name])
    const wanted = columns.filter(({ name }) => !except.has(`${table.name}.${name}`))
    const key = columns.filter(({ isKey }) => isKey).map(({ name }) => name)
    const rows = lastRows(events, key)
    const lines: string[] = []
    for (const column of wanted) {
      const rebuilt = await rebuiltColumn(client, column, key, columns, rows)
      const real = await realColumn(client, table, column, key)
      for (const [id, value] of real) {
        if (!rebuilt.has(id)) lines.push(`${table.name} ${id} did not come`)
        else if (rebuilt.get(id) !== value)
          lines.push(
            `${table.name}.${column.name} (${column.type}) of ${id} is ${rebuilt.get(id)}, and should be ${value}`,
          )
      }
      for (const id of rebuilt.keys()) if (!real.has(id)) lines.push(`${table.name} ${id} should not be there`)
    }
    return lines
  } finally {
    await client.end()
  }
}

const COLUMNS = `SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
  coalesce(a.attnum = ANY (i.indkey), false) AS "isKey"
  FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
  WHERE a.attrelid = format('%I.%I', $1::text, $2::text)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  ORDER BY a.attnum`

interface Row {
  readonly values: JsonObject
  readonly fields: ReadonlyMap<string, JsonObject>
}

/** The last row of each key; without one every row that came, which stands for a table that is only added to. */
function lastRows(events: readonly ChangeEvent[], key: readonly string[]): readonly Row[] {
  const rows = new Map<string, Row>()
  for (const [i, { value, valueSchema }] of events.entries()) {
    if (!isObject(value)) continue
    const { before, after, op } = value
    const id = (row: JsonValue | undefined) =>
      key.length === 0 || !isObject(row) ? String(i) : stringifyJson(key.map(name => row[name] ?? null))
    if (op === 'd') rows.delete(id(before))
    else if (isObject(after)) rows.set(id(after), { values: after, fields: fieldsOf(valueSchema) })
  }
  return [...rows.values()]
}

function fieldsOf(schema: JsonValue): ReadonlyMap<string, JsonObject> {
  const members = isObject(schema) ? (schema.fields as readonly JsonObject[]) : []
  const after = members.find(({ field }) => field === 'after')
  const fields = (after?.fields ?? []) as readonly JsonObject[]
  return new Map(fields.map(field => [String(field.field), field]))
}

/** By key, the text that the server makes of what the events say. */
async function rebuiltColumn(
  client: pg.Client,
  column: Column,
  key: readonly string[],
  columns: readonly Column[],
  rows: readonly Row[],
): Promise<Map<string, string | null>> {
  const texts = rows.map(({ values, fields }) => {
    const schema = fields.get(column.name)
    const value = values[column.name]
    if (schema === undefined || value === undefined) return 'nothing came'
    if (column.type === 'hstore' && typeof value === 'string') return hstoreText(value)
    if (column.type === 'hstore[]' && Array.isArray(value))
      return serverText(
        (value as readonly (string | null)[]).map(one => (one === null ? null : hstoreText(one))),
        schema,
      )
    if (column.type === 'int2vector' && Array.isArray(value)) return value.join(' ')
    if (column.type.startsWith('bit') && typeof value === 'boolean') return value ? '1' : '0'
    return serverText(value, schema)
  })
  const ids = await idsOf(client, key, columns, rows)
  const sql = `SELECT ${shownAs(column.type, `v::${column.type}`)} AS text FROM unnest($1::text[]) WITH ORDINALITY AS u(v, n) ORDER BY n`
  try {
    const result = await client.query<{ text: string | null }>(sql, [texts])
    return numbered(
      ids,
      result.rows.map(({ text }) => text),
    )
  } catch (error) {
    throw new Error(`${column.name} (${column.type}): ${String(error)}; of ${JSON.stringify(texts).slice(0, 1000)}`)
  }
}

/** Keys as the server writes them; rows without a key by their number. */
async function idsOf(client: pg.Client, key: readonly string[], columns: readonly Column[], rows: readonly Row[]) {
  if (key.length === 0) return rows.map((_, i) => String(i))
  const parts: (string | null)[][] = []
  for (const name of key) {
    const { type } = columns.find(column => column.name === name)!
    const texts = rows.map(({ values, fields }) => serverText(values[name]!, fields.get(name)!))
    const sql = `SELECT v::${type}::text AS text FROM unnest($1::text[]) WITH ORDINALITY AS u(v, n) ORDER BY n`
    parts.push((await client.query<{ text: string }>(sql, [texts])).rows.map(({ text }) => text))
  }
  return rows.map((_, i) => parts.map(part => part[i]).join('/'))
}

async function realColumn(
  client: pg.Client,
  { schema, name }: { readonly schema: string; readonly name: string },
  column: Column,
  key: readonly string[],
): Promise<Map<string, string | null>> {
  const id = key.length === 0 ? "''" : key.map(one => `${pg.escapeIdentifier(one)}::text`).join(` || '/' || `)
  const shown = shownAs(column.type, pg.escapeIdentifier(column.name))
  const from = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`
  const { rows } = await client.query(`SELECT ${id} AS id, ${shown} AS text FROM ${from} ORDER BY ctid`)
  return numbered(
    key.length === 0 ? rows.map((_, i) => String(i)) : rows.map(row => row.id),
    rows.map(row => row.text),
  )
}

function numbered(ids: readonly string[], texts: readonly (string | null)[]): Map<string, string | null> {
  return new Map(ids.map((id, i) => [id, texts[i] ?? null]))
}

/** As far as the events say it: a time comes in UTC, bits without those in front that are 0, XML without declaration. */
function shownAs(type: string, expression: string): string {
  if (/^time.* with time zone$/.test(type)) return `(${expression} AT TIME ZONE 'UTC')::text`
  if (type.startsWith('bit varying') && !type.endsWith('[]')) return `ltrim((${expression})::text, '0')`
  if (type === 'xml') return `regexp_replace((${expression})::text, '^<\\?xml version="1.0"\\?>', '')`
  return `(${expression})::text`
}
