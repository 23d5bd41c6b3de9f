import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type PostgresServer, sharedPostgres } from '../../support/postgres.ts'
import { recordingLogger } from '../../support/recording-logger.ts'
import { connectTo, type TaskOptions, TestTask } from './snapshot-harness.ts'
import { goneBack, realRows, rebuild } from './snapshot-told.ts'

const SCHEMA = `
CREATE SEQUENCE versions;
CREATE TABLE t (id int PRIMARY KEY, n int, big text, v bigint DEFAULT nextval('versions'), pad text DEFAULT repeat('.', 400));
ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
INSERT INTO t SELECT i, 0, repeat('x', 3000) FROM generate_series(1, 60) i;
CREATE TABLE bag (n int);
INSERT INTO bag SELECT i FROM generate_series(1, 20) i;
CREATE PUBLICATION pub FOR ALL TABLES`
const UPDATE = "UPDATE t SET n = n + 1, v = nextval('versions')"

describe('a table read beside the stream', () => {
  let server: PostgresServer
  const clients: pg.Client[] = []
  beforeAll(async () => {
    server = await sharedPostgres(17)
  }, 120_000)
  afterAll(async () => {
    for (const client of clients) await client.end()
  })

  async function database(schema = SCHEMA): Promise<string> {
    const name = await server.createDatabase()
    await server.run(schema, name)
    return name
  }

  async function client(name: string): Promise<pg.Client> {
    const made = await connectTo(server, name)
    clients.push(made)
    return made
  }

  /** Streams from now on; nothing is read but what is asked for. */
  async function streaming(name: string, options: Partial<TaskOptions> = {}): Promise<TestTask> {
    const task = new TestTask({
      server,
      database: name,
      tables: ['t', 'bag'],
      ...options,
      options: { 'snapshot.mode': 'no_data', 'incremental.snapshot.chunk.size': 20, ...options.options },
    })
    await task.open()
    while (await task.poll());
    return task
  }

  const execute = (table: string, more = {}) => ({ 'data-collections': [`public.${table}`], ...more })
  const where = (table: string, filter: string, type = 'incremental') =>
    execute(table, { type, 'additional-conditions': [{ 'data-collection': `public.${table}`, filter }] })

  it('does not go back to what a commit replaced that is in the stream and not yet visible to others', async () => {
    const name = await database()
    await server.query(`ALTER DATABASE "${name}" SET synchronous_commit = local`)
    const writer = await client(name)
    const watcher = await client(name)
    const task = await streaming(name)
    onTestFinished(async () => {
      await server.query('ALTER SYSTEM RESET synchronous_standby_names')
      await server.query('SELECT pg_reload_conf()')
    })
    // The first reading of a run waits for such commits, and this is about the later ones.
    await task.ask('execute-snapshot', where('t', 'false'))
    await task.pollUntil(() => task.finished)
    await server.query("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await server.query('SELECT pg_reload_conf()')
    await writer.query('SET synchronous_commit = on')
    const pid: number = (await writer.query('SELECT pg_backend_pid() AS pid')).rows[0].pid
    const commit = hangs(writer, watcher, pid)
    await commit.begun
    const updates = () => task.committedLog.filter(t => t.op === 'u')
    await task.pollUntil(() => updates().some(t => Number(t.row.n) > 0))
    for (let i = 0; i < 20; i++) await task.poll()
    const told = Number(updates().at(-1)!.row.n)
    const seen = await watcher.query('SELECT n FROM t WHERE id = 5')
    expect(seen.rows[0].n).toBe(told - 1)
    await task.ask('execute-snapshot', execute('t'))
    await task.pollUntil(() => (task.counts.get('snapshot chunks read again') ?? 0) > 2)
    expect(task.reads('t')).toEqual([])
    await watcher.query('SELECT pg_cancel_backend($1)', [pid])
    await commit.ended
    await task.pollUntil(() => task.finished)
    expect(task.reads('t')).toHaveLength(60)
    expect(goneBack(task.committedLog, 'public.t', ['id'], 'v')).toEqual([])
    expect(rebuild(task.committedLog, 'public.t', ['id'])).toEqual(await realRows(server, name, 't'))
    await task.close()
  })

  it('is read to its end although a row changes without its large value at every turn', async () => {
    const name = await database()
    const writer = await client(name)
    let writes = false
    const between = async () => {
      if (writes) await writer.query(`${UPDATE} WHERE id <= 3`)
    }
    const task = await streaming(name, { between })
    writes = true
    await task.ask('execute-snapshot', execute('t'))
    await task.pollUntil(() => task.finished)
    writes = false
    await task.caughtUp()
    expect(goneBack(task.committedLog, 'public.t', ['id'], 'v')).toEqual([])
    expect(rebuild(task.committedLog, 'public.t', ['id'])).toEqual(await realRows(server, name, 't'))
    expect(task.counts.get('snapshot rows read by key')).toBeGreaterThanOrEqual(3)
    await task.close()
  })

  it('is read again while the stream waits when more rows are owed than memory is for', async () => {
    const name = await database(`
CREATE TABLE t (id text PRIMARY KEY, n int, big text);
ALTER TABLE t ALTER id SET STORAGE PLAIN;
ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
INSERT INTO t SELECT (SELECT string_agg(md5(i || ':' || j), '' ORDER BY j) FROM generate_series(1, 70) j), 0, repeat('x', 1000) FROM generate_series(1, 7500) i;
CREATE TABLE bag (n int);
CREATE PUBLICATION pub FOR ALL TABLES`)
    const log = recordingLogger()
    const task = await streaming(name, { log, batch: 2000 })
    await task.ask('execute-snapshot', execute('t'))
    await task.pollUntil(() => task.reads('t').length > 0)
    await task.ask('pause-snapshot')
    await server.query('UPDATE t SET n = 1', name)
    await task.caughtUp()
    expect(JSON.stringify([...task.checkpoints.values()])).toContain('"owed":"lost"')
    await task.ask('resume-snapshot')
    await task.pollUntil(() => task.finished)
    expect(log.lines.map(line => line.message)).toContainEqual(expect.stringMatching(/the stream waits for it/))
    expect(rebuild(task.committedLog, 'public.t', ['id'])).toEqual(await realRows(server, name, 't'))
    await task.close()
  })

  it('is read again after a kill when more keys were owed than a checkpoint takes', async () => {
    const name = await database()
    await server.query("INSERT INTO t SELECT i, 0, repeat('y', 3000) FROM generate_series(100, 900) i", name)
    const task = await streaming(name)
    await task.ask('execute-snapshot', execute('t'))
    await task.pollUntil(() => task.reads('t').length > 0)
    await task.ask('pause-snapshot')
    await server.query(UPDATE, name)
    await task.caughtUp()
    const before = task.reads('t').length
    expect(JSON.stringify([...task.checkpoints.values()])).toContain('"owed":"lost"')
    await task.kill()
    await task.open()
    await task.ask('resume-snapshot')
    await task.pollUntil(() => task.finished)
    expect(task.counts.get('snapshot rows read again')).toBe(before)
    expect(rebuild(task.committedLog, 'public.t', ['id'])).toEqual(await realRows(server, name, 't'))
    await task.close()
  })

  it('takes rows in chunks of a bounded size, however large they are', async () => {
    const name = await database(`
CREATE TABLE t (id int PRIMARY KEY, big text);
INSERT INTO t SELECT i, repeat('x', CASE WHEN i BETWEEN 30 AND 40 THEN 3000000 ELSE 10 END) FROM generate_series(1, 400) i;
CREATE TABLE bag (n int);
CREATE PUBLICATION pub FOR ALL TABLES`)
    const task = await streaming(name, { options: { 'incremental.snapshot.chunk.size': 16_384 } })
    await task.ask('execute-snapshot', execute('t'))
    await task.pollUntil(() => task.finished)
    const ids = task.reads('t').map(t => Number(t.row.id))
    expect(ids.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 400 }, (_, i) => i + 1))
    expect(task.reads('t').filter(t => t.row.big!.length === 3_000_000)).toHaveLength(11)
    // In one transaction of the log, a chunk: 11 rows of 3 MB do not fit into one.
    expect(new Set(task.reads('t').map(t => t.commit)).size).toBeGreaterThan(4)
    await task.close()
  })

  it('keeps its definition between the reading and its place in the stream, whatever DDL wants in', async () => {
    const name = await database()
    const ddl = await client(name)
    await ddl.query("SET lock_timeout = '30ms'")
    let step = 0
    const between = async () => {
      step++
      const sql =
        step % 3 === 0
          ? `ALTER TABLE t ADD COLUMN c${step} int DEFAULT ${step}`
          : `ALTER TABLE t DROP COLUMN IF EXISTS c${step - (step % 3)}`
      if (step < 60) await ddl.query(`${sql}; UPDATE t SET n = ${step} WHERE id = ${step}`).catch(() => undefined)
    }
    const task = await streaming(name, { between })
    await task.ask('execute-snapshot', execute('t'))
    await task.pollUntil(() => task.finished)
    await task.caughtUp()
    // Each change of the definition has an update behind it: rows have the columns of the update before them.
    let columns: string | undefined
    let compared = 0
    for (const { op, row } of task.committedLog) {
      const names = Object.keys(row).join()
      if (op === 'r' && columns !== undefined) {
        expect(names).toBe(columns)
        compared++
      }
      if (op === 'u') columns = names
    }
    expect(compared).toBeGreaterThan(20)
    expect(new Set(task.reads('t').map(t => t.row.id)).size).toBe(60)
    await task.close()
  })

  it('with another key than before is read again from its beginning', async () => {
    const name = await database()
    const task = await streaming(name)
    await task.ask('execute-snapshot', execute('t'))
    await task.pollUntil(() => task.reads('t').length > 0)
    await task.ask('pause-snapshot')
    await server.run(
      `${UPDATE}; ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ALTER v SET NOT NULL, ADD PRIMARY KEY (v); ${UPDATE} WHERE id = 1; DELETE FROM t WHERE id = 2`,
      name,
    )
    await task.ask('resume-snapshot')
    await task.pollUntil(() => task.finished)
    const real = await realRows(server, name, 't')
    const told = rebuild(task.committedLog, 'public.t', ['v']).filter(row => !row.includes('never told'))
    expect(told).toEqual(expect.arrayContaining(real))
    await task.close()
  })

  it('is given up when it cannot be read as a signal wants it, and the stream goes on', async () => {
    const name = await database()
    await server.run('CREATE TABLE signals (id text PRIMARY KEY, type text, data text)', name)
    const log = recordingLogger()
    const task = await streaming(name, {
      log,
      tables: ['t', 'bag', 'signals'],
      options: { 'signal.data.collection': 'public.signals' },
    })
    const signal = (id: string, data: object) =>
      server.query(`INSERT INTO signals VALUES ('${id}', 'execute-snapshot', $d$${JSON.stringify(data)}$d$)`, name)
    const givenUp = () => log.lines.filter(line => line.level === 'error' && /given up/.test(line.message))
    await signal('1', where('t', 'no_such_column = 1'))
    await signal('2', where('bag', 'this is no SQL', 'blocking'))
    await task.pollUntil(() => givenUp().length === 2)
    // Fails on one row only.
    await signal('3', where('t', '1 / (id - 50) > -5'))
    await signal('4', where('bag', '1 / (n - 20) > -5', 'blocking'))
    await task.pollUntil(() => givenUp().length === 4)
    await signal('5', { 'data-collections': ['public.nothing'] })
    await server.query('INSERT INTO bag VALUES (77)', name)
    await task.pollUntil(() => task.committedLog.some(t => t.row.n === '77'))
    await task.caughtUp()
    expect(log.lines.map(line => line.message)).toContainEqual(expect.stringMatching(/cannot be followed.*nothing/))
    expect(task.finished).toBe(true)
    await task.close()
  })

  it('with a condition is read so also where the stream waits for it', async () => {
    const name = await database()
    const task = await streaming(name)
    await task.ask('execute-snapshot', where('t', 'id <= 7', 'blocking'))
    await task.ask('execute-snapshot', where('bag', 'n > 18'))
    await task.pollUntil(() => task.finished)
    expect(task.reads('t').map(t => t.row.id)).toEqual(['1', '2', '3', '4', '5', '6', '7'])
    expect(task.reads('bag').map(t => t.row.n)).toEqual(['19', '20'])
    await task.close()
  })

  it('without a key is read at one place, for which the stream waits when the table changes fast', async () => {
    const name = await database()
    let places = 0
    const placed = async () => {
      places++
      await server.query(`INSERT INTO bag VALUES (${1000 + places})`, name)
      const isTold = () => task.committedLog.some(t => t.row.n === '1001')
      while (!isTold()) await new Promise(resolve => setImmediate(resolve))
    }
    const task = await streaming(name, { placed })
    await task.ask('execute-snapshot', execute('bag'))
    await task.pollUntil(() => task.finished)
    await task.caughtUp()
    expect(task.counts.get('snapshot places held')).toBe(1)
    expect(places).toBe(2)
    const bag = task.committedLog.filter(t => t.table === 'public.bag')
    const first = bag.findIndex(t => t.op === 'r')
    const reads = bag.filter(t => t.op === 'r').length
    expect(bag.slice(first, first + reads).every(t => t.op === 'r')).toBe(true)
    // What was read and what was changed behind it are the table, each row once.
    const rows = bag
      .slice(first)
      .map(t => JSON.stringify(t.row))
      .sort()
    expect(rows).toEqual(await realRows(server, name, 'bag'))
    await task.close()
  })

  it('says after a kill how many rows of it come again where the stream waited for it', async () => {
    const task = await streaming(await database(), { batch: 6 })
    await task.ask('execute-snapshot', execute('bag'))
    await task.pollUntil(() => task.reads('bag').length > 0)
    await task.kill()
    const before = task.reads('bag').length
    expect(before).toBeLessThan(20)
    await task.open()
    await task.pollUntil(() => task.finished)
    expect(task.reads('bag').slice(before)).toHaveLength(20)
    expect(task.counts.get('snapshot rows read again')).toBe(before)
    await task.close()
  })

  it('is stopped by a signal, also while it waits for a place that a long transaction keeps away', async () => {
    const name = await database()
    const holder = await client(name)
    const task = await streaming(name)
    await holder.query('BEGIN; INSERT INTO bag VALUES (1)')
    await task.ask('execute-snapshot', execute('bag'))
    for (let i = 0; i < 20; i++) await task.poll()
    expect(await task.ask('stop-snapshot', execute('bag'))).toBe('stopped: public.bag')
    await task.ask('execute-snapshot', execute('t'))
    await task.pollUntil(() => task.finished)
    expect(task.reads('bag')).toEqual([])
    expect(task.reads('t')).toHaveLength(60)
    await task.ask('execute-snapshot', execute('bag'))
    for (let i = 0; i < 20; i++) await task.poll()
    await task.close()
    await holder.query('ROLLBACK')
  })
})

/** Updates row 5 until a commit waits for the standby that is not there. */
function hangs(writer: pg.Client, watcher: pg.Client, pid: number): { begun: Promise<void>; ended: Promise<void> } {
  let isOver = false
  const update = async (): Promise<void> => {
    while (!isOver) await writer.query(`${UPDATE} WHERE id = 5`)
  }
  const watch = async (): Promise<void> => {
    for (;;) {
      const { rows } = await watcher.query('SELECT wait_event FROM pg_stat_activity WHERE pid = $1', [pid])
      if (rows[0]?.wait_event === 'SyncRep') break
    }
    isOver = true
  }
  return { ended: update(), begun: watch() }
}
