import { expect, it } from 'vitest'
import { sharedPostgres } from '../../support/postgres.ts'
import { PostgresPipeline } from '../../support/postgres-pipeline.ts'

it('a table that may not be read stops nothing: the others are captured, and it is read once that is granted', async () => {
  const server = await sharedPostgres(17)
  const database = await server.createDatabase()
  const role = `reader_${database}`
  await server.run(
    `CREATE ROLE ${role} LOGIN REPLICATION; CREATE TABLE a (id int PRIMARY KEY); GRANT SELECT ON a TO ${role};
     CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1); CREATE TABLE c (id int PRIMARY KEY); INSERT INTO c VALUES (1);
     GRANT SELECT ON c TO ${role}; CREATE PUBLICATION kts_${database} FOR TABLE a;`,
    database,
  )
  const settings = {
    'database.user': role,
    'topic.prefix': 'db',
    'publication.autocreate.mode': 'disabled',
  }
  const pipeline = new PostgresPipeline({ server, database, slot: `kts_${database}`, settings })
  const ids = (table: string) =>
    (pipeline.topics().get(`db.public.${table}`) ?? []).map(record => JSON.parse(String(record.value)).after.id)
  try {
    await pipeline.start()
    await pipeline.caughtUp()
    await server.run(`ALTER PUBLICATION kts_${database} ADD TABLE b, c`, database)
    const soon = { timeout: 40_000, interval: 200 }
    await expect.poll(() => ids('c'), soon).toEqual([1])
    await server.run('INSERT INTO a VALUES (1); INSERT INTO b VALUES (2)', database)
    await pipeline.caughtUp()
    expect([ids('a'), ids('b')]).toEqual([[1], [2]])
    await server.run(`GRANT SELECT ON b TO ${role}`, database)
    await expect.poll(() => ids('b'), soon).toEqual([2, 1, 2])
  } finally {
    await pipeline.close()
  }
})
