import type pg from 'pg'
import { errorCode, KtsError, type Logger } from '../../runtime/api/index.ts'
import { capturedTables, type TableName } from './catalog.ts'
import { PUBLISHED_SQL } from './catalog-sql.ts'
import { named } from './problem.ts'
import { identitySql, keylessTables } from './replica-identity.ts'
import { serverError } from './server-error.ts'
import { literal, quoted } from './slot.ts'
import type { SlotOptions } from './slot-options.ts'
import type { TableFilter } from './table-filter.ts'

/** COMMENT ON PUBLICATION of one that we made, so that `delete` drops no one else's. */
export const MADE_HERE = 'made by kts-connect'

export type PublicationOptions = Pick<
  SlotOptions,
  'publication.name' | 'publication.autocreate.mode' | 'publish.via.partition.root'
>

export interface PublicationState {
  readonly oid: number
  readonly allTables: boolean
  readonly viaRoot: boolean
  readonly owner: string
  readonly madeHere: boolean
  /** Which of insert, update, delete, truncate it leaves out. */
  readonly leavesOut: readonly string[]
}

/** Undefined when there is none of that name. */
export async function publicationState(client: pg.Client, name: string): Promise<PublicationState | undefined> {
  const { rows } = await client.query<PublicationState>(
    `SELECT p.oid, p.puballtables AS "allTables", p.pubviaroot AS "viaRoot", pg_get_userbyid(p.pubowner)::text AS owner,
       COALESCE(obj_description(p.oid, 'pg_publication') = $2, false) AS "madeHere",
       array_remove(ARRAY[CASE WHEN NOT p.pubinsert THEN 'insert' END, CASE WHEN NOT p.pubupdate THEN 'update' END,
         CASE WHEN NOT p.pubdelete THEN 'delete' END, CASE WHEN NOT p.pubtruncate THEN 'truncate' END], NULL) AS "leavesOut"
     FROM pg_publication p WHERE p.pubname = $1`,
    [name, MADE_HERE],
  )
  return rows[0]
}

/**
 * Makes the publication, or fits it to the lists, as `publication.autocreate.mode` says. Comes before the slot is made: a
 * slot that is older than its publication cannot be read (before PostgreSQL 18). Call it again now and then in mode
 * `filtered`, and new tables that the lists match are told of from then on. Column lists and row filters stay as they are.
 * Answers the tables that were added to one that was there. Rejects with CONFIG_INVALID and the SQL that an owner may run.
 */
export async function ensurePublication(
  client: pg.Client,
  options: PublicationOptions,
  filter: TableFilter,
  log: Logger,
): Promise<readonly TableName[]> {
  const name = options['publication.name']
  const state = await publicationState(client, name)
  if (state === undefined) {
    const statements = await creation(client, options, filter)
    await apply(client, name, statements)
    log.info({ publication: name }, `made publication ${name} (${options['publication.autocreate.mode']})`)
    await warnOfKeyless(client, name, log)
    return []
  }
  return options['publication.autocreate.mode'] === 'filtered' ? fitted(client, options, filter, state, log) : []
}

/** The SQL that makes it. Throws CONFIG_INVALID where the mode makes none. */
export async function creation(
  client: pg.Client,
  options: PublicationOptions,
  filter: TableFilter,
): Promise<readonly string[]> {
  const name = options['publication.name']
  const make = (tables: string) => [
    `CREATE PUBLICATION ${quoted(name)}${tables}${options['publish.via.partition.root'] ? ' WITH (publish_via_partition_root = true)' : ''}`,
    `COMMENT ON PUBLICATION ${quoted(name)} IS ${literal(MADE_HERE)}`,
  ]
  switch (options['publication.autocreate.mode']) {
    case 'all_tables':
      return make(' FOR ALL TABLES')
    case 'no_tables':
      return make('')
    case 'filtered': {
      const tables = await capturedTables(client, filter, { viaRoot: options['publish.via.partition.root'] })
      if (tables.length === 0)
        throw new KtsError(
          'CONFIG_INVALID',
          `publication ${name}: expected tables that schema.include.list and table.include.list match (names are schema.table), got none; check the lists`,
        )
      return make(` FOR TABLE ${sorted(tables).map(only).join(', ')}`)
    }
    case 'disabled':
      throw new KtsError(
        'CONFIG_INVALID',
        `publication ${name}: expected it to be there, since publication.autocreate.mode is disabled; run CREATE PUBLICATION ${quoted(name)} FOR TABLE …; or set the mode to filtered`,
      )
  }
}

