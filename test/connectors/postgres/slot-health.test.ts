import { describe, expect, it } from 'vitest'
import { closeClient } from '../../../connectors/postgres/connection.ts'
import { HEARTBEAT_PREFIX, Heartbeat } from '../../../connectors/postgres/heartbeat.ts'
import { Periodic, ServiceConnection } from '../../../connectors/postgres/service-connection.ts'
import { createSlot, type SlotState } from '../../../connectors/postgres/slot.ts'
import { SlotMonitor, SlotWarnings, slotHealth, stoppedMessage } from '../../../connectors/postgres/slot-health.ts'
import { ManualClock, silentLogger, systemClock } from '../../../runtime/api/index.ts'
import { type PostgresServer, sharedPostgres, startPostgres } from '../../support/postgres.ts'
import { recordingLogger } from '../../support/recording-logger.ts'
import { connectionsTo } from './server-harness.ts'

const MIB = 1 << 20
const SLOT: SlotState = {
  name: 'kts',
  plugin: 'pgoutput',
  database: 'shop',
  temporary: false,
  active: true,
  activePid: 1,
  restartLsn: 0,
  confirmedFlushLsn: 0,
  walStatus: 'reserved',
  safeWalSize: undefined,
  invalidationReason: undefined,
  wasRead: true,
  twoPhase: false,
  failover: false,
  synced: false,
}

/** What a slot that holds so much of a limit is warned of. */
function looks(...states: { held: number; safe?: number; status?: string }[]): string[] {
  const log = recordingLogger()
  const warnings = new SlotWarnings(log)
  for (const { held, safe, status = 'reserved' } of states) {
    const slot = { ...SLOT, safeWalSize: safe, walStatus: status }
    warnings.look({ slot, currentLsn: held, lag: held, held })
  }
  return log.lines.map(line => `${line.level}: ${line.message}`)
}

async function eventually(what: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await what())) await new Promise(resolve => setTimeout(resolve, 20))
}

describe('warnings of the WAL that a slot holds', () => {
  it('come once per crossing, before the limit, and again after it had fallen', () => {
    const at = (held: number) => ({ held: held * MIB, safe: (100 - held) * MIB })
    expect(looks(at(1), at(49))).toEqual([])
    const told = looks(at(10), at(60), at(70), at(79), at(85), at(96), at(97), at(10), at(55))
    expect(told).toHaveLength(4)
    expect(told[0]).toMatch(/^warn: slot kts makes the server keep 60\.0 MiB of WAL, and 40\.0 MiB more may be written/)
    expect(told[3]).toContain('55.0 MiB')
  })

  it('say that nothing limits it, once, and then at each doubling from 1 GiB', () => {
    const told = looks(...[0, 1, 1023, 1024, 1500, 2047, 2048, 5000].map(held => ({ held: held * MIB })))
    expect(told).toHaveLength(4)
    expect(told[0]).toMatch(/max_slot_wal_keep_size is unlimited/)
    expect(told.slice(1).map(text => /keep ([\d.]+ GiB)/.exec(text)?.[1])).toEqual(['1.0 GiB', '2.0 GiB', '4.9 GiB'])
  })

  it('say that nothing limits it once for all connections of a start', () => {
    const log = recordingLogger()
    const start = {}
    const unlimited = { slot: SLOT, currentLsn: 1, lag: 1, held: 1 }
    for (const of of [start, start, {}]) new SlotWarnings(log, of).look(unlimited)
    expect(log.lines).toHaveLength(2)
  })

  it('are errors once WAL is about to be removed, and when it is', () => {
    const beyond = { held: 120 * MIB, safe: -20 * MIB }
    const told = looks(
      { ...beyond, status: 'unreserved' },
      { ...beyond, status: 'unreserved' },
      { ...beyond, status: 'lost' },
    )
    expect(told.filter(text => text.startsWith('error'))).toEqual([
      expect.stringContaining('the next checkpoint of the server removes it'),
      expect.stringContaining('slot kts was invalidated'),
    ])
  })
})

async function withSlot(server: PostgresServer, name: string, use: (database: string) => Promise<void>): Promise<void> {
  const database = await server.createDatabase()
  const maker = await connectionsTo(server, database).replication()
  await createSlot(maker, { name, serverVersion: server.version * 10_000, failover: false })
  await closeClient(maker, systemClock)
  try {
    await use(database)
  } finally {
    await server.query(`SELECT pg_drop_replication_slot('${name}')`)
  }
}

