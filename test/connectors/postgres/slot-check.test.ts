import { afterAll, describe, expect, it } from 'vitest'
import { serverState } from '../../../connectors/postgres/catalog.ts'
import { closeClient } from '../../../connectors/postgres/connection.ts'
import { formatLsn } from '../../../connectors/postgres/lsn.ts'
import { checkSlot, type SlotPosition, type SlotServer } from '../../../connectors/postgres/slot-check.ts'
import { type SlotState, slotState } from '../../../connectors/postgres/slot.ts'
import { parseHistory, timelineHistory } from '../../../connectors/postgres/timeline.ts'
import { errorMessage, silentLogger, systemClock } from '../../../runtime/api/index.ts'
import { type PostgresOptions, type PostgresServer, startPostgres } from '../../support/postgres.ts'
import { connectionsTo } from './server-harness.ts'

const servers: PostgresServer[] = []
afterAll(() => Promise.all(servers.map(server => server.close())))

async function started(options: PostgresOptions): Promise<PostgresServer> {
  const server = await startPostgres(options)
  servers.push(server)
  return server
}

const MAKE = `SELECT pg_create_logical_replication_slot('kts', 'pgoutput')`
const DROP = `SELECT pg_drop_replication_slot('kts')`
const WRITE = 'CREATE TABLE IF NOT EXISTS t (id int); INSERT INTO t SELECT generate_series(1, 100)'
/** Moves the slot to the end of the log, as a connector that has everything does. */
const READ = `SELECT pg_replication_slot_advance('kts', pg_current_wal_lsn())`

interface Seen {
  readonly slot: SlotState | undefined
  readonly server: SlotServer
}

async function look(server: PostgresServer): Promise<Seen> {
  const connections = connectionsTo(server, 'postgres')
  const regular = await connections.regular()
  const replication = await connections.replication()
  try {
    const state = await serverState(regular)
    const history = await timelineHistory(replication, state.timeline, silentLogger)
    return { slot: await slotState(regular, 'kts'), server: { ...state, history } }
  } finally {
    await closeClient(regular, systemClock)
    await closeClient(replication, systemClock)
  }
}

/** A connector that has everything up to where the slot stands. */
async function position(server: PostgresServer): Promise<SlotPosition> {
  const { slot, server: state } = await look(server)
  return { end: slot!.confirmedFlushLsn!, systemId: state.systemId, timeline: state.timeline }
}

async function refusal(server: PostgresServer, at: SlotPosition | undefined): Promise<string> {
  const seen = await look(server)
  try {
    checkSlot(seen.slot, 'kts', at, seen.server)
    return ''
  } catch (error) {
    return `${(error as { code: string }).code} ${errorMessage(error)}`
  }
}

