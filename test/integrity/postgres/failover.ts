import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SeededRandom } from '../../../base/index.ts'
import type { PostgresVersion } from '../../support/postgres-binaries.ts'
import { type PostgresServer, startPostgres } from '../../support/postgres.ts'
import { loadPipeline, PREFIX, SLOT } from '../postgres-suite.ts'
import type { WorkerProcess } from '../worker-process.ts'
import { TopicsChecker } from './checker.ts'
import { CuttingProxy } from './cutting-proxy.ts'
import { eventually, isWhole, type PartSize, type PostgresPart, pause, withWorker } from './part.ts'
import { LOAD_TABLES, SCHEMA } from './tables.ts'

const DATABASE = 'load'
const STANDBY_SLOT = 'standby'
const VERSIONS: readonly PostgresVersion[] = [17, 18]
/** Rounds from which on each branch meets each version; below each meets one of them. */
const ALL_VERSIONS_ROUNDS = 30
const WAIT_MS = 120_000
/** A copy of the slot is temporary for as long as the servers like. */
const MISSED = 'the standby had no temporary copy of the slot'
const CHANCES = 5
const COPY = `SELECT temporary FROM pg_replication_slots WHERE slot_name = '${SLOT}' AND synced`

/** C5, both branches: the standby has a copy of the slot for good, or only a temporary one yet, which is gone once it is promoted. */
export const failover: PostgresPart = {
  name: 'failover',
  doc: 'the standby is promoted: with the slot the connector goes on there; without it yet, an error that names both positions, and when_needed reads anew',
  async run(directory, size) {
    const broken: string[] = []
    for (const [i, branch] of [persisted, temporary].entries()) {
      for (const version of size.rounds >= ALL_VERSIONS_ROUNDS ? VERSIONS : [VERSIONS[(i + size.seed) % 2]!]) {
        const what = `slot ${branch.name}, PostgreSQL ${version}`
        let problems: readonly string[] = [MISSED]
        for (let chance = 0; chance < CHANCES && problems[0] === MISSED; chance++) {
          const folder = join(directory, `${what.replaceAll(/[ ,]+/g, '-')}-${chance}`)
          mkdirSync(folder)
          problems = await inServers(version, folder, size, branch)
        }
        if (problems.length === 0) size.say(`${what}: as it must be`)
        broken.push(...problems.map(problem => `${what}: ${problem}`))
      }
    }
    return broken
  },
}

class Servers {
  readonly primary: PostgresServer
  readonly standby: PostgresServer
  readonly directory: string
  readonly proxy: CuttingProxy
  readonly config: string
  readonly size: PartSize
  readonly #checkers: ReadonlyMap<PostgresServer, TopicsChecker>
  #next = 0

  constructor(pair: Pair, directory: string, size: PartSize) {
    this.primary = pair.primary
    this.standby = pair.standby
    this.directory = directory
    this.size = size
    this.proxy = new CuttingProxy(new SeededRandom(size.seed))
    this.config = join(directory, 'pipeline.yaml')
    const data = join(directory, '.kts-connect')
    const checkerOf = (server: PostgresServer) => new TopicsChecker(server, DATABASE, data, PREFIX)
    this.#checkers = new Map([this.primary, this.standby].map(server => [server, checkerOf(server)]))
  }

  configure(settings: Record<string, string | number> = {}): void {
    const database = { 'database.port': this.proxy.port, 'slot.failover': 'true' }
    writeFileSync(this.config, loadPipeline(this.primary, { ...database, ...settings }))
  }

  async write(server: PostgresServer): Promise<void> {
    const n = this.#next++
    await server.query(
      `BEGIN; INSERT INTO ledger VALUES (1, ${n}); UPDATE accounts SET note = '${n}' WHERE id <= 10; COMMIT`,
      DATABASE,
    )
  }

  /** The primary is gone at once, and whoever asks for it gets to the promoted standby. */
  async goOver(): Promise<void> {
    await this.primary.stop('immediate')
    await this.standby.query('SELECT pg_promote()')
    this.proxy.turnTo(this.standby.port)
    this.proxy.cutAll()
    const { rows } = await this.standby.query('SELECT coalesce(max(n), 0)::int AS n FROM ledger', DATABASE)
    this.#next = rows[0].n + 1
    for (let i = 0; i < 20; i++) await this.write(this.standby)
  }

  /** Words for what is missing or wrong in the topics, once all of this server has come. */
  async problems(server: PostgresServer, worker: WorkerProcess): Promise<readonly string[]> {
    const checker = this.#checkers.get(server)!
    if (await eventually(async () => isWhole(await checker.check()), WAIT_MS)) return []
    return [JSON.stringify(await checker.check()), worker.lastWords()]
  }