describe.each([14, 17] as const)('on PostgreSQL %i', version => {
  it('the monitor reports lag, held and safe bytes, and what a stop leaves behind is said', async () => {
    const server = await sharedPostgres(version)
    await withSlot(server, `health_${version}`, async database => {
      const connection = new ServiceConnection(connectionsTo(server, database), systemClock)
      const facts: Record<string, string | number> = {}
      const report = (told: object) => void Object.assign(facts, told)
      const slotName = `health_${version}`
      const monitor = new SlotMonitor({
        connection,
        slotName,
        clock: systemClock,
        log: silentLogger,
        report,
        everyMs: 20,
      })
      await server.query('CREATE TABLE t AS SELECT generate_series(1, 20000) AS id', database)
      await eventually(() => Number(facts['slot lag bytes']) > MIB)
      expect(facts).toMatchObject({ slot: slotName, 'slot safe_wal_size': 'unlimited', 'slot wal_status': 'reserved' })
      expect(Number(facts['slot holds WAL bytes'])).toBeGreaterThanOrEqual(Number(facts['slot lag bytes']))
      const health = await connection.use(client => slotHealth(client, slotName))
      expect(stoppedMessage(health!)).toMatch(
        new RegExp(
          `^slot ${slotName} stays, .* holds \\d+\\.\\d MiB of WAL now, .*SELECT pg_drop_replication_slot\\('${slotName}'\\);$`,
        ),
      )
      expect(await connection.use(client => slotHealth(client, 'nothing'))).toBeUndefined()
      await connection.close()
      await monitor.close()
    })
  }, 60_000)

  it('heartbeats are written to the log, with the query beside them or alone', async () => {
    const server = await sharedPostgres(version)
    await withSlot(server, `heart_${version}`, async database => {
      await server.run('CREATE TABLE beats (at timestamptz); CREATE PUBLICATION p', database)
      const connection = new ServiceConnection(connectionsTo(server, database), systemClock)
      const parts = { connection, serverVersion: version * 10_000, everyMs: 10, clock: systemClock, log: silentLogger }
      const query = 'INSERT INTO beats VALUES (now())'
      const count = async () => (await server.query('SELECT count(*)::int AS n FROM beats', database)).rows[0].n
      const messages = async () => {
        const sql = `SELECT data FROM pg_logical_slot_get_binary_changes('heart_${version}', NULL, NULL, 'proto_version', '1', 'publication_names', 'p', 'messages', 'true')`
        const { rows } = await server.query(sql, database)
        return rows.filter((row: { data: Buffer }) => row.data.includes(HEARTBEAT_PREFIX)).length
      }
      const both = new Heartbeat({ ...parts, message: true, query })
      await eventually(async () => (await count()) >= 3)
      await both.close()
      expect(await messages()).toBeGreaterThanOrEqual(3)
      const before = await count()
      const alone = new Heartbeat({ ...parts, message: false, query })
      await eventually(async () => (await count()) >= before + 3)
      await alone.close()
      expect(await messages()).toBe(0)
      await connection.close()
    })
  }, 60_000)
})

describe('work beside the stream', () => {
  it('that fails is a warning, told once until it works again, and goes on with a new connection', async () => {
    const server = await startPostgres()
    const log = recordingLogger()
    const connection = new ServiceConnection(connectionsTo(server, 'postgres'), systemClock)
    const warnings = () => log.lines.filter(line => line.level === 'warn').map(line => line.message)
    let done = 0
    const work = () =>
      connection.use(async client => {
        await client.query('SELECT 1')
        done++
      })
    const periodic = new Periodic({ what: 'work', everyMs: 10, clock: systemClock, log, work })
    await eventually(() => done > 2)
    await server.stop('immediate')
    await eventually(
      () => log.lines.filter(line => line.level === 'debug' && line.message.startsWith('work')).length > 2,
    )
    expect(warnings()).toEqual([expect.stringMatching(/^work: .*; it is tried again every 10 ms$/)])
    await server.start()
    const before = done
    await eventually(() => done > before)
    expect(warnings()).toHaveLength(1)
    await connection.close()
    await periodic.close()
    await server.close()
  }, 60_000)

  it('is never done twice at once, and waits for what runs when it is closed', async () => {
    const clock = new ManualClock()
    let running = 0
    let release = () => {}
    const work = async () => {
      running++
      await new Promise<void>(resolve => {
        release = resolve
      })
      running--
    }
    const periodic = new Periodic({ what: 'work', everyMs: 10, clock, log: silentLogger, work })
    await clock.advance(100)
    expect(running).toBe(1)
    release()
    // The wait begins.
    await new Promise(resolve => setImmediate(resolve))
    await clock.advance(10)
    expect(running).toBe(1)
    const closed = periodic.close()
    release()
    await closed
    expect(running).toBe(0)
  })
})