describe.each([15, 17] as const)('a slot of PostgreSQL %i', version => {
  it('goes on where it stands behind or at the position, and is refused with both places and the ways on otherwise', async () => {
    const server = await started({ version })
    expect(await refusal(server, undefined)).toBe('')
    await server.query(MAKE)
    await server.query(WRITE)
    await server.query(READ)
    const at = await position(server)
    expect(await refusal(server, at)).toBe('')
    expect(await refusal(server, undefined)).toBe('')
    await server.query(WRITE)
    const { server: later } = await look(server)
    expect(await refusal(server, { ...at, end: later.currentLsn })).toBe('')

    // Another reader moved it.
    await server.query(READ)
    const moved = await refusal(server, at)
    expect(moved).toMatch(/^POSITION_LOST slot kts stands at .* ahead of/)
    expect(moved).toContain(formatLsn(at.end))
    expect(moved).toContain(formatLsn((await position(server)).end))
    expect(moved).toContain('snapshot.mode to when_needed')
    expect(moved).toContain('kts-connect delete CONNECTOR --drop-slot')

    await server.query(DROP)
    const gone = await refusal(server, at)
    expect(gone).toMatch(/^POSITION_LOST slot kts is gone/)
    expect(gone).toContain(formatLsn(at.end))

    await server.query(MAKE)
    const recreated = await refusal(server, at)
    expect(recreated).toMatch(/^POSITION_LOST slot kts stands at .* made again/)
    expect(await refusal(server, undefined)).toBe('')
  }, 60_000)

  it('whose WAL was removed is refused, with the position and without', async () => {
    const settings = { max_slot_wal_keep_size: '1MB', min_wal_size: '32MB', max_wal_size: '32MB' }
    const server = await started({ version, settings })
    await server.query(MAKE)
    const at = await position(server)
    for (let i = 0; i < 20 && (await look(server)).slot?.walStatus !== 'lost'; i++) {
      await server.query(WRITE)
      await server.query('SELECT pg_switch_wal()')
      await server.query('CHECKPOINT')
    }
    expect((await look(server)).slot).toMatchObject({
      walStatus: 'lost',
      ...(version < 17 ? {} : { invalidationReason: 'wal_removed' }),
    })
    const lost = await refusal(server, at)
    expect(lost).toMatch(/^POSITION_LOST slot kts was invalidated \(wal_status lost.*max_slot_wal_keep_size/)
    expect(lost).toContain(`the connector had everything up to ${formatLsn(at.end)}`)
    expect(await refusal(server, undefined)).toMatch(/^POSITION_LOST slot kts was invalidated/)
  }, 60_000)
})

it('of another kind is refused by name: physical, another plugin, another database, temporary', async () => {
  const server = await started({ version: 17 })
  const other = await server.createDatabase()
  const made: [string, string, string][] = [
    [`SELECT pg_create_physical_replication_slot('kts')`, 'postgres', 'a physical one'],
    [`SELECT pg_create_logical_replication_slot('kts', 'test_decoding')`, 'postgres', 'test_decoding'],
    [MAKE, other, `one of ${other}`],
  ]
  for (const [sql, database, words] of made) {
    await server.query(sql, database)
    const refused = await refusal(server, undefined)
    expect(refused).toMatch(/^CONFIG_INVALID slot kts: expected/)
    expect(refused).toContain(words)
    await server.query(DROP, database)
  }
}, 60_000)

describe('a server', () => {
  it('that is another one, a backup, a standby promoted too early, or the old primary is refused; one promoted without loss is not', async () => {
    const primary = await started({ version: 17 })
    await primary.query(MAKE)
    await primary.query(WRITE)
    await primary.query(READ)
    const before = await position(primary)
    await primary.stop('fast')
    const backup = await started({ version: 17, copyOf: primary.directory })
    // It follows nobody, so it stays behind as a standby does whose primary is cut off.
    const standby = await started({ version: 17, copyOf: primary.directory, files: { 'standby.signal': '' } })
    await primary.start()
    for (let i = 0; i < 3; i++) {
      await primary.query(WRITE)
      await primary.query('SELECT pg_switch_wal()')
    }
    await primary.query(READ)
    const at = await position(primary)

    expect(await refusal(backup, before)).toBe('')
    const restored = await refusal(backup, at)
    expect(restored).toMatch(/^POSITION_LOST the server is at .* restored from a backup/)
    expect(restored).toContain(formatLsn(at.end))

    await standby.query('SELECT pg_promote()')
    // Past the position, so that only the history tells.
    for (let i = 0; i < 5; i++) {
      await standby.query(WRITE)
      await standby.query('SELECT pg_switch_wal()')
    }
    expect((await look(standby)).server.currentLsn).toBeGreaterThan(at.end)
    expect(await refusal(standby, before)).toBe('')
    const lossy = await refusal(standby, at)
    expect(lossy).toMatch(/^POSITION_LOST the server went over to timeline 2 at /)
    expect(lossy).toContain(formatLsn(at.end))
    await standby.query(READ)
    expect(await refusal(primary, await position(standby))).toMatch(
      /^POSITION_LOST the server is on timeline 1 .* the old primary/,
    )

    const stranger = await refusal(primary, { ...at, systemId: '7000000000000000000' })
    expect(stranger).toMatch(/^POSITION_LOST this is another server: .* 7000000000000000000/)
    expect(stranger).toContain(formatLsn(at.end))
  }, 90_000)

  it('tells its timelines in lines with reasons', () => {
    expect(parseHistory('# a\n1\t0/1000028\tno recovery target specified\n\n 2\t1/A\tbefore 2000-01-01\n')).toEqual([
      { timeline: 1, end: 0x1000028 },
      { timeline: 2, end: 2 ** 32 + 10 },
    ])
  })
})