  records(): Promise<number> {
    return this.#checkers
      .get(this.standby)!
      .check()
      .then(({ records }) => records)
  }

  /** Whether the standby's copy of the slot is temporary still; undefined for none. */
  async copy(): Promise<boolean | undefined> {
    return (await this.standby.query(COPY)).rows[0]?.temporary
  }
}

type Branch = (servers: Servers) => Promise<readonly string[]>

const persisted: Branch = servers => {
  const { primary, standby, config, directory } = servers
  return withWorker(config, directory, async worker => {
    for (let i = 0; i < 10; i++) await servers.write(primary)
    const before = await servers.problems(primary, worker)
    if (before.length > 0) return before
    await standby.query('ALTER SYSTEM SET sync_replication_slots = on')
    await standby.query('SELECT pg_reload_conf()')
    // The copy of the slot is temporary until the standby has caught up with it.
    const isPersisted = await eventually(async () => {
      await servers.write(primary)
      await primary.query('SELECT pg_log_standby_snapshot()')
      return (await servers.copy()) === false
    }, WAIT_MS)
    if (!isPersisted) return ['the standby never had the slot for good']
    for (let i = 0; i < 20; i++) await servers.write(primary)
    await servers.goOver()
    return servers.problems(standby, worker)
  })
}

const temporary: Branch = async servers => {
  const { primary, standby, config, directory } = servers
  const lost = await withWorker(config, directory, async worker => {
    for (let i = 0; i < 10; i++) await servers.write(primary)
    const before = await servers.problems(primary, worker)
    if (before.length > 0) return before
    await standby.query('ALTER SYSTEM SET sync_replication_slots = on')
    await standby.query('SELECT pg_reload_conf()')
    const isThere = await eventually(async () => {
      await servers.write(primary)
      return (await servers.copy()) !== undefined
    }, WAIT_MS)
    if (!isThere || !(await servers.copy())) return [MISSED]
    await servers.goOver()
    return (await servers.copy()) === undefined ? refused(servers) : [MISSED]
  })
  if (lost.length > 0) return lost
  servers.configure({ 'snapshot.mode': 'when_needed' })
  return withWorker(config, directory, async worker => {
    const read = await servers.problems(standby, worker)
    for (let i = 0; i < 5; i++) await servers.write(standby)
    return [...read, ...(await servers.problems(standby, worker))]
  })
}

/** The connector says what it is about, and tells nothing more. */
async function refused(servers: Servers): Promise<readonly string[]> {
  const said = () => readFileSync(join(servers.directory, 'worker.log'), 'utf8')
  if (!(await eventually(() => said().includes('POSITION_LOST'), WAIT_MS)))
    return [`no word of it: ${said().slice(-2000)}`]
  const line = said()
    .split('\n')
    .find(one => one.includes('POSITION_LOST'))!
  const message = String(JSON.parse(line).err.message)
  const isClear = /slot kts_load is gone.*[0-9A-F]+\/[0-9A-F]+.*[0-9A-F]+\/[0-9A-F]+.*when_needed.*--drop-slot/s.test(
    message,
  )
  const records = await servers.records()
  await servers.write(servers.standby)
  await pause(1000)
  const after = await servers.records()
  return [
    ...(isClear ? [] : [`it does not name both positions and the ways on: ${message}`]),
    ...(after === records ? [] : [`${after - records} changes came all the same`]),
  ]
}

async function inServers(
  version: PostgresVersion,
  directory: string,
  size: PartSize,
  branch: Branch,
): Promise<readonly string[]> {
  const both = await pair(version)
  const servers = new Servers(both, directory, size)
  try {
    await servers.proxy.open(both.primary.port)
    servers.configure()
    return await branch(servers)
  } finally {
    await servers.proxy.close()
    await both.standby.close()
    await both.primary.close()
  }
}

interface Pair {
  readonly primary: PostgresServer
  readonly standby: PostgresServer
}

/** A primary and a standby that can synchronize its failover slots, once it is told to. */
async function pair(version: PostgresVersion): Promise<Pair> {
  const primary = await startPostgres({ version, settings: { synchronized_standby_slots: STANDBY_SLOT } })
  try {
    // Rows without a key that are read anew stay twice.
    const keyless = LOAD_TABLES.filter(({ key }) => key.length === 0).map(({ name }) => name)
    await primary.run(`${SCHEMA} TRUNCATE ${keyless.join()};`, await primary.createDatabase(DATABASE))
    await primary.query(`SELECT pg_create_physical_replication_slot('${STANDBY_SLOT}', true)`)
    await primary.stop('fast')
    const standby = await startPostgres({
      version,
      copyOf: primary.directory,
      files: { 'standby.signal': '' },
      settings: {
        hot_standby_feedback: 'on',
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
