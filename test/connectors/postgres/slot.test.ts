import type pg from 'pg'
import { afterEach, describe, expect, it } from 'vitest'
import { cleanUp } from '../../../connectors/postgres/clean-up.ts'
import { closeClient, cut } from '../../../connectors/postgres/connection.ts'
import { ensurePublication } from '../../../connectors/postgres/publication.ts'
import {
  createSlot,
  dropSlot,
  literal,
  makeFailover,
  slotState,
  waitForSlot,
} from '../../../connectors/postgres/slot.ts'
import { TableFilter } from '../../../connectors/postgres/table-filter.ts'
import { silentLogger, systemClock } from '../../../runtime/api/index.ts'
import { type PostgresServer, sharedPostgres } from '../../support/postgres.ts'
import { PostgresPipeline } from '../../support/postgres-pipeline.ts'
import { recordingLogger } from '../../support/recording-logger.ts'
import { connectionsTo, slotOptions } from './server-harness.ts'

const clients: pg.Client[] = []
afterEach(() => Promise.all(clients.splice(0).map(client => closeClient(client, systemClock))))

async function regular(server: PostgresServer, database: string): Promise<pg.Client> {
  const client = await connectionsTo(server, database).regular()
  clients.push(client)
  return client
}

async function replication(server: PostgresServer, database: string): Promise<pg.Client> {
  const client = await connectionsTo(server, database).replication()
  clients.push(client)
  return client
}

let made = 0
/** Slots are the server's, which tests share. */
const name = () => `kts_slot_${process.pid}_${made++}`

describe.each([14, 15, 17, 18] as const)('a slot of PostgreSQL %i', version => {
  const serverVersion = version * 10_000

  it('is made with a snapshot of exactly its place', async () => {
    const server = await sharedPostgres(version)
    const database = await server.createDatabase()
    await server.query('CREATE TABLE t (id int); INSERT INTO t VALUES (1)', database)
    const [slot, maker, reader] = [name(), await replication(server, database), await regular(server, database)]
    const { consistentPoint, snapshotName } = await createSlot(maker, {
      name: slot,
      serverVersion,
      failover: version >= 17,
    })
    await server.query('INSERT INTO t VALUES (2)', database)
    await reader.query(`BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT ${literal(snapshotName)}`)
    expect((await reader.query('SELECT id FROM t')).rows).toEqual([{ id: 1 }])
    await reader.query('COMMIT')
    const state = await slotState(reader, slot)
    expect(state).toMatchObject({
      plugin: 'pgoutput',
      database,
      temporary: false,
      activePid: undefined,
      confirmedFlushLsn: consistentPoint,
      walStatus: 'reserved',
      safeWalSize: undefined,
      invalidationReason: undefined,
      twoPhase: false,
      failover: version >= 17,
      synced: false,
    })
    expect(state!.restartLsn).toBeLessThanOrEqual(consistentPoint)
    await expect(createSlot(maker, { name: slot, serverVersion, failover: false })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    })
    expect(await dropSlot(reader, slot)).toBe(true)
    expect(await dropSlot(reader, slot)).toBe(false)
    expect(await slotState(reader, slot)).toBeUndefined()
  }, 60_000)

  it('that a connection has is waited for, and then refused with the process and its application', async () => {
    const server = await sharedPostgres(version)
    const database = await server.createDatabase()
    const [slot, holder, asker] = [name(), await replication(server, database), await regular(server, database)]
    const log = recordingLogger()
    const wait = { retries: 2, delayMs: 30, clock: systemClock, log }
    expect(await waitForSlot(asker, slot, wait)).toBeUndefined()
    // A temporary slot is its connection's for life.
    await createSlot(holder, { name: slot, serverVersion, failover: false, temporary: true })
    const { activePid } = (await slotState(asker, slot))!
    await expect(waitForSlot(asker, slot, wait)).rejects.toMatchObject({
      code: 'RETRIABLE',
      message: expect.stringMatching(
        new RegExp(`process ${activePid} \\(kts-connect test, user postgres.*pg_terminate_backend\\(${activePid}\\)`),
      ),
    })
    expect(log.lines.filter(line => line.level === 'warn')).toHaveLength(1)
    await expect(dropSlot(asker, slot)).rejects.toMatchObject({
      code: 'RETRIABLE',
      message: expect.stringContaining(slot),
    })
    const waiting = waitForSlot(asker, slot, { ...wait, retries: 1000 })
    await closeClient(holder, systemClock)
    expect(await waiting).toBeUndefined()
  }, 60_000)
})

