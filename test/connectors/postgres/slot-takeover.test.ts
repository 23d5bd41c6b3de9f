import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PostgresPipeline } from '../../support/postgres-pipeline.ts'
import { type PostgresServer, sharedPostgres } from '../../support/postgres.ts'

const opened: PostgresPipeline[] = []
let server: PostgresServer
let database: string

beforeAll(async () => {
  server = await sharedPostgres(17)
  database = await server.createDatabase()
  await server.run('CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)', database)
}, 60_000)
afterAll(() => Promise.all(opened.map(pipeline => pipeline.close())))

/** One with a data folder of its own. */
function pipelineOn(slot: string, settings: Record<string, string> = {}): PostgresPipeline {
  const pipeline = new PostgresPipeline({ server, database, slot, settings: { 'topic.prefix': 'take', ...settings } })
  opened.push(pipeline)
  return pipeline
}

function idsOf(pipeline: PostgresPipeline): string[] {
  const records = pipeline.topics().get('take.public.a') ?? []
  return records.map(({ value }) => {
    const { op, after } = JSON.parse(String(value))
    return `${op}${after.id}`
  })
}

const confirmed = async (slot: string) =>
  (await server.query(`SELECT confirmed_flush_lsn AS lsn FROM pg_replication_slots WHERE slot_name = '${slot}'`))
    .rows[0].lsn

describe('a slot that is there when a connector without a position starts', () => {
  it('and was read by another is left to that one, which goes on where it was', { timeout: 60_000 }, async () => {
    const [owner, stranger] = [pipelineOn('owned'), pipelineOn('owned')]
    await owner.start()
    await owner.caughtUp()
    await server.query('INSERT INTO a VALUES (2)', database)
    await owner.caughtUp()
    // While it is read, too: the stranger would take it as soon as its reader is away.
    await stranger.start()
    expect(await stranger.failure()).toMatch(
      /slot owned was read already, and is confirmed up to [0-9A-F]+\/[0-9A-F]+.*set slot\.name.*pg_drop_replication_slot.*no_data/,
    )
    await stranger.stop()
    await owner.stop()
    await server.query('INSERT INTO a VALUES (3)', database)
    const before = await confirmed('owned')
    await stranger.start()
    expect(await stranger.failure()).toContain('was read already')
    await stranger.stop()
    expect(await confirmed('owned')).toBe(before)
    await owner.start()
    await owner.caughtUp()
    await owner.stop()
    expect(idsOf(owner)).toEqual(['r1', 'c2', 'c3'])
    expect(idsOf(stranger)).toEqual([])
  })

  it('and nobody has read is used: rows by a snapshot, then the changes', { timeout: 60_000 }, async () => {
    await server.query("SELECT pg_create_logical_replication_slot('prepared', 'pgoutput')", database)
    await server.query('INSERT INTO a VALUES (10)', database)
    const pipeline = pipelineOn('prepared')
    await pipeline.start()
    await pipeline.caughtUp()
    await server.query('INSERT INTO a VALUES (11)', database)
    await pipeline.caughtUp()
    await pipeline.stop()
    expect(idsOf(pipeline).slice(-2)).toEqual(['r10', 'c11'])
  })

  it('is taken over on purpose with snapshot.mode no_data, from where it stands', { timeout: 60_000 }, async () => {
    const [before, after] = [pipelineOn('handed_over'), pipelineOn('handed_over', { 'snapshot.mode': 'no_data' })]
    await before.start()
    await before.caughtUp()
    await before.stop()
    await server.query('INSERT INTO a VALUES (20)', database)
    await after.start()
    await after.caughtUp()
    await after.stop()
    expect(idsOf(before)).not.toContain('c20')
    expect(idsOf(after)).toEqual(['c20'])
  })
})
