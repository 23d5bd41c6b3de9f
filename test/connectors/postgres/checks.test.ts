import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { alterProblems, type CheckedOptions, checkServer } from '../../../connectors/postgres/checks.ts'
import { type Problem, tellProblems } from '../../../connectors/postgres/problem.ts'
import { errorMessage, systemClock } from '../../../runtime/api/index.ts'
import { type PostgresServer, startPostgres } from '../../support/postgres.ts'
import { recordingLogger } from '../../support/recording-logger.ts'
import { connectionsTo, slotOptions } from './server-harness.ts'

const ROLES = `
CREATE ROLE small LOGIN; CREATE ROLE owner; CREATE ROLE capture LOGIN REPLICATION;
`

/** What a check by `role` of `capture` finds, by the beginning of its message. */
async function check(
  server: PostgresServer,
  database: string,
  given: Partial<CheckedOptions> = {},
  role = 'postgres',
): Promise<readonly Problem[]> {
  const ours = {
    'slot.name': 'kts',
    'publication.name': 'Pub',
    'publication.autocreate.mode': 'filtered',
    ...given,
  } as const
  const options = { 'snapshot.mode': 'initial', ...slotOptions(ours), ...given } as const
  return checkServer(connectionsTo(server, database, { 'database.user': role }), options, systemClock)
}

const errors = (problems: readonly Problem[]) => problems.filter(problem => problem.severity === 'error')
const messages = (problems: readonly Problem[]) => problems.map(problem => `${problem.severity}: ${problem.message}`)

it('validate --connect warns of servers that leave out changes around ALTER PUBLICATION, where it is altered', () => {
  const told = (version: number, mode: 'all_tables' | 'filtered' = 'filtered') =>
    messages(alterProblems({ 'publication.autocreate.mode': mode }, version))
  for (const version of [140_017, 150_012, 160_008, 170_004]) {
    expect(told(version)).toEqual([expect.stringMatching(/^warning: publication\.autocreate\.mode is filtered/)])
    expect(told(version + 1)).toEqual([])
    expect(told(version, 'all_tables')).toEqual([])
  }
  expect(told(170_004)[0]).toContain('expected PostgreSQL 17.5 or later, got 17.4')
  expect(told(180_000)).toEqual([])
})

