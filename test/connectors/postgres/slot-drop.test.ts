import { afterEach, expect, it } from 'vitest'
import { sharedPostgres } from '../../support/postgres.ts'
import { PostgresPipeline } from '../../support/postgres-pipeline.ts'

const open: PostgresPipeline[] = []
afterEach(() => Promise.all(open.splice(0).map(pipeline => pipeline.close())))

it('slot.drop.on.stop drops the slot when the connector is stopped, not when its connection is lost', async () => {
  const server = await sharedPostgres(17)
  const database = await server.createDatabase()
  const slot = `kts_${database}`
  await server.run(`CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)`, database)
  const settings = { 'topic.prefix': 'db', 'slot.drop.on.stop': true, 'snapshot.mode': 'when_needed' }
  const pipeline = new PostgresPipeline({ server, database, slot, settings })
  open.push(pipeline)
  const slots = async () =>
    (await server.query(`SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = '${slot}'`)).rows
  const ids = () =>
    (pipeline.topics().get('db.public.a') ?? []).map(record => JSON.parse(String(record.value)).after.id)
  await pipeline.start()
  await pipeline.caughtUp()

  const [{ pid }] = await slots()
  await server.query(`SELECT pg_terminate_backend(${pid})`)
  await server.query('INSERT INTO a VALUES (2)', database)
  await pipeline.caughtUp()
  expect(ids()).toEqual([1, 2])
  expect(await slots()).toHaveLength(1)

  await pipeline.stop()
  expect(await slots()).toEqual([])
  await pipeline.start()
  await pipeline.caughtUp()
  expect(ids()).toEqual([1, 2, 1, 2])
}, 60_000)
