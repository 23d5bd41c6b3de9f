import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SeededRandom } from '../../../base/index.ts'
import { type PostgresServer, startPostgres } from '../../support/postgres.ts'
import { loadPipeline, PREFIX, SLOT } from '../postgres-suite.ts'
import { TopicsChecker } from './checker.ts'
import { CuttingProxy } from './cutting-proxy.ts'
import { eventually, type PartSize, type PostgresPart, withWorker } from './part.ts'
import { SCHEMA } from './tables.ts'

const DATABASE = 'load'
const STANDBY_SLOT = 'standby'

/** C5: the slot lives on at a promoted standby, to which it was synchronized, and the connector with it. */
export const failover: PostgresPart = {
  name: 'failover',
  doc: 'PostgreSQL 17: the standby with the synchronized slot is promoted, and the connector goes on there',
  async run(directory, size) {
    const { primary, standby } = await pair()
    const proxy = new CuttingProxy(new SeededRandom(size.seed))
    try {
      await proxy.open(primary.port)
      const config = join(directory, 'pipeline.yaml')
      writeFileSync(config, loadPipeline(primary, { 'database.port': proxy.port, 'slot.failover': 'true' }))
      return await goOver({ primary, standby, proxy }, config, directory, size)
    } finally {
      await proxy.close()
      await standby.close()
      await primary.close()
    }
  },
}

interface Servers {
  readonly primary: PostgresServer
  readonly standby: PostgresServer
  readonly proxy: CuttingProxy
}

function goOver({ primary, standby, proxy }: Servers, config: string, directory: string, size: PartSize) {
  const data = join(directory, '.kts-connect')
  const before = new TopicsChecker(primary, DATABASE, data, PREFIX)
  const after = new TopicsChecker(standby, DATABASE, data, PREFIX)
  return withWorker(config, directory, async worker => {
    const write = (server: PostgresServer, n: number) =>
      server.query(
        `BEGIN; INSERT INTO ledger VALUES (1, ${n}); UPDATE accounts SET note = '${n}' WHERE id <= 10; COMMIT`,
        DATABASE,
      )
    for (let n = 0; n < 10; n++) await write(primary, n)
    if (!(await eventually(async () => (await before.check()).lost === 0, 60_000)))
      return [`nothing came from the primary: ${worker.lastWords()}`]
    // The copy of the slot is temporary until the standby has caught up with it.
    let n = 10
    const persisted = await eventually(async () => {
      await write(primary, n++)
      await primary.query('SELECT pg_log_standby_snapshot()')
      const { rows } = await standby.query(
        `SELECT 1 FROM pg_replication_slots WHERE slot_name = '${SLOT}' AND synced AND NOT temporary`,
      )
      return rows.length > 0
    }, 60_000)
    if (!persisted) return ['the standby never had the slot for good']
    for (let i = 0; i < 20; i++) await write(primary, n++)
    await primary.stop('immediate')
    await standby.query('SELECT pg_promote()')
    proxy.turnTo(standby.port)
    proxy.cutAll()
    const { rows } = await standby.query('SELECT coalesce(max(n), 0)::int AS n FROM ledger', DATABASE)
    for (let i = 1; i <= 20; i++) await write(standby, rows[0].n + i)
    const came = await eventually(async () => (await after.check()).lost === 0, 60_000)
    const findings = await after.check()
    size.say(`${n} transactions before, ${JSON.stringify(findings)}`)
    const { altered, duplicates, reordered, half = 0 } = findings
    if (came && altered + duplicates + reordered + half === 0) return []
    return [JSON.stringify(findings), worker.lastWords()]
  })
}

/** A primary and a standby that synchronizes its failover slots. */
async function pair(): Promise<{ primary: PostgresServer; standby: PostgresServer }> {
  const primary = await startPostgres({ settings: { synchronized_standby_slots: STANDBY_SLOT } })
  try {
    await primary.run(SCHEMA, await primary.createDatabase(DATABASE))
    await primary.query(`SELECT pg_create_physical_replication_slot('${STANDBY_SLOT}', true)`)
    await primary.stop('fast')
    const standby = await startPostgres({
      copyOf: primary.directory,
      files: { 'standby.signal': '' },
      settings: {
        hot_standby_feedback: 'on',
        sync_replication_slots: 'on',
        primary_slot_name: STANDBY_SLOT,
        primary_conninfo: `host=127.0.0.1 port=${primary.port} user=postgres dbname=${DATABASE}`,
      },
    })
    await primary.start()
    return { primary, standby }
  } catch (error) {
    await primary.close()
    throw error
  }
}
