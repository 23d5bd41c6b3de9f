import pg from 'pg'
import type { Lsn } from '../../../connectors/postgres/lsn.ts'
import type { PostgresServer } from '../../support/postgres.ts'

/** A value as its text (or its bytes as hex); null; undefined where it was not sent. */
export type Row = Readonly<Record<string, string | null | undefined>>

export interface Told {
  readonly table: string
  readonly op: 'c' | 'u' | 'd' | 'r' | 't'
  readonly mark: string
  readonly row: Row
  readonly old: Row | undefined
  readonly commit: Lsn
}

export async function connectTo(server: PostgresServer, database: string, replication = false): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: server.url(database),
    ...(replication ? { replication: 'database' } : { options: '-c TimeZone=UTC -c extra_float_digits=1' }),
  } as pg.ClientConfig)
  client.on('error', () => undefined)
  await client.connect()
  return client
}

/** Every row as JSON, from the last that was told of each key; a value that was not sent keeps the earlier one. */
export function rebuild(told: readonly Told[], table: string, key: readonly string[]): string[] {
  const rows = new Map<string, Row>()
  const keyOf = (row: Row) => JSON.stringify(key.map(name => row[name]))
  for (const event of told) {
    if (event.table !== table) continue
    if (event.op === 't') rows.clear()
    else if (event.op === 'd') rows.delete(keyOf(event.old!))
    else {
      const before = rows.get(
        keyOf(event.old === undefined || !key.every(name => name in event.old!) ? event.row : event.old),
      )
      const row = Object.fromEntries(
        Object.entries(event.row).map(([name, value]) => [
          name,
          value === undefined ? (before?.[name] ?? '(never told)') : value,
        ]),
      )
      if (event.old !== undefined) rows.delete(keyOf(event.old))
      rows.set(keyOf(row), row)
    }
  }
  return [...rows.values()].map(row => JSON.stringify(row)).sort()
}

/** What was told of keys in a version older than one told before, or of rows that were gone: nothing, if all is well. */
export function goneBack(told: readonly Told[], table: string, key: readonly string[], version: string): string[] {
  const number = (row: Row) => Number(row[version]!)
  const keyOf = (row: Row) => JSON.stringify(key.map(name => row[name]))
  const newest = new Map<string, { version: number; isGone: boolean }>()
  const wrong: string[] = []
  for (const { op, row, old } of told.filter(event => event.table === table)) {
    if (op === 't') for (const state of newest.values()) state.isGone = true
    const before = old === undefined ? undefined : newest.get(keyOf(old))
    if (before !== undefined) before.isGone = true
    if (op === 't' || op === 'd') continue
    const known = newest.get(keyOf(row))
    const isOld =
      known !== undefined && (number(row) < known.version || (number(row) === known.version && known.isGone))
    if (isOld) wrong.push(`${op} ${keyOf(row)}: ${number(row)} after ${known.version}${known.isGone ? ', gone' : ''}`)
    newest.set(keyOf(row), { version: number(row), isGone: false })
  }
  return wrong
}

/** The table itself, in the same form. */
export async function realRows(server: PostgresServer, database: string, table: string): Promise<string[]> {
  const client = await connectTo(server, database)
  const columns = await client.query(
    `SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum`,
    [table],
  )
  const names = columns.rows.map(row => row.attname as string)
  const list = names.map(name => `"${name.replaceAll('"', '""')}"::text`).join()
  const { rows } = await client.query({ text: `SELECT ${list} FROM ${table}`, rowMode: 'array' })
  await client.end()
  return (rows as (string | null)[][])
    .map(row => JSON.stringify(Object.fromEntries(row.map((value, i) => [names[i], value]))))
    .sort()
}
