import type pg from 'pg'
import { beforeAll, describe, expect, it } from 'vitest'
import { errorCode, randomInt, SeededRandom } from '../../../runtime/api/index.ts'
import { type PostgresServer, sharedPostgres } from '../../support/postgres.ts'
import { TestTask } from './snapshot-harness.ts'
import { connectTo, goneBack, realRows, rebuild } from './snapshot-told.ts'

const SCHEMA = `
CREATE SEQUENCE versions;
CREATE TABLE t (a int, b text, n int, big text, pad text DEFAULT repeat('.', 300), v bigint, PRIMARY KEY (b, a));
ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
CREATE FUNCTION newer() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.v = nextval(''versions''); RETURN NEW; END';
CREATE TRIGGER newer BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION newer();
INSERT INTO t SELECT i, 'k' || i % 7, i, repeat(chr(65 + i % 26), 3000) FROM generate_series(1, 300) i;
CREATE TABLE signals (id text PRIMARY KEY, type text, data text);
CREATE PUBLICATION pub FOR ALL TABLES`
const OPTIONS = {
  'incremental.snapshot.chunk.size': 20,
  'snapshot.fetch.size': 40,
  'signal.data.collection': 'public.signals',
} as const

/** Writes beside the reading, however fast that is. */
const ENOUGH = 120
/** Deadlocks, keys that two of them took, and locks that did not come in time. */
const LOSES = new Set(['40P01', '23505', '55P03'])

/** Seeded writers with every kind of change; a value that is large stays unchanged most of the time. */
async function write(client: pg.Client, random: SeededRandom, truncates: boolean): Promise<void> {
  const row = `(SELECT ctid FROM t OFFSET ${randomInt(random, 250)} LIMIT ${1 + randomInt(random, 5)})`
  const some = 1000 + randomInt(random, 1_000_000)
  const statements = [
    `UPDATE t SET n = n + 1 WHERE ctid IN ${row}`,
    `UPDATE t SET n = n + 1 WHERE ctid IN ${row}`,
    `UPDATE t SET a = ${some} WHERE ctid = (SELECT ctid FROM t OFFSET ${randomInt(random, 250)} LIMIT 1)`,
    `UPDATE t SET big = repeat('z', ${2500 + randomInt(random, 2000)}) WHERE ctid IN ${row}`,
    `DELETE FROM t WHERE ctid IN ${row}`,
    `INSERT INTO t SELECT ${some} + i, 'n', 0, repeat('y', 3000) FROM generate_series(1, 4) i ON CONFLICT DO NOTHING`,
    'VACUUM t',
    truncates && randomInt(random, 15) === 0 ? 'TRUNCATE t' : 'SELECT 1',
    truncates && randomInt(random, 8) === 0 ? 'VACUUM FULL t' : 'SELECT 1',
    `BEGIN; UPDATE t SET n = -1 WHERE ctid IN ${row}; SAVEPOINT s; DELETE FROM t; ROLLBACK TO s; UPDATE t SET n = -2 WHERE ctid IN ${row}; COMMIT`,
  ]
  await client.query(statements[randomInt(random, statements.length)]!)
}

