import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type PostgresServer, sharedPostgres } from '../../support/postgres.ts'
import { Connector } from './exactness-harness.ts'
import { TestTask } from './snapshot-harness.ts'
import { connectTo, realRows, rebuild } from './snapshot-told.ts'

const open: Connector[] = []
afterEach(async () => {
  for (const connector of open.splice(0)) await connector.close()
})

async function connector(server: PostgresServer, schema: string, settings = {}): Promise<Connector> {
  const made = await Connector.make(server, schema, settings)
  open.push(made)
  return made
}

const reads = (made: Connector, table: string) => made.events(table).filter(event => event.op === 'r')
const ids = (made: Connector, table: string) =>
  reads(made, table)
    .map(event => Number(event.after!.id))
    .sort((a, b) => a - b)
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

const PARTITIONED = `
CREATE TABLE p (id int, k text, v text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
CREATE TABLE p_a PARTITION OF p FOR VALUES IN ('a');
CREATE TABLE p_b (v text, k text NOT NULL, gone int, id int NOT NULL);
ALTER TABLE p_b DROP COLUMN gone;
ALTER TABLE p ATTACH PARTITION p_b FOR VALUES IN ('b');
INSERT INTO p SELECT i, CASE WHEN i % 3 = 0 THEN 'a' ELSE 'b' END, repeat('v', 500) FROM generate_series(1, 300) i`

describe.each([15, 17] as const)('snapshots of PostgreSQL %i', version => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await sharedPostgres(version)
  }, 120_000)

  it.each([true, false])('of a partitioned table tell each row once, first and again (by its root: %s)', async root => {
    const made = await connector(server, PARTITIONED, {
      'publish.via.partition.root': root,
      'incremental.snapshot.chunk.size': 20,
      'table.include.list': root ? ['public\\.p'] : ['public\\.p_.*'],
    })
    const names = root ? ['p'] : ['p_a', 'p_b']
    const all = () => names.flatMap(name => ids(made, name)).sort((a, b) => a - b)
    await made.open()
    await made.caughtUp(names)
    expect(all()).toEqual(upTo(300))
    const told = made.committed.length
    for (const name of names) void made.signal(name)
    while (made.committed.length < told + 300) {
      await made.poll()
      made.commit()
      await made.sql(`UPDATE p SET v = 'new' WHERE id = ${1 + (made.committed.length % 300)}`)
    }
    await made.sql(`INSERT INTO p VALUES (301, 'a', ''), (302, 'b', '')`)
    await made.caughtUp(names)
    expect(names.flatMap(name => made.rebuilt(name)).length).toBe(302)
    for (const name of names)
      expect(
        made
          .rebuilt(name)
          .map(row => JSON.parse(row).v)
          .sort(),
      ).toEqual((await made.real(name)).map(row => JSON.parse(row).v).sort())
  })

  it('of tables that inherit tell each row under the table that it is in', async () => {
    const schema = `
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (PRIMARY KEY (id), more int) INHERITS (parent);
INSERT INTO parent VALUES (1), (2);
INSERT INTO child VALUES (3, 3)`
    const made = await connector(server, schema)
    await made.open()
    await made.caughtUp(['parent', 'child'])
    expect([ids(made, 'parent'), ids(made, 'child')]).toEqual([[1, 2], [3]])
    void made.signal('parent')
    while (ids(made, 'parent').length < 4) {
      await made.poll()
      made.commit()
    }
    expect([ids(made, 'parent'), ids(made, 'child')]).toEqual([[1, 1, 2, 2], [3]])
  })

  it('begin anew with initial_only when they were killed, or a table was rewritten under them, and end', async () => {
    const schema = `
CREATE TABLE a (id int PRIMARY KEY, t text);
INSERT INTO a SELECT i, repeat('x', 200) FROM generate_series(1, 500) i;
CREATE TABLE b (id int PRIMARY KEY, t text);
INSERT INTO b SELECT i, repeat('x', 200) FROM generate_series(1, 100) i`
    const made = await connector(server, schema, { 'snapshot.mode': 'initial_only', 'snapshot.fetch.size': 50 })
    await made.open()
    for (let i = 0; i < 3; i++) {
      await made.poll()
      made.commit()
    }
    expect(reads(made, 'a').length).toBeGreaterThan(0)
    await made.restart()
    await made.sql('VACUUM FULL b')
    const first = made.committed.length
    await expect(
      (async () => {
        for (;;) {
          await made.poll()
          made.commit()
          if (made.finished) return
        }
      })(),
    ).rejects.toMatchObject({ code: 'RETRIABLE', message: expect.stringMatching(/public\.b.*rewritten/) })
    await made.restart()
    const second = made.committed.length
    expect(second).toBeGreaterThan(first)
    while (!made.finished) {
      await made.poll()
      made.commit()
    }
    const last = made.committed.slice(second).map(event => `${event.table} ${event.after!.id}`)
    expect(last).toEqual([...upTo(500).map(id => `a ${id}`), ...upTo(100).map(id => `b ${id}`)])
  })

  it('read a table beside the stream of which a column was dropped since they began', async () => {
    const schema = `
CREATE TABLE a (id int PRIMARY KEY, v text, gone int);
INSERT INTO a SELECT i, repeat('x', 200), 1 FROM generate_series(1, 500) i`
    const made = await connector(server, schema, { 'snapshot.fetch.size': 50 })
    await made.open()
    await made.poll()
    made.commit()
    // It waits for the part in hand, which waits for us.
    const ddl = made.sql('ALTER TABLE a DROP COLUMN gone')
    while (made.progress('a')?.leaf !== 0) {
      await made.poll()
      made.commit()
    }
    await ddl
    await made.caughtUp(['a'])
    expect(made.rebuilt('a')).toEqual(await made.real('a'))
  })

  it('come again at every start with mode always, and not the requests that they hold already', async () => {
    const schema = 'CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1), (2)'
    const made = await connector(server, schema, { 'snapshot.mode': 'always' })
    for (const times of [1, 2, 3]) {
      await made.restart()
      await made.caughtUp(['a'])
      while (ids(made, 'a').length < 2 * times) {
        await made.poll()
        made.commit()
      }
      expect(ids(made, 'a')).toEqual([...Array(times).fill(1), ...Array(times).fill(2)])
    }
  })

  it('take the smallest or the largest table first', async () => {
    const schema = `
CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 20); ANALYZE a;
CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b SELECT generate_series(1, 30); ANALYZE b;
CREATE TABLE c (id int PRIMARY KEY); INSERT INTO c SELECT generate_series(1, 10); ANALYZE c`
    for (const [order, tables] of [
      ['disabled', 'a b c'],
      ['ascending', 'c a b'],
      ['descending', 'b a c'],
    ] as const) {
      const made = await connector(server, schema, { 'snapshot.tables.order.by.row.count': order })
      await made.open()
      await made.caughtUp(['a', 'b', 'c'])
      expect([...new Set(made.committed.map(event => event.table))].join(' ')).toBe(tables)
    }
  })

  it('read a table that is found later beside the stream, unless the list of tables to be read leaves it out', async () => {
    const database = await server.createDatabase()
    await server.run(
      `CREATE TABLE first (id int PRIMARY KEY); CREATE TABLE later (id int PRIMARY KEY);
INSERT INTO later SELECT generate_series(1, 50); CREATE TABLE unwanted (id int PRIMARY KEY);
INSERT INTO unwanted VALUES (1); CREATE PUBLICATION pub FOR ALL TABLES`,
      database,
    )
    const options = { 'snapshot.include.collection.list': ['public\\.(first|later)'] }
    const task = new TestTask({ server, database, tables: ['first'], options })
    await task.open()
    while (await task.poll());
    await task.found('unwanted')
    await task.found('later')
    await task.pollUntil(() => task.finished && task.reads('later').length === 50)
    await task.caughtUp()
    expect(task.reads('unwanted')).toEqual([])
    await task.close()
  })
})

