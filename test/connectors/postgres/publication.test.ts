import type pg from 'pg'
import { describe, expect, it } from 'vitest'
import { closeClient } from '../../../connectors/postgres/connection.ts'
import { ensurePublication, publicationState } from '../../../connectors/postgres/publication.ts'
import type { SlotOptions } from '../../../connectors/postgres/slot-options.ts'
import { TableFilter } from '../../../connectors/postgres/table-filter.ts'
import { silentLogger, systemClock } from '../../../runtime/api/index.ts'
import { type PostgresServer, sharedPostgres } from '../../support/postgres.ts'
import { recordingLogger } from '../../support/recording-logger.ts'
import { connectionsTo, slotOptions } from './server-harness.ts'

const TABLES = `
CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE child () INHERITS (a);
CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (0) TO (10);
CREATE SCHEMA "we.ird"; CREATE TABLE "we.ird"."ta""b'le; DROP" (id int PRIMARY KEY);
`

interface Bench {
  readonly client: pg.Client
  readonly server: PostgresServer
  readonly database: string
  ensure(given: Partial<SlotOptions>): Promise<string[]>
  /** Names of the tables that the publication tells of. */
  told(name?: string): Promise<string[]>
}

async function onTables(version: 14 | 15 | 17, use: (bench: Bench) => Promise<void>, user = 'postgres'): Promise<void> {
  const server = await sharedPostgres(version)
  const database = await server.createDatabase()
  await server.run(TABLES, database)
  const client = await connectionsTo(server, database, { 'database.user': user }).regular()
  const ensure = async (given: Partial<SlotOptions>) => {
    const options = slotOptions({ 'publication.name': 'Pub "1"', 'publication.autocreate.mode': 'filtered', ...given })
    return (await ensurePublication(client, options, new TableFilter(options), silentLogger)).map(added => added.table)
  }
  const told = async (name = 'Pub "1"') => {
    const sql = 'SELECT tablename::text AS t FROM pg_publication_tables WHERE pubname = $1 ORDER BY 1'
    return (await client.query<{ t: string }>(sql, [name])).rows.map(row => row.t)
  }
  try {
    await use({ client, server, database, ensure, told })
  } finally {
    await closeClient(client, systemClock)
  }
}