describe.each([15, 17] as const)('tables read beside the stream of PostgreSQL %i', version => {
  let server: PostgresServer
  const met = new Map<string, number>()
  beforeAll(async () => {
    server = await sharedPostgres(version)
  }, 120_000)

  it.each([
    [1, false],
    [2, true],
    [3, false],
  ])(
    'rebuild to the table itself whatever is written meanwhile, over kills (seed %i, binary %s)',
    async (seed, binary) => {
      const random = new SeededRandom(seed * 100 + version)
      const database = await server.createDatabase()
      await server.run(SCHEMA, database)
      let writer: pg.Client | undefined
      let written = 0
      const failures: Error[] = []
      const busy = new Set<pg.Client>()
      const writeOn = async (client: pg.Client) => {
        if (busy.has(client)) return
        busy.add(client)
        try {
          await write(client, random, seed !== 1)
          written++
        } catch (error) {
          if (!LOSES.has(errorCode(error))) failures.push(error as Error)
          await client.query('ROLLBACK')
        }
        busy.delete(client)
      }
      const task = new TestTask({
        server,
        database,
        tables: ['t', 'signals'],
        options: OPTIONS,
        batch: 9,
        binary,
        seed,
        between: async () => {
          if (writer !== undefined && randomInt(random, 2) === 0) await writeOn(writer)
        },
      })
      await task.open()
      for (let i = 0; i < 6; i++) await task.poll()
      await task.kill()
      const clients = await Promise.all([1, 2, 3].map(() => connectTo(server, database)))
      for (const client of clients) await client.query("SET lock_timeout = '30ms'")
      writer = clients.pop()

      await task.open()
      let kills = 0
      for (let i = 0; kills < 3 || written < ENOUGH || !done(task); i++) {
        for (const client of clients) void writeOn(client)
        await task.poll()
        if (i % 40 !== 39 || kills === 3) continue
        kills++
        await task.kill()
        await task.open()
      }
      while (busy.size > 0) await task.poll()
      await task.caughtUp()
      expect(failures).toEqual([])
      for (const [name, by] of task.counts) met.set(name, (met.get(name) ?? 0) + by)
      if (!binary) expect(goneBack(task.committedLog, 'public.t', ['b', 'a'], 'v')).toEqual([])
      const real = await realRows(server, database, 't')
      if (!binary) expect(rebuild(task.committedLog, 'public.t', ['b', 'a'])).toEqual(real)
      else expect(rebuild(task.committedLog, 'public.t', ['b', 'a']).map(readable).sort()).toEqual(real)
      for (const client of [...clients, writer!]) await client.end()
      await task.close()
    },
  )

  it('met what makes that hard: rows that changed while they were read, were left out of changes, or were truncated', () => {
    expect(Object.fromEntries(met)).toMatchObject({
      'snapshot rows changed while they were read': expect.any(Number),
      'snapshot rows read by key': expect.any(Number),
      'snapshot rows read again': expect.any(Number),
    })
  })

  it('are read by signals from a table and from outside, with conditions, and each request once', async () => {
    const database = await server.createDatabase()
    await server.run(SCHEMA, database)
    const task = new TestTask({
      server,
      database,
      tables: ['t', 'signals'],
      options: { ...OPTIONS, 'snapshot.mode': 'no_data' },
    })
    await task.open()
    while (await task.poll());
    const data = (filter: string) =>
      JSON.stringify({
        'data-collections': ['public.t'],
        'additional-conditions': [{ 'data-collection': 'public.t', filter }],
      })
    await server.query(`INSERT INTO signals VALUES ('s1', 'execute-snapshot', '${data('n <= 10')}')`, database)
    await task.caughtUp()
    const reads = () => task.committedLog.filter(t => t.op === 'r').map(t => Number(t.row.n))
    while (!finished(task) || reads().length < 10) await task.poll()
    expect(reads().sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    expect(new Set(task.committedLog.filter(t => t.op === 'r').map(t => t.mark))).toEqual(new Set(['incremental']))

    const bad = {
      'data-collections': ['public.t'],
      'additional-conditions': [{ 'data-collection': 'public.t', filter: 'true) OR (nothing' }],
    }
    await expect(task.signal({ id: 'x', type: 'execute-snapshot', data: bad })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    })
    await expect(
      task.signal({ id: 'x', type: 'execute-snapshot', data: { 'data-collections': ['public.nothing'] } }),
    ).rejects.toMatchObject({ code: 'CONFIG_INVALID' })

    let answer = ''
    void task.signal({ id: 'p', type: 'pause-snapshot', data: {} })
    void task
      .signal({ id: 'b', type: 'execute-snapshot', data: { type: 'blocking', 'data-collections': ['public.t'] } })
      .then(text => {
        answer = text
      })
    while (answer === '') await task.poll()
    expect(answer).toMatch(/will read public\.t once snapshots are resumed; the stream waits while public\.t is read/)
    await task.kill()
    await task.open()
    for (let i = 0; i < 10; i++) await task.poll()
    expect(reads()).toHaveLength(10)
    void task.signal({ id: 'r', type: 'resume-snapshot', data: {} })
    while (reads().length < 310) await task.poll()
    expect(
      task.committedLog
        .filter(t => t.op === 'r')
        .slice(10)
        .map(t => t.mark)
        .filter(mark => mark !== 'true'),
    ).toEqual(['first', 'last'])
    await task.close()
  })
})

function done(task: TestTask): boolean {
  const states = [...task.checkpoints.values()].filter(({ partition }) => partition.table === 't')
  return states.length > 0 && states.every(({ position }) => position!.done === true)
}

function finished(task: TestTask): boolean {
  return ![...task.checkpoints.values()].some(({ partition }) => partition.snapshot === 'incremental')
}

/** A row of binary values (int, text, int, text, text) as its text. */
function readable(row: string): string {
  const { a, b, n, big, pad, v } = JSON.parse(row) as Record<string, string>
  const number = (hex: string) => String(Number.parseInt(hex, 16) | 0)
  const text = (hex: string) => Buffer.from(hex, 'hex').toString()
  return JSON.stringify({ a: number(a!), b: text(b!), n: number(n!), big: text(big!), pad: text(pad!), v: number(v!) })
}
