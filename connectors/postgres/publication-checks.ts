import type pg from 'pg'
import { capturedTables, type TableName } from './catalog.ts'
import { error, named, type Problem, warning } from './problem.ts'
import { missingTables, only, type PublicationState, publicationAddition, publicationState } from './publication.ts'
import { quoted } from './slot.ts'
import type { SlotOptions } from './slot-options.ts'
import type { TableFilter } from './table-filter.ts'

interface Role {
  readonly role: string
  readonly superuser: boolean
}

/** What is wrong with the publication, or in the way of making it. */
export async function publicationProblems(
  client: pg.Client,
  options: SlotOptions,
  filter: TableFilter,
  role: Role,
): Promise<Problem[]> {
  const viaRoot = options['publish.via.partition.root']
  const tables = await capturedTables(client, filter, { viaRoot })
  if (tables.length === 0)
    return [
      error(
        'expected tables that schema.include.list and table.include.list match (regular expressions for the whole name schema.table), got none; check the lists and database.dbname',
      ),
    ]
  const state = await publicationState(client, options['publication.name'])
  return state === undefined
    ? missingProblems(client, options, filter, tables, role)
    : stateProblems(client, options, filter, state, tables, role)
}

async function missingProblems(
  client: pg.Client,
  options: SlotOptions,
  filter: TableFilter,
  tables: readonly TableName[],
  { role, superuser }: Role,
): Promise<Problem[]> {
  const name = options['publication.name']
  const root = options['publish.via.partition.root'] ? ' WITH (publish_via_partition_root = true)' : ''
  switch (options['publication.autocreate.mode']) {
    case 'disabled': {
      const what = filter.capturesAll ? 'ALL TABLES' : `TABLE ${tables.map(only).join(', ')}`
      const sql = `CREATE PUBLICATION ${quoted(name)} FOR ${what}${root};`
      return [error(`expected publication ${name}, since publication.autocreate.mode is disabled; there is none`, sql)]
    }
    case 'all_tables':
      if (superuser) return []
      return [
        error(
          `publication ${name} would be made FOR ALL TABLES, which needs a superuser, and role ${role} is none: let one make it, or set publication.autocreate.mode to filtered`,
          `CREATE PUBLICATION ${quoted(name)} FOR ALL TABLES${root};`,
        ),
      ]
    case 'no_tables':
      return createProblems(client, name, role)
    case 'filtered':
      return [
        ...(await createProblems(client, name, role)),
        ...(await ownerProblems(
          client,
          tables,
          role,
          `CREATE PUBLICATION ${quoted(name)} FOR TABLE ${tables.map(only).join(', ')}${root};`,
        )),
      ]
  }
}

async function createProblems(client: pg.Client, publication: string, role: string): Promise<Problem[]> {
  const { rows } = await client.query<{ may: boolean; database: string }>(
    `SELECT has_database_privilege(current_database(), 'CREATE') AS may, current_database() AS database`,
  )
  const { may, database } = rows[0]!
  if (may) return []
  return [
    error(
      `expected role ${role} to have CREATE on database ${database}, to make publication ${publication}`,
      `GRANT CREATE ON DATABASE ${quoted(database)} TO ${quoted(role)};`,
    ),
  ]
}

/** Nobody is told to give away the rights of a superuser: such a one runs `instead`. */
async function ownerProblems(
  client: pg.Client,
  tables: readonly TableName[],
  role: string,
  instead: string,
): Promise<Problem[]> {
  const { rows } = await client.query<{ owner: string; superuser: boolean; tables: string[] }>(
    `SELECT pg_get_userbyid(c.relowner)::text AS owner,
       (SELECT r.rolsuper FROM pg_roles r WHERE r.oid = c.relowner) AS superuser, array_agg(c.oid::regclass::text ORDER BY 1) AS tables
     FROM pg_class c WHERE c.oid = ANY ($1::oid[]) AND NOT pg_has_role(current_user, c.relowner, 'USAGE')
     GROUP BY c.relowner ORDER BY 1`,
    [tables.map(table => table.oid)],
  )
  return rows.map(({ owner, superuser, tables: theirs }) =>
    error(
      `expected role ${role} to own the tables that go into the publication, got ${named(theirs)} of role ${owner}; or let the owner make the publication, and set publication.autocreate.mode to disabled`,
      superuser ? instead : `GRANT ${quoted(owner)} TO ${quoted(role)};`,
    ),
  )
}

async function stateProblems(
  client: pg.Client,
  options: SlotOptions,
  filter: TableFilter,
  state: PublicationState,
  tables: readonly TableName[],
  { role, superuser }: Role,
): Promise<Problem[]> {
  const name = options['publication.name']
  const viaRoot = options['publish.via.partition.root']
  const owns = superuser || (await isMember(client, state.owner))
  const fits = options['publication.autocreate.mode'] === 'filtered'
  const problems: Problem[] = []
  if (state.viaRoot !== viaRoot && !(fits && owns))
    problems.push(
      warning(
        `publish.via.partition.root is ${viaRoot}, and publication ${name} says ${state.viaRoot}, which counts`,
        `ALTER PUBLICATION ${quoted(name)} SET (publish_via_partition_root = ${viaRoot});`,
      ),
    )
  const leftOut = state.leavesOut.filter(kind => kind !== 'truncate')
  if (leftOut.length > 0)
    problems.push(
      warning(
        `publication ${name} leaves out ${leftOut.join(' and ')}: they do not come`,
        `ALTER PUBLICATION ${quoted(name)} SET (publish = 'insert, update, delete, truncate');`,
      ),
    )
  const missing = state.allTables ? [] : await missingTables(client, name, viaRoot, filter)
  if (missing.length === 0) return problems
  const sql = `${publicationAddition(name, missing)};`
  if (fits && owns) return [...problems, ...(await ownerProblems(client, missing, role, sql))]
  const what = `publication ${name} does not tell of ${named(missing.map(t => `${t.schema}.${t.table}`))}, which the lists match`
  problems.push(missing.length === tables.length || fits ? error(what, sql) : warning(what, sql))
  return problems
}

async function isMember(client: pg.Client, owner: string): Promise<boolean> {
  const { rows } = await client.query<{ is: boolean }>(`SELECT pg_has_role(current_user, $1::name, 'USAGE') AS is`, [
    owner,
  ])
  return rows[0]!.is
}