describe.each([14, 15, 17] as const)('a publication of PostgreSQL %i', version => {
  it('made for all tables is ours, and stays as it is', () =>
    onTables(version, async ({ client, ensure }) => {
      await ensure({ 'publication.autocreate.mode': 'all_tables' })
      expect(await publicationState(client, 'Pub "1"')).toMatchObject({
        allTables: true,
        madeHere: true,
        viaRoot: false,
        leavesOut: [],
      })
      expect(await ensure({ 'publication.autocreate.mode': 'all_tables' })).toEqual([])
      expect(await ensure({ 'table.include.list': ['public.a'] })).toEqual([])
      expect(await publicationState(client, 'Pub "1"')).toMatchObject({ allTables: true })
    }))

  it('made without tables tells of none', () =>
    onTables(version, async ({ client, ensure, told }) => {
      await ensure({ 'publication.autocreate.mode': 'no_tables' })
      expect(await told()).toEqual([])
      expect(await publicationState(client, 'Pub "1"')).toMatchObject({ allTables: false, madeHere: true })
    }))

  it('that fits the lists follows them: new tables, other lists, and none twice', () =>
    onTables(version, async ({ client, ensure, told }) => {
      expect(await ensure({ 'table.exclude.list': ['public.b'] })).toEqual([])
      expect(await told()).toEqual(['a', 'child', 'leaf', `ta"b'le; DROP`])
      await client.query(
        'CREATE TABLE later (id int PRIMARY KEY); CREATE TABLE leaf2 PARTITION OF root FOR VALUES FROM (10) TO (20)',
      )
      expect(await ensure({ 'table.exclude.list': ['public.b'] })).toEqual(['later', 'leaf2'])
      expect(await ensure({ 'table.exclude.list': ['public.b'] })).toEqual([])
      expect(await ensure({ 'table.include.list': ['public.a', 'public.b'] })).toEqual(['b'])
      expect(await told()).toEqual(['a', 'b'])
    }))

  it('by partition roots tells of the root, and leaves that come later come with it', () =>
    onTables(version, async ({ client, ensure, told }) => {
      const given = { 'table.include.list': ['public.root'], 'publish.via.partition.root': true }
      await ensure(given)
      expect(await told()).toEqual(['root'])
      await client.query('CREATE TABLE leaf2 PARTITION OF root FOR VALUES FROM (10) TO (20)')
      expect(await ensure(given)).toEqual([])
      await ensure({ 'table.include.list': ['public.root|public.leaf2?'] })
      expect(await told()).toEqual(['leaf', 'leaf2'])
    }))

  it('of someone else loses no table, and its row filters and column lists stay', () =>
    onTables(version, async ({ client, ensure, told }) => {
      const part = version >= 15 ? ' (id) WHERE (id > 5)' : ''
      await client.query(`CREATE PUBLICATION "Pub ""1""" FOR TABLE ONLY a${part}, ONLY b`)
      expect(await ensure({ 'table.include.list': ['public.a', 'public.child'] })).toEqual(['child'])
      expect(await told()).toEqual(['a', 'b', 'child'])
      expect(await publicationState(client, 'Pub "1"')).toMatchObject({ madeHere: false })
      if (version < 15) return
      const { rows } = await client.query(`SELECT rowfilter FROM pg_publication_tables WHERE tablename = 'a'`)
      expect(rows[0].rowfilter).toBe('(id > 5)')
    }))

  it('that cannot be is refused with what to do', () =>
    onTables(version, async ({ ensure, told }) => {
      const refused: [Partial<SlotOptions>, string][] = [
        [{ 'publication.autocreate.mode': 'disabled' }, 'CREATE PUBLICATION "Pub ""1"""'],
        [{ 'table.include.list': ['public.nothing'] }, 'table.include.list'],
      ]
      for (const [given, words] of refused)
        await expect(ensure(given)).rejects.toMatchObject({
          code: 'CONFIG_INVALID',
          message: expect.stringContaining(words),
        })
      expect(await told()).toEqual([])
    }))
})

it('tables that the application can no longer change are warned of, with the SQL that lets it', async () => {
  const server = await sharedPostgres(17)
  const database = await server.createDatabase()
  await server.run(
    'CREATE TABLE keyed (id int PRIMARY KEY); CREATE TABLE bare (id int); INSERT INTO bare VALUES (1)',
    database,
  )
  const client = await connectionsTo(server, database).regular()
  const log = recordingLogger()
  const options = slotOptions()
  await ensurePublication(client, options, new TableFilter(options), log)
  await expect(client.query('DELETE FROM bare')).rejects.toThrow('replica identity')
  const [warning, ...others] = log.lines.filter(line => line.level === 'warn')
  expect(others).toEqual([])
  expect(warning!.message).toContain('public.bare')
  expect(warning!.message).not.toContain('keyed')
  await client.query(/run (ALTER .*;)$/.exec(warning!.message)![1]!)
  await client.query('DELETE FROM bare')
  await closeClient(client, systemClock)
})

it('a role that may not make the publication is told the SQL for one who may, and nothing is left half done', async () => {
  const server = await sharedPostgres(17)
  await server.query(`DO $$ BEGIN CREATE ROLE kts_small LOGIN; EXCEPTION WHEN duplicate_object THEN END $$`)
  await onTables(
    17,
    async ({ database, ensure, told }) => {
      const refused = await ensure({ 'table.include.list': ['public.a'] }).catch((error: unknown) => error as Error)
      expect(refused).toMatchObject({ code: 'CONFIG_INVALID' })
      const sql = /run (CREATE .*;) or set/.exec((refused as Error).message)?.[1]
      await server.run(sql!, database)
      expect(await told()).toEqual(['a'])
      expect(await ensure({ 'table.include.list': ['public.a'] })).toEqual([])
      await expect(ensure({ 'table.include.list': ['public.[ab]'] })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
      expect(await told()).toEqual(['a'])
    },
    'kts_small',
  )
})