async function fitted(
  client: pg.Client,
  options: PublicationOptions,
  filter: TableFilter,
  state: PublicationState,
  log: Logger,
): Promise<readonly TableName[]> {
  const name = options['publication.name']
  const viaRoot = options['publish.via.partition.root']
  const statements: string[] = []
  if (state.viaRoot !== viaRoot)
    statements.push(`ALTER PUBLICATION ${quoted(name)} SET (publish_via_partition_root = ${viaRoot})`)
  const missing = state.allTables ? [] : await missingTables(client, name, viaRoot, filter)
  if (missing.length > 0) statements.push(publicationAddition(name, missing))
  // Of a publication that is not ours others may read as well.
  const left = state.madeHere && !state.allTables ? await leftTables(client, state, filter) : []
  const dropped = `ALTER PUBLICATION ${quoted(name)} DROP TABLE ${left.map(only).join(', ')}`
  if (left.length > 0) statements.push(dropped)
  if (statements.length === 0) return []
  await apply(client, name, statements)
  log.info({ publication: name }, `fitted publication ${name}: ${statements.join('; ')}`)
  if (missing.length > 0) await warnOfKeyless(client, name, log)
  return missing
}

/** What the application would otherwise learn from its own errors. */
async function warnOfKeyless(client: pg.Client, name: string, log: Logger): Promise<void> {
  const { rows } = await client.query<{ oid: number }>(PUBLISHED_SQL, [name])
  const keyless = await keylessTables(
    client,
    rows.map(row => row.oid),
  )
  if (keyless.length === 0) return
  const tables = named(keyless.map(({ schema, table }) => `${schema}.${table}`))
  log.warn(
    { publication: name },
    `publication ${name} tells of tables without a replica identity, and the server refuses UPDATE and DELETE of those now: ${tables}; give them a primary key, or run ${keyless.map(identitySql).join(' ')}`,
  )
}

/** Those that the lists match and the publication does not tell of, by themselves or by a partitioned table above. */
export async function missingTables(
  client: pg.Client,
  name: string,
  viaRoot: boolean,
  filter: TableFilter,
): Promise<TableName[]> {
  const wanted = await capturedTables(client, filter, { viaRoot })
  const members = await client.query<{ oid: number }>(
    `SELECT DISTINCT t.relid::oid AS oid FROM pg_publication_tables p
     JOIN pg_namespace n ON n.nspname = p.schemaname
     JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
     CROSS JOIN LATERAL (SELECT c.oid AS relid UNION SELECT relid FROM pg_partition_tree(c.oid)
       UNION SELECT relid FROM pg_partition_ancestors(c.oid) WHERE $2) t
     WHERE p.pubname = $1`,
    [name, viaRoot],
  )
  const told = new Set(members.rows.map(row => row.oid))
  return sorted(wanted.filter(table => !told.has(table.oid)))
}

/** Members of our own publication that the lists match no longer. A partitioned table stays while a leaf of it matches. */
async function leftTables(client: pg.Client, state: PublicationState, filter: TableFilter): Promise<TableName[]> {
  const { rows } = await client.query<TableName & { names: string[][] }>(
    `SELECT c.oid, n.nspname AS schema, c.relname AS table,
       (SELECT json_agg(json_build_array(tn.nspname, tc.relname)) FROM pg_class tc JOIN pg_namespace tn ON tn.oid = tc.relnamespace
         WHERE tc.oid = c.oid OR tc.oid IN (SELECT relid FROM pg_partition_tree(c.oid))) AS names
     FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE r.prpubid = $1`,
    [state.oid],
  )
  return sorted(rows.filter(row => !row.names.some(([schema, table]) => filter.captures(schema!, table!))))
}

/** All of it or nothing. */
async function apply(client: pg.Client, name: string, statements: readonly string[]): Promise<void> {
  try {
    await client.query('BEGIN')
    for (const statement of statements) await client.query(statement)
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {})
    // Another connector was quicker.
    if (errorCode(error) === '42710')
      throw new KtsError('RETRIABLE', `publication ${name}: made by someone else just now`, { cause: error })
    const told = serverError(error, `publication ${name}`)
    if (errorCode(error) !== '42501') throw told
    const sql = statements.map(statement => `${statement};`).join(' ')
    throw new KtsError(
      'CONFIG_INVALID',
      `${told.message}; let an owner of the tables (FOR ALL TABLES: a superuser) run ${sql} or set publication.autocreate.mode to disabled`,
      { cause: error },
    )
  }
}

/** The SQL, without a semicolon. */
export function publicationAddition(name: string, tables: readonly TableName[]): string {
  return `ALTER PUBLICATION ${quoted(name)} ADD TABLE ${tables.map(only).join(', ')}`
}

/** ONLY: children by inheritance are captured by their own names. */
export function only({ schema, table }: TableName): string {
  return `ONLY ${quoted(schema)}.${quoted(table)}`
}

function sorted<T extends TableName>(tables: readonly T[]): T[] {
  const name = (table: T) => `${table.schema}.${table.table}`
  return [...tables].sort((a, b) => (name(a) < name(b) ? -1 : 1))
}
