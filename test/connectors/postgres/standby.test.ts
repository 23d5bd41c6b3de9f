import { afterAll, describe, expect, it } from 'vitest'
import { checkServer } from '../../../connectors/postgres/checks.ts'
import { closeClient } from '../../../connectors/postgres/connection.ts'
import type { ConnectionOptions } from '../../../connectors/postgres/connection-options.ts'
import { emitWatermark } from '../../../connectors/postgres/snapshot/watermark.ts'
import { systemClock } from '../../../runtime/api/index.ts'
import { type PostgresServer, startPostgres } from '../../support/postgres.ts'
import { connectionsTo, slotOptions } from './server-harness.ts'

const servers: PostgresServer[] = []
afterAll(() => Promise.all(servers.map(server => server.close())))

/** A server, and one that follows it. */
async function pair(version: 15 | 17): Promise<[PostgresServer, PostgresServer]> {
  const settings = { max_slot_wal_keep_size: '1GB' }
  const primary = await startPostgres({ version, settings })
  servers.push(primary)
  await primary.run('CREATE TABLE a (id int PRIMARY KEY); CREATE PUBLICATION "dbz_publication" FOR ALL TABLES')
  await primary.stop('fast')
  const following = { ...settings, primary_conninfo: `host=127.0.0.1 port=${primary.port} user=postgres` }
  const standby = await startPostgres({
    version,
    settings: following,
    copyOf: primary.directory,
    files: { 'standby.signal': '' },
  })
  servers.push(standby)
  await primary.start()
  return [primary, standby]
}

describe.each([15, 17] as const)('with a standby of PostgreSQL %i', version => {
  it('the primary is found among the servers, also after it has moved; a standby when that is asked for', async () => {
    const [primary, standby] = await pair(version)
    const addresses = [standby, primary].map(server => `127.0.0.1:${server.port}`)
    const reached = async (given: Partial<ConnectionOptions>, env = {}) => {
      const connections = connectionsTo(
        primary,
        'postgres',
        { 'database.hostname': addresses.join(','), ...given },
        { env },
      )
      const client = await connections.regular()
      const { rows } = await client.query('SELECT inet_server_port() AS port')
      await closeClient(client, systemClock)
      return rows[0].port
    }
    expect(await reached({})).toBe(primary.port)
    expect(await reached({ 'database.target.session.attrs': 'read-write' })).toBe(primary.port)
    expect(await reached({ 'database.target.session.attrs': 'standby' })).toBe(standby.port)
    expect(await reached({ 'database.target.session.attrs': 'any' })).toBe(standby.port)
    expect(await reached({}, { PGTARGETSESSIONATTRS: 'any' })).toBe(standby.port)
    await expect(reached({ 'database.hostname': addresses[0] })).rejects.toMatchObject({
      code: 'RETRIABLE',
      message: expect.stringMatching(/expected the primary .* got a standby/),
    })

    const findings = async () => {
      const only = { 'database.port': standby.port, 'database.target.session.attrs': 'any' } as const
      const problems = await checkServer(
        connectionsTo(standby, 'postgres', only),
        { ...slotOptions(), 'snapshot.mode': 'initial' },
        systemClock,
      )
      return problems.map(problem => `${problem.severity}: ${problem.message}`)
    }
    expect(await findings()).toEqual([
      version < 16
        ? expect.stringMatching(/^error: expected the primary, since standbys decode from PostgreSQL 16 on/)
        : expect.stringMatching(/^warning: expected hot_standby_feedback on/),
    ])

    const any = { 'database.port': standby.port, 'database.target.session.attrs': 'any' } as const
    const client = await connectionsTo(standby, 'postgres', any).regular()
    await expect(emitWatermark(client, { kind: 'low', id: 'x' })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/beside the stream: .* it needs the primary, not a standby$/),
    })
    await closeClient(client, systemClock)

    await primary.stop('immediate')
    await expect(reached({})).rejects.toMatchObject({
      code: 'RETRIABLE',
      message: expect.stringMatching(/got a standby.* \| .*ECONNREFUSED/),
    })
    await standby.query('SELECT pg_promote()')
    expect(await reached({})).toBe(standby.port)
    expect(await findings()).toEqual([])
  }, 60_000)
})