it('a slot that waits for running transactions says for which, and is given up when the connector stops', async () => {
  const server = await sharedPostgres(17)
  const database = await server.createDatabase()
  const [slot, maker, watcher, busy] = [
    name(),
    await replication(server, database),
    await regular(server, database),
    await regular(server, database),
  ]
  await busy.query('BEGIN')
  const { rows } = await busy.query('SELECT pg_current_xact_id(), pg_backend_pid() AS pid')
  const stop = new AbortController()
  const log = recordingLogger()
  const watch = { client: watcher, clock: systemClock, log, signal: stop.signal, tellMs: 20 }
  const making = createSlot(maker, { name: slot, serverVersion: 170_000, failover: false }, watch)
  const refused = expect(making).rejects.toMatchObject({ code: 'RETRIABLE', message: expect.stringContaining(slot) })
  while (log.lines.length < 2) await new Promise(resolve => setTimeout(resolve, 20))
  expect(log.lines[1]!.message).toContain(`process ${rows[0].pid} (kts-connect test, user postgres, for`)
  stop.abort()
  await refused
  await busy.query('COMMIT')
  while ((await slotState(watcher, slot)) !== undefined) await new Promise(resolve => setTimeout(resolve, 20))
  const other = await replication(server, database)
  const made = await createSlot(
    other,
    { name: slot, serverVersion: 170_000, failover: false },
    { ...watch, signal: new AbortController().signal },
  )
  expect((await slotState(watcher, slot))?.confirmedFlushLsn).toBe(made.consistentPoint)
  await dropSlot(watcher, slot)
}, 60_000)

it('slot.failover makes a slot that was there without one that standbys keep a copy of, with rows to read and without', async () => {
  const server = await sharedPostgres(17)
  const database = await server.createDatabase()
  await server.run('CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)', database)
  const failover = async (slot: string) => {
    const sql = `SELECT failover, active FROM pg_replication_slots WHERE slot_name = '${slot}'`
    return (await server.query(sql, database)).rows[0]
  }
  for (const mode of ['initial', 'no_data']) {
    const slot = `${database}_${mode}`
    await server.query(`CREATE PUBLICATION ${slot} FOR ALL TABLES`, database)
    await server.query(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`, database)
    expect(await failover(slot)).toMatchObject({ failover: false })
    const settings = { 'topic.prefix': 'db', 'slot.failover': true, 'snapshot.mode': mode }
    const pipeline = new PostgresPipeline({ server, database, slot, settings })
    try {
      for (const starts of [1, 2]) {
        await pipeline.start()
        await pipeline.caughtUp()
        expect(await failover(slot), `${mode}, start ${starts}`).toEqual({ failover: true, active: true })
        await pipeline.stop()
        // As one of an earlier configuration.
        const sender = await connectionsTo(server, database).replication()
        await sender.query(`ALTER_REPLICATION_SLOT ${slot} (FAILOVER false)`)
        await closeClient(sender, systemClock)
      }
    } finally {
      await pipeline.close()
    }
  }
}, 60_000)

it('slot.failover is tried again where the connection was cut or another has the slot, and refused where there is none', async () => {
  const server = await sharedPostgres(17)
  const [slot, stop] = [name(), new AbortController()]
  const alter = async (delayMs: number) => {
    const client = await replication(server, 'postgres')
    return makeFailover(client, slot, 170_000, { clock: systemClock, delayMs, signal: stop.signal })
  }
  await expect(alter(60_000)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  const gone = await replication(server, 'postgres')
  cut(gone)
  await expect(makeFailover(gone, slot, 170_000, { clock: systemClock, delayMs: 60_000 })).rejects.toMatchObject({
    code: 'RETRIABLE',
  })
  // A temporary slot is its connection's for life.
  const options = { name: slot, serverVersion: 170_000, failover: false, temporary: true }
  await createSlot(await replication(server, 'postgres'), options)
  await expect(alter(20)).rejects.toMatchObject({
    code: 'RETRIABLE',
    message: expect.stringContaining('another connection'),
  })
  setTimeout(() => stop.abort(), 20)
  await expect(alter(60_000)).rejects.toMatchObject({
    code: 'RETRIABLE',
    message: expect.stringContaining('the connector stops'),
  })
}, 30_000)

it('slot.failover is refused below 17', async () => {
  const server = await sharedPostgres(15)
  const maker = await replication(server, 'postgres')
  await expect(createSlot(maker, { name: name(), serverVersion: 150_000, failover: true })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining('slot.failover'),
  })
})

it('what a connector made is taken back, and what it did not make stays, line by line', async () => {
  const server = await sharedPostgres(17)
  const database = await server.createDatabase()
  const client = await regular(server, database)
  const slot = name()
  const options = slotOptions({ 'slot.name': slot, 'publication.name': `pub "of" it's` })
  await ensurePublication(client, options, new TableFilter(options), silentLogger)
  await createSlot(await replication(server, database), { name: slot, serverVersion: 170_000, failover: false })
  expect(await cleanUp(client, options, false)).toEqual([
    expect.stringMatching(
      new RegExp(`^slot ${slot} stays and holds .* of WAL.*pg_drop_replication_slot\\('${slot}'\\);$`),
    ),
    `dropped publication pub "of" it's`,
  ])
  await client.query(`CREATE PUBLICATION "pub ""of"" it's" FOR ALL TABLES`)
  expect(await cleanUp(client, options, true)).toEqual([
    expect.stringMatching(new RegExp(`^dropped slot ${slot}, which held`)),
    `publication pub "of" it's stays, since kts-connect did not make it; drop it with DROP PUBLICATION "pub ""of"" it's";`,
  ])
  await client.query(`DROP PUBLICATION "pub ""of"" it's"`)
  expect(await cleanUp(client, options, true)).toEqual([
    `slot ${slot}: there is none`,
    `publication pub "of" it's: there is none`,
  ])
}, 60_000)
