import { afterAll, describe, expect, it } from 'vitest'
import type { PostgresVersion } from '../../support/postgres-binaries.ts'
import { PostgresPipeline } from '../../support/postgres-pipeline.ts'
import { type PostgresServer, startPostgres } from '../../support/postgres.ts'

/** The whole suite runs on 15 and 17. */
const OTHERS: readonly PostgresVersion[] = [14, 16, 18]

const servers: PostgresServer[] = []
afterAll(() => Promise.all(servers.map(server => server.close())))

const SCHEMA = `
CREATE TABLE goods (id int PRIMARY KEY, name text, price numeric(8,2), tags text[], made timestamptz);
INSERT INTO goods SELECT i, 'good ' || i, i * 0.25, ARRAY['a', NULL], '2020-02-02 02:02:02+00' FROM generate_series(1, 500) i;
CREATE TABLE bare (n int);
ALTER TABLE bare REPLICA IDENTITY FULL;
INSERT INTO bare VALUES (1), (1), (2);
`

function opsOf(pipeline: PostgresPipeline, table: string): Record<string, number> {
  const ops: Record<string, number> = {}
  for (const { value } of pipeline.topics().get(`smoke.public.${table}`) ?? []) {
    if (value === null) continue
    const { op } = JSON.parse(value.toString())
    ops[op] = (ops[op] ?? 0) + 1
  }
  return ops
}

/** What the topic of goods says that the table is, by key. */
function rebuilt(pipeline: PostgresPipeline): unknown[] {
  const rows = new Map<number, { id: number; name: string }>()
  for (const { value } of pipeline.topics().get('smoke.public.goods') ?? []) {
    if (value === null) continue
    const { op, before, after } = JSON.parse(value.toString())
    if (op === 'd') rows.delete(before.id)
    else rows.set(after.id, { id: after.id, name: after.name })
  }
  return [...rows.values()].sort((a, b) => a.id - b.id)
}

describe.each(OTHERS)('PostgreSQL %i', version => {
  it('is read and followed through a restart of it and of the worker, each change once', {
    timeout: 120_000,
  }, async () => {
    const server = await startPostgres({ version, settings: { logical_decoding_work_mem: '64kB' } })
    servers.push(server)
    const database = await server.createDatabase()
    await server.run(SCHEMA, database)
    const settings = { 'topic.prefix': 'smoke', 'skipped.operations': 'none' }
    const pipeline = new PostgresPipeline({ server, database, slot: 'smoke', settings })
    try {
      await pipeline.start()
      await pipeline.caughtUp()
      // A large one, which is sent before it is decided, with a part that is taken back.
      await server.run(
        `BEGIN; UPDATE goods SET name = repeat('n', 500) || id; SAVEPOINT s; DELETE FROM goods; ROLLBACK TO s; DELETE FROM goods WHERE id > 490; COMMIT`,
        database,
      )
      await pipeline.caughtUp()
      await server.stop('fast')
      await server.start()
      await server.query(
        "INSERT INTO goods VALUES (1000, 'behind the restart'); DELETE FROM bare WHERE n = 1",
        database,
      )
      await pipeline.caughtUp()
      await pipeline.stop()
      await server.query("TRUNCATE bare; UPDATE goods SET name = 'while it was stopped' WHERE id = 1000", database)
      await pipeline.start()
      await pipeline.caughtUp()
      await pipeline.stop()
      expect(opsOf(pipeline, 'goods')).toEqual({ r: 500, u: 501, d: 10, c: 1 })
      expect(opsOf(pipeline, 'bare')).toEqual({ r: 3, d: 2, t: 1 })
      expect(rebuilt(pipeline)).toEqual((await server.query('SELECT id, name FROM goods ORDER BY id', database)).rows)
    } finally {
      await pipeline.close()
    }
  })
})
