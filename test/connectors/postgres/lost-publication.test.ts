import { afterEach, describe, expect, it } from 'vitest'
import { type PostgresServer, sharedPostgres } from '../../support/postgres.ts'
import { PostgresPipeline } from '../../support/postgres-pipeline.ts'

const open: PostgresPipeline[] = []
afterEach(() => Promise.all(open.splice(0).map(pipeline => pipeline.close())))

async function capturing(server: PostgresServer, snapshotMode: string): Promise<[string, PostgresPipeline]> {
  const database = await server.createDatabase()
  await server.run(`CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)`, database)
  const settings = {
    'topic.prefix': 'db',
    'publication.autocreate.mode': 'filtered',
    'snapshot.mode': snapshotMode,
  }
  const pipeline = new PostgresPipeline({ server, database, slot: `kts_${database}`, settings })
  open.push(pipeline)
  await pipeline.start()
  await pipeline.caughtUp()
  return [database, pipeline]
}

const lose = (name: string) =>
  `DROP PUBLICATION ${name}; INSERT INTO a VALUES (2); CREATE PUBLICATION ${name} FOR TABLE a`

/** From 18 on the server says nothing of what a publication that is gone would have told of. */
describe.each([17, 18] as const)('a publication that was dropped, on PostgreSQL %i,', version => {
  it('stops the connector with the ways on, while it runs and when it starts again: no change is passed over', async () => {
    const server = await sharedPostgres(version)
    const [database, pipeline] = await capturing(server, 'initial')
    await server.run(lose(`kts_${database}`), database)
    await expect(pipeline.failure()).resolves.toMatch(/publication "?kts_.*delete CONNECTOR --drop-slot/s)
    await pipeline.stop()
    await pipeline.start()
    await expect(pipeline.failure()).resolves.toMatch(
      /publication kts_.* was dropped and made again: .*delete CONNECTOR --drop-slot/,
    )
    expect(pipeline.topics().get('db.public.a')).toHaveLength(1)
  })

  it('is begun anew under snapshot.mode when_needed, by itself', async () => {
    const server = await sharedPostgres(version)
    const [database, pipeline] = await capturing(server, 'when_needed')
    await server.run(lose(`kts_${database}`), database)
    const ids = () =>
      (pipeline.topics().get('db.public.a') ?? []).map(record => JSON.parse(String(record.value)).after.id)
    await expect.poll(ids, { timeout: 30_000, interval: 200 }).toEqual([1, 1, 2])
    await pipeline.caughtUp()
  })
})
