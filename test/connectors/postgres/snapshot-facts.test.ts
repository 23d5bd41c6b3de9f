import { expect, it } from 'vitest'
import { sharedPostgres } from '../../support/postgres.ts'
import { TestTask } from './snapshot-harness.ts'

it('a snapshot that goes on beside the stream tells how far it is of about how many rows, and what waits', async () => {
  const server = await sharedPostgres(17)
  const database = await server.createDatabase()
  await server.run(
    `CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY);
INSERT INTO a SELECT generate_series(1, 3000); INSERT INTO b VALUES (1); INSERT INTO c VALUES (1);
CREATE PUBLICATION pub FOR ALL TABLES`,
    database,
  )
  await server.query('ANALYZE a', database)
  const options = { 'incremental.snapshot.chunk.size': 500, 'snapshot.fetch.size': 500 }
  const task = new TestTask({ server, database, tables: ['a', 'b', 'c'], options, batch: 50 })
  await task.open()
  await task.pollUntil(() => task.checkpoints.size > 0)
  expect(task.facts[0]).toMatchObject({ 'snapshot tables': '0 of 3', 'snapshot rows': '0 of about 3000' })
  await task.kill()
  task.facts.length = 0
  await task.open()
  await task.pollUntil(() => task.checkpoints.size === 3 && task.finished)
  const told = task.facts.map(facts => `${facts['snapshot beside the stream']}; ${facts['snapshot tables that wait']}`)
  expect(told[0]).toMatch(/^public\.a: \d+ of about 3000 rows; 2$/)
  expect(told.at(-1)).toBe('public.c: 1 rows, finished; 0')
  await task.close()
}, 60_000)
