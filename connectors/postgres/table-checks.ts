import type pg from 'pg'
import { capturedTables } from './catalog.ts'
import { named, type Problem } from './problem.ts'
import { publicationState } from './publication.ts'
import { identitySql, type KeylessTable, keylessTables } from './replica-identity.ts'
import { type PendingIdentity, pendingIdentities } from './replica-identity-rules.ts'
import { quoted } from './slot.ts'
import type { SlotOptions } from './slot-options.ts'
import type { TableFilter } from './table-filter.ts'

/** A captured table, or a partition of one, which holds its rows. */
interface Row {
  schema: string
  table: string
  usage: boolean
  select: boolean
  policy: boolean
}

/** What is wrong with the captured tables: rights to read them, policies that hide rows, and the key of old rows. */
export async function tableProblems(
  client: pg.Client,
  options: SlotOptions,
  filter: TableFilter,
  role: string,
): Promise<Problem[]> {
  const tables = await capturedTables(client, filter, { viaRoot: options['publish.via.partition.root'] })
  if (tables.length === 0) return []
  const { rows } = await client.query<Row>(
    `SELECT n.nspname AS schema, c.relname AS table,
       has_schema_privilege(n.oid, 'USAGE') AS usage,
       has_table_privilege(c.oid, 'SELECT') AS select, row_security_active(c.oid) AS policy
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = ANY ($1::oid[])
       OR c.oid IN (SELECT t.relid FROM unnest($1::oid[]) r(oid), LATERAL pg_partition_tree(r.oid::regclass) t)
     ORDER BY 1, 2`,
    [tables.map(table => table.oid)],
  )
  const pending = await pendingIdentities(client, options, filter)
  return [
    ...rightsProblems(rows, role),
    ...ownerProblems(pending, role),
    ...policyProblems(rows, role),
    ...(await identityProblems(
      client,
      options,
      tables.map(table => table.oid),
      pending,
    )),
  ]
}

function rightsProblems(rows: readonly Row[], role: string): Problem[] {
  const schemas = [...new Set(rows.filter(row => !row.usage).map(row => row.schema))]
  const problems: Problem[] = schemas.map(schema => ({
    severity: 'error',
    message: `expected role ${role} to have USAGE on schema ${schema}, for snapshots`,
    sql: [`GRANT USAGE ON SCHEMA ${quoted(schema)} TO ${quoted(role)};`],
  }))
  const unread = rows.filter(row => !row.select)
  if (unread.length > 0)
    problems.push({
      severity: 'error',
      message: `expected role ${role} to have SELECT on the captured tables, for snapshots; it lacks that on ${named(unread.map(plain))}`,
      sql: [`GRANT SELECT ON ${unread.map(name).join(', ')} TO ${quoted(role)};`],
    })
  return problems
}

function policyProblems(rows: readonly Row[], role: string): Problem[] {
  const hidden = rows.filter(row => row.policy)
  if (hidden.length === 0) return []
  return [
    {
      severity: 'error',
      message: `row level security hides rows of ${named(hidden.map(plain))} from role ${role}: a snapshot would miss them (the stream has them), so it is refused`,
      sql: [`ALTER ROLE ${quoted(role)} BYPASSRLS;`],
    },
  ]
}

function ownerProblems(pending: readonly PendingIdentity[], role: string): Problem[] {
  const others = pending.filter(({ owned }) => !owned)
  if (others.length === 0) return []
  return [
    {
      severity: 'error',
      message: `expected role ${role} to own ${named(others.map(plain))}, whose replica identity is to be another (replica.identity.autoset.values); or its owner alters it`,
      sql: others.map(({ sql }) => `${sql};`),
    },
  ]
}

async function identityProblems(
  client: pg.Client,
  options: SlotOptions,
  oids: readonly number[],
  pending: readonly PendingIdentity[],
): Promise<Problem[]> {
  // Those that get one at the start are no problem.
  const isPending = (table: KeylessTable) => pending.some(other => other.identifies && name(other) === name(table))
  const keyless = (await keylessTables(client, oids)).filter(table => !isPending(table))
  if (keyless.length === 0) return []
  const published = (await publicationState(client, options['publication.name'])) !== undefined
  const what = `no replica identity (no primary key, or REPLICA IDENTITY NOTHING): ${named(keyless.map(plain))}; the server refuses UPDATE and DELETE of a table in a publication without one`
  return [
    {
      // Making the publication would break the application; one that is there has done so already.
      severity: published ? 'warning' : 'error',
      message: `${what}. Give them a primary key, leave them out (table.exclude.list), or let the whole old row be written to the log`,
      sql: keyless.map(identitySql),
    },
  ]
}

function name({ schema, table }: KeylessTable): string {
  return `${quoted(schema)}.${quoted(table)}`
}

function plain({ schema, table }: KeylessTable): string {
  return `${schema}.${table}`
}