describe.each([15, 17] as const)('validate --connect against PostgreSQL %i', version => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres({ version, settings: { max_slot_wal_keep_size: '1GB' } })
    await server.run(ROLES)
  }, 60_000)
  afterAll(() => server?.close())

  /** The problem is there; the SQL that it names is run by a superuser; then it is gone, and nothing new has come. */
  async function mends(
    script: string,
    expected: RegExp,
    given: Partial<CheckedOptions> = {},
    role = 'postgres',
    undo = '',
  ): Promise<void> {
    const database = await server.createDatabase()
    await server.run(script, database)
    const before = await check(server, database, given, role)
    const found = before.filter(problem => expected.test(`${problem.severity}: ${problem.message}`))
    expect(found, messages(before).join('\n')).toHaveLength(1)
    expect(found[0]!.sql.length).toBeGreaterThan(0)
    await server.run(found[0]!.sql.join('\n'), database)
    const after = messages(await check(server, database, given, role))
    expect(after.filter(message => !messages(before).includes(message))).toEqual([])
    expect(after.filter(message => expected.test(message))).toEqual([])
    await server.run(undo, database)
  }

  it('finds nothing where all is well, before and after the connector has run', async () => {
    const database = await server.createDatabase()
    await server.run('CREATE TABLE a (id int PRIMARY KEY)', database)
    expect(await check(server, database)).toEqual([])
    await server.run(
      `CREATE PUBLICATION "Pub" FOR TABLE a; SELECT pg_create_logical_replication_slot('kts', 'pgoutput')`,
      database,
    )
    expect(await check(server, database)).toEqual([])
    expect(await check(server, database, { 'publication.autocreate.mode': 'disabled' })).toEqual([])
    await server.run(`SELECT pg_drop_replication_slot('kts')`, database)
  })

  it('a slot that is dropped at each stop, where the next start cannot do without', async () => {
    const database = await server.createDatabase()
    await server.run('CREATE TABLE a (id int PRIMARY KEY)', database)
    const told = async (mode: CheckedOptions['snapshot.mode']) =>
      messages(await check(server, database, { 'slot.drop.on.stop': true, 'snapshot.mode': mode }))
    expect(await told('when_needed')).toEqual([])
    for (const mode of ['initial', 'always', 'no_data'] as const)
      expect(await told(mode)).toEqual([
        expect.stringMatching(`^warning: slot.drop.on.stop: expected snapshot.mode when_needed, got ${mode}`),
      ])
  })

  it('REPLICATION that the role lacks', () =>
    mends(
      'CREATE TABLE a (id int PRIMARY KEY); ALTER TABLE a OWNER TO small',
      /attribute REPLICATION/,
      {},
      'small',
      'ALTER ROLE small NOREPLICATION',
    ))

  it('SELECT and USAGE that it lacks', async () => {
    const tables = `CREATE SCHEMA "S s"; CREATE TABLE "S s"."T ""t" (id int PRIMARY KEY); CREATE TABLE "S s".p (id int PRIMARY KEY) PARTITION BY RANGE (id);
      CREATE TABLE "S s".p1 PARTITION OF "S s".p FOR VALUES FROM (0) TO (9);`
    await mends(tables, /error: .*SELECT on the captured tables.*S s\.T "t/, {}, 'capture')
    await mends(tables, /error: .*USAGE on schema S s/, {}, 'capture')
  })

  it('rights to make the publication that it lacks', async () => {
    const table = 'CREATE TABLE a (id int PRIMARY KEY); ALTER TABLE a OWNER TO owner; GRANT SELECT ON a TO capture;'
    await mends(table, /error: .*CREATE on database/, {}, 'capture')
    await mends(table, /error: .*to own the tables .* a of role owner/, {}, 'capture', 'REVOKE owner FROM capture')
    const superusers = 'CREATE TABLE a (id int PRIMARY KEY); GRANT SELECT ON a TO capture;'
    await mends(superusers, /error: .*to own the tables .* a of role postgres/, {}, 'capture')
    await mends(
      table,
      /error: .*FOR ALL TABLES, which needs a superuser/,
      { 'publication.autocreate.mode': 'all_tables' },
      'capture',
    )
    await mends(
      table,
      /error: expected publication Pub, .*disabled/,
      { 'publication.autocreate.mode': 'disabled' },
      'capture',
    )
    const mode = 'disabled' as const
    const database = await server.createDatabase()
    await server.run(table, database)
    const sqlFor = async (list: string[]) =>
      (await check(server, database, { 'publication.autocreate.mode': mode, 'table.include.list': list }))[0]?.sql
    expect(await sqlFor([])).toEqual(['CREATE PUBLICATION "Pub" FOR ALL TABLES;'])
    expect(await sqlFor(['public.a'])).toEqual(['CREATE PUBLICATION "Pub" FOR TABLE ONLY "public"."a";'])
  })

  it('a publication that does not fit', async () => {
    const tables = 'CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);'
    const off = { 'publication.autocreate.mode': 'disabled' } as const
    await mends(`${tables} CREATE PUBLICATION "Pub"`, /error: publication Pub does not tell of public.a, public.b/, off)
    await mends(
      `${tables} CREATE PUBLICATION "Pub" FOR TABLE a`,
      /warning: publication Pub does not tell of public.b/,
      off,
    )
    await mends(
      `${tables} CREATE PUBLICATION "Pub" FOR TABLE a`,
      /error: publication Pub does not tell of public.b/,
      {},
      'capture',
    )
    await mends(
      `${tables} CREATE PUBLICATION "Pub" FOR ALL TABLES WITH (publish = 'insert')`,
      /warning: .*leaves out update and delete/,
    )
    await mends(`${tables} CREATE PUBLICATION "Pub" FOR TABLE a, b`, /warning: publish.via.partition.root/, {
      ...off,
      'publish.via.partition.root': true,
    })
  })

  it('tables without a key: before they are published, and after', async () => {
    const tables = `CREATE TABLE a (id int); CREATE TABLE b (id int PRIMARY KEY); ALTER TABLE b REPLICA IDENTITY NOTHING;
      CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9);
      CREATE TABLE late (id int PRIMARY KEY DEFERRABLE);`
    const named = 'no replica identity .*: public.a, public.b, public.late, public.p1;'
    await mends(tables, new RegExp(`^error: ${named}`))
    await mends(tables, new RegExp(`^error: ${named}`), { 'publish.via.partition.root': true })
    await mends(`${tables} CREATE PUBLICATION "Pub" FOR ALL TABLES`, new RegExp(`^warning: ${named}`))
  })

  it('row level security that would hide rows', () =>
    mends(
      'CREATE TABLE a (id int PRIMARY KEY); ALTER TABLE a ENABLE ROW LEVEL SECURITY; GRANT SELECT ON a TO capture',
      /error: row level security hides rows of public.a/,
      {},
      'capture',
      'ALTER ROLE capture NOBYPASSRLS',
    ))

  it('a slot of that name that is another, and slots that nobody reads', async () => {
    const table = 'CREATE TABLE a (id int PRIMARY KEY);'
    const made = (name: string, plugin: string) => `SELECT pg_create_logical_replication_slot('${name}', '${plugin}');`
    const others = await server.createDatabase()
    await server.run(`${table} ${made('kts', 'test_decoding')}`, others)
    expect(await check(server, others)).toEqual([
      {
        severity: 'error',
        message: expect.stringMatching(
          /^slot kts: expected a logical slot with the plugin pgoutput, got test_decoding/,
        ),
        sql: [],
      },
    ])
    await server.run(`SELECT pg_drop_replication_slot('kts')`, others)
    const switches = 'INSERT INTO a SELECT count(*) FROM a; SELECT pg_switch_wal();'.repeat(18)
    await mends(
      `${table} ${made('orphan', 'pgoutput')} ${switches}`,
      /warning: slot orphan is read by nobody and makes the server keep 2\d\d\.\d MiB/,
    )
  })

  it('a database that takes any bytes', async () => {
    const database = await server.createDatabase()
    await server.query(`CREATE DATABASE "${database}_ascii" ENCODING SQL_ASCII LOCALE 'C' TEMPLATE template0`)
    await server.run('CREATE TABLE a (id int PRIMARY KEY)', `${database}_ascii`)
    const found = messages(await check(server, `${database}_ascii`))
    expect(found).toEqual([expect.stringMatching(/^warning: the encoding of the database is SQL_ASCII/)])
  })

  it('lists that match nothing', async () => {
    const database = await server.createDatabase()
    const found = await check(server, database, { 'table.include.list': ['public.nothing'] })
    expect(messages(found)).toEqual([expect.stringMatching(/^error: expected tables that .*table\.include\.list/)])
  })

  it('tells all that is wrong at once, each with its SQL, and warnings in the log', async () => {
    const database = await server.createDatabase()
    await server.run('CREATE TABLE a (id int); ALTER TABLE a OWNER TO owner', database)
    const problems = [
      ...(await check(server, database, {}, 'small')),
      { severity: 'warning', message: 'look out', sql: [] } as const,
    ]
    const log = recordingLogger()
    let refused: unknown
    try {
      tellProblems(problems, 'db:5432/shop', log)
    } catch (error) {
      refused = error
    }
    expect(refused).toMatchObject({ code: 'CONFIG_INVALID' })
    const lines = errorMessage(refused).split('\n')
    expect(lines[0]).toBe(`PostgreSQL at db:5432/shop: ${errors(problems).length} things are missing:`)
    const sql = lines.filter(line => line.startsWith('    ')).map(line => /\w+ \w+/.exec(line)?.[0])
    expect(sql).toEqual(expect.arrayContaining(['ALTER ROLE', 'GRANT CREATE', 'GRANT SELECT', 'ALTER TABLE']))
    expect(log.lines.map(line => line.message)).toEqual(['look out'])
  })
})