describe.each([14, 16, 18] as const)('snapshots of PostgreSQL %i', version => {
  it('tell a table once, over a kill and beside the stream', async () => {
    const server = await sharedPostgres(version)
    const database = await server.createDatabase()
    await server.run(
      `CREATE TABLE t (id int PRIMARY KEY, v text);
INSERT INTO t SELECT i, repeat('v', 300) FROM generate_series(1, 1000) i;
CREATE PUBLICATION pub FOR ALL TABLES`,
      database,
    )
    const options = { 'snapshot.fetch.size': 100, 'incremental.snapshot.chunk.size': 100 }
    const task = new TestTask({ server, database, tables: ['t'], options, batch: 50 })
    await task.open()
    for (let i = 0; i < 8; i++) await task.poll()
    await task.kill()
    const before = task.reads('t').length
    expect(before).toBeGreaterThan(0)
    expect(before).toBeLessThan(1000)
    const client = await connectTo(server, database)
    await client.query("UPDATE t SET v = 'new' WHERE id % 100 = 0; DELETE FROM t WHERE id % 100 = 1")
    await client.end()
    await task.open()
    await task.pollUntil(() => task.checkpoints.size > 0 && task.finished)
    await task.caughtUp()
    expect(rebuild(task.committedLog, 'public.t', ['id'])).toEqual(await realRows(server, database, 't'))
    await task.close()
  }, 120_000)
})
