import { beforeAll, describe, expect, it } from 'vitest'
import { type PostgresServer, sharedPostgres } from '../../support/postgres.ts'
import { type TaskOptions, TestTask } from './snapshot-harness.ts'
import { connectTo, realRows, rebuild } from './snapshot-told.ts'

const SCHEMA = `
CREATE TABLE a_one (id int PRIMARY KEY, t text);
INSERT INTO a_one VALUES (1, E'tab\\tnew\\nline \\\\ back\\bslash \\\\N');
CREATE TABLE b_empty (id int PRIMARY KEY);
CREATE TABLE c_many (id int PRIMARY KEY, t text, n numeric, u uuid DEFAULT gen_random_uuid(), g int GENERATED ALWAYS AS (id * 2) STORED, "Odd ""col" text);
INSERT INTO c_many (id, t, n, "Odd ""col") SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE repeat('x' || i, i % 50) END, i / 7.0, '' FROM generate_series(1, 5000) i;
CREATE TABLE d_nokey (v int);
INSERT INTO d_nokey SELECT i FROM generate_series(1, 3) i;
CREATE TABLE e_none ();
INSERT INTO e_none DEFAULT VALUES;
CREATE PUBLICATION pub FOR ALL TABLES`
const TABLES = ['a_one', 'b_empty', 'c_many', 'd_nokey']

describe.each([15, 17] as const)('snapshot of PostgreSQL %i', version => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await sharedPostgres(version)
  }, 120_000)

  async function task(options: Partial<TaskOptions> = {}): Promise<TestTask> {
    const database = await server.createDatabase()
    await server.run(SCHEMA, database)
    return new TestTask({ server, database, tables: TABLES, ...options })
  }

  async function snapshotted(options: Partial<TaskOptions> = {}): Promise<TestTask> {
    const made = await task(options)
    await made.open()
    while (await made.poll());
    return made
  }

  it('tells every row once, tables in order, first and last ones marked as Debezium does', async () => {
    const made = await snapshotted({ batch: 7 })
    const told = made.committedLog
    const marks = (table: string) => told.filter(t => t.table === `public.${table}`).map(t => t.mark)
    expect(marks('a_one')).toEqual(['first'])
    expect(marks('c_many')).toHaveLength(5000)
    expect([marks('c_many')[0], marks('c_many').at(-1)]).toEqual([
      'first_in_data_collection',
      'last_in_data_collection',
    ])
    expect(new Set(marks('c_many').slice(1, -1))).toEqual(new Set(['true']))
    expect(marks('d_nokey')).toEqual(['first_in_data_collection', 'true', 'last'])
    expect(told[0]!.row.t).toBe('tab\tnew\nline \\ back\bslash \\N')
    await made.close()
  })

  it('marks a single row as last, and tells one without columns', async () => {
    const one = await snapshotted({ tables: ['a_one', 'b_empty'] })
    expect(one.committedLog.map(t => t.mark)).toEqual(['last'])
    await one.close()
    const none = await snapshotted({ tables: ['e_none'] })
    expect(none.committedLog.map(t => t.row)).toEqual([{}])
    await none.close()
  })

  it.each([
    [1, false],
    [3, false],
    [3, true],
  ])('equals the table: %i connections, binary %s, parts of 100 rows', async (threads, binary) => {
    const options = { 'snapshot.max.threads': threads, 'snapshot.fetch.size': 100 }
    const made = await snapshotted({ options, binary })
    const rows = made.committedLog.filter(t => t.table === 'public.c_many').map(t => t.row)
    expect(rows).toHaveLength(5000)
    const ids = rows.map(row => (binary ? Number.parseInt(row.id!, 16) : Number(row.id)))
    expect(ids.sort((a, b) => a - b)).toEqual(Array.from({ length: 5000 }, (_, i) => i + 1))
    if (!binary) expect(rebuild(made.committedLog, 'public.c_many', ['id'])).toEqual(await made.rows('c_many'))
    await made.close()
  })

  it('reads a table that was rewritten since the slot began beside the stream, not as empty', async () => {
    const database = await server.createDatabase()
    await server.run(SCHEMA, database)
    const made = new TestTask({ server, database, tables: TABLES })
    await made.open()
    await server.query('ALTER TABLE c_many ALTER n TYPE float8', database)
    while (await made.poll());
    expect(made.committedLog.filter(t => t.table === 'public.c_many')).toEqual([])
    await made.kill()
    await made.open()
    while (rebuild(made.committedLog, 'public.c_many', ['id']).length < 5000) await made.poll()
    expect(rebuild(made.committedLog, 'public.c_many', ['id'])).toEqual(await realRows(server, database, 'c_many'))
    await made.close()
  })

  it('goes on beside the stream where it was killed; a table without a key begins again', async () => {
    const database = await server.createDatabase()
    await server.run(SCHEMA, database)
    const options = { 'snapshot.fetch.size': 200, 'incremental.snapshot.chunk.size': 300 }
    const made = new TestTask({ server, database, tables: TABLES, options, batch: 50 })
    await made.open()
    for (let i = 0; i < 60; i++) await made.poll()
    await made.kill()
    const before = made.committedLog.filter(t => t.op === 'r').length
    expect(before).toBeGreaterThan(1)
    expect(before).toBeLessThan(5000)
    const client = await connectTo(server, database)
    await client.query(
      `UPDATE c_many SET t = 'changed' WHERE id % 10 = 0; DELETE FROM c_many WHERE id % 10 = 1; INSERT INTO d_nokey VALUES (4)`,
    )
    await made.open()
    for (;;) {
      await made.poll()
      const state = [...made.checkpoints.values()].filter(c => c.partition.table !== undefined)
      if (state.length === 4 && state.every(c => c.position!.done === true)) break
    }
    await made.caughtUp()
    await client.end()
    const many = made.committedLog.filter(t => t.table === 'public.c_many')
    expect(rebuild(many, 'public.c_many', ['id'])).toEqual(await realRows(server, database, 'c_many'))
    const reads = many.filter(t => t.op === 'r').map(t => t.row.id)
    // A row that an update moved behind the place of the kill is met there once more.
    const twice = reads.filter((id, i) => reads.indexOf(id) !== i && Number(id) % 10 !== 0)
    expect(twice).toEqual([])
    const bag = made.committedLog.filter(t => t.table === 'public.d_nokey')
    const begin = bag.findLastIndex(t => t.mark === 'first')
    expect(bag.slice(begin).map(t => t.row.v)).toEqual(['1', '2', '3', '4'])
    await made.close()
  })
})