describe('settings of the server that need a restart or a reload', () => {
  it('wal_level, slots that are all in use, and an unlimited max_slot_wal_keep_size', async () => {
    const server = await startPostgres({ settings: { max_replication_slots: '1', wal_level: 'logical' } })
    try {
      await server.run(`CREATE TABLE a (id int PRIMARY KEY); SELECT pg_create_physical_replication_slot('other')`)
      await server.run(`ALTER SYSTEM SET wal_level = 'replica'`)
      await server.stop('fast')
      await server.start()
      const found = await check(server, 'postgres')
      expect(messages(found)).toEqual([
        expect.stringMatching(/^error: expected wal_level logical, got replica/),
        expect.stringMatching(/^warning: max_slot_wal_keep_size is unlimited/),
        expect.stringMatching(/^error: expected a free replication slot for kts, got 1 of .* \(other\)/),
      ])
      await server.run(found.flatMap(problem => problem.sql).join('\n'))
      await server.stop('fast')
      await server.start()
      expect(await check(server, 'postgres')).toEqual([])
    } finally {
      await server.close()
    }
  }, 60_000)

  it('a replication connection that is refused, by trying: no WAL sender is free', async () => {
    const server = await startPostgres({ settings: { max_wal_senders: '0', max_slot_wal_keep_size: '1GB' } })
    try {
      await server.run('CREATE TABLE a (id int PRIMARY KEY)')
      const found = messages(await check(server, 'postgres'))
      expect(found).toEqual([expect.stringMatching(/^error: expected a replication connection: .*max_wal_senders/)])
    } finally {
      await server.close()
    }
  }, 60_000)
})
