import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { checkServer } from '../../../connectors/postgres/checks.ts'
import { systemClock } from '../../../runtime/api/index.ts'
import { type PostgresServer, sharedPostgres } from '../../support/postgres.ts'
import { connectionsTo, slotOptions } from './server-harness.ts'
import { Connector } from './exactness-harness.ts'

describe('options of Debezium that change what is done at the server, or told of it', () => {
  let server: PostgresServer
  let connector: Connector | undefined
  beforeAll(async () => {
    server = await sharedPostgres()
  }, 120_000)
  afterEach(async () => {
    await connector?.close()
    connector = undefined
  })

  async function make(schema: string, settings: Record<string, unknown>): Promise<Connector> {
    connector = await Connector.make(server, schema, settings)
    return connector
  }

  async function identities(c: Connector): Promise<string[]> {
    const { rows } = await c.sql(
      "SELECT relname || ':' || relreplident::text AS is FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace ORDER BY 1",
    )
    return rows.map(row => row.is)
  }

  test('replica.identity.autoset.values: captured tables and their partitions get it before they are published, later ones too', async () => {
    const c = await make(
      `CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, k int NOT NULL); CREATE UNIQUE INDEX b_k ON b (k);
       CREATE TABLE other (id int PRIMARY KEY); CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
       CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)`,
      {
        'replica.identity.autoset.values': ['public.(a|p|later):full', 'PUBLIC.B:INDEX b_k', 'public.other:FULL'],
        'table.exclude.list': ['public.other'],
        'publish.via.partition.root': true,
      },
    )
    await c.open()
    expect(await identities(c)).toEqual(['a:f', 'b:i', 'other:d', 'p1:f', 'p:f'].sort())
    await c.caughtUp(['a', 'b', 'p'])
    await c.sql("INSERT INTO a VALUES (1, 'x'); UPDATE a SET v = 'y'; CREATE TABLE later (id int)")
    await c.caughtUp(['a', 'b', 'p', 'later'])
    expect(c.events('a').at(-1)).toMatchObject({ op: 'u', before: { id: 1, v: 'x' } })
    expect(await identities(c)).toContain('later:f')
  })

  test('replica.identity.autoset.values: a table that is not ours is named with the statement', async () => {
    const c = await make(
      'CREATE TABLE a (id int PRIMARY KEY); CREATE ROLE reads_identities LOGIN REPLICATION; GRANT SELECT ON a TO reads_identities; CREATE PUBLICATION hand FOR TABLE a',
      {
        'database.user': 'reads_identities',
        'publication.name': 'hand',
        'publication.autocreate.mode': 'disabled',
        'replica.identity.autoset.values': ['public.a:FULL'],
      },
    )
    await expect(c.open()).rejects.toThrow(
      /replica\.identity\.autoset\.values: ALTER TABLE ONLY "public"\."a" REPLICA IDENTITY FULL: must be owner/,
    )
    const options = slotOptions({ 'replica.identity.autoset.values': ['public.(a|keyless):FULL'] })
    await c.sql('CREATE TABLE keyless (id int)')
    const problems = async (role: string) => {
      const connections = connectionsTo(server, c.database, { 'database.user': role })
      const found = await checkServer(connections, { ...options, 'snapshot.mode': 'initial' }, systemClock)
      return found.filter(({ message }) => /identity/.test(message))
    }
    expect(await problems('postgres')).toEqual([])
    expect((await problems('reads_identities')).map(({ sql }) => sql)).toEqual([
      [
        'ALTER TABLE ONLY "public"."a" REPLICA IDENTITY FULL;',
        'ALTER TABLE ONLY "public"."keyless" REPLICA IDENTITY FULL;',
      ],
    ])
  })

  test('skip.messages.without.change: an update that changes none of the told columns is left out under REPLICA IDENTITY FULL', async () => {
    const c = await make(
      `CREATE TABLE t (id int PRIMARY KEY, v text, hidden int); ALTER TABLE t REPLICA IDENTITY FULL;
       CREATE TABLE d (id int PRIMARY KEY, v text)`,
      { 'skip.messages.without.change': true, 'column.exclude.list': ['public.t.hidden'] },
    )
    await c.open()
    await c.caughtUp(['t', 'd'])
    const large = "repeat(md5('a') || md5('b'), 200000)"
    await c.sql(
      `ALTER TABLE t ALTER v SET STORAGE EXTERNAL; INSERT INTO t VALUES (1, ${large}, 1), (2, NULL, 1); INSERT INTO d VALUES (1, 'a')`,
    )
    await c.sql('UPDATE t SET hidden = 2; UPDATE d SET v = v')
    await c.sql('UPDATE t SET id = 3 WHERE id = 2')
    await c.sql("UPDATE t SET v = 'b' WHERE id = 3")
    await c.caughtUp()
    expect(c.events('t').map(({ op, after, before }) => [op, (after ?? before)!.id])).toEqual([
      ['c', 1],
      ['c', 2],
      ['d', 2],
      ['c', 3],
      ['u', 3],
    ])
    // Nobody knows what was there before.
    expect(c.events('d').map(({ op }) => op)).toEqual(['c', 'u'])
  })

  test('guardrail.collections.max: more tables are warned of, or stop the connector before it reads anything', async () => {
    const c = await make('CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)', {
      'guardrail.collections.max': 1,
      'guardrail.collections.limit.action': 'fail',
    })
    await expect(c.open()).rejects.toThrow(/guardrail\.collections\.max: expected at most 1 captured tables, got 2/)
    c.settings = { 'guardrail.collections.max': 1 }
    await c.open()
    await c.caughtUp(['a', 'b'])
    expect(c.logged.filter(({ level }) => level === 'warn').map(({ message }) => message)).toContainEqual(
      expect.stringMatching(/expected at most 1 captured tables, got 2/),
    )
  })

  test('database.initial.statements: begin each connection, and cannot change how values are read', async () => {
    const database = await server.createDatabase()
    const connections = connectionsTo(server, database, {
      'database.initial.statements':
        "SET work_mem = '7MB' ; SET datestyle = 'SQL, DMY'; SET application_name = 'a;;b';; ",
    })
    const client = await connections.regular()
    const { rows } = await client.query(
      "SELECT current_setting('work_mem') AS mem, current_setting('datestyle') AS style, current_setting('application_name') AS name",
    )
    await client.end()
    expect(rows[0]).toEqual({ mem: '7MB', style: 'ISO, DMY', name: 'a;b' })
    const wrong = connectionsTo(server, database, { 'database.initial.statements': 'SET ROLE nobody_is_called_so' })
    await expect(wrong.regular()).rejects.toThrow(
      /database\.initial\.statements: role "nobody_is_called_so" does not exist/,
    )
  })

  test('slot.stream.params: binary=true says the same events, over a restart, and falls back for good where a type has no binary form', async () => {
    const schema = `CREATE TABLE t (id int PRIMARY KEY, n numeric, at timestamptz, v text);
      INSERT INTO t SELECT i, i / 7.0, '2024-01-01'::timestamptz + i * interval '1 second', 'row ' || i FROM generate_series(1, 50) i`
    const told = async (c: Connector) => {
      await c.open()
      await c.caughtUp(['t'])
      await c.sql(
        "INSERT INTO t VALUES (100, 'NaN', 'infinity', NULL); UPDATE t SET v = 'x' WHERE id < 5; DELETE FROM t WHERE id = 7",
      )
      await c.restart()
      await c.sql('UPDATE t SET n = 1e100 WHERE id = 100')
      await c.caughtUp()
      return c.events('t').map(({ op, before, after }) => [op, before, after])
    }
    const binary = await make(schema, { 'slot.stream.params': 'binary=true' })
    const events = await told(binary)
    expect(binary.position!.binary).not.toBe(false)
    await binary.sql(
      "CREATE TYPE pair AS (a int, b text); CREATE TABLE odd (id int PRIMARY KEY, p pair); INSERT INTO odd VALUES (1, (1, 'b'))",
    )
    await binary.caughtUp(['odd']).catch(async () => {
      await binary.restart()
      await binary.caughtUp(['odd'])
    })
    expect(binary.events('odd').map(({ after }) => after)).toEqual([{ id: 1, p: '(1,b)' }])
    await binary.close()
    expect(await told(await make(schema, {}))).toEqual(events)
  })
})
