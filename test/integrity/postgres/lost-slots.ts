import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SeededRandom } from '../../../base/index.ts'
import { POSTGRES_VERSIONS, type PostgresVersion } from '../../support/postgres-binaries.ts'
import { type PostgresLoad, preparePostgres, SLOT } from '../postgres-suite.ts'
import { WorkerProcess } from '../worker-process.ts'
import { eventually, isWhole, type PostgresPart, pause } from './part.ts'

const CAUGHT_UP_MS = 120_000
const SAID_MS = 60_000
/** How long a reader stands still while WAL is removed under it. */
const STILL_MS = 2000
/** How long it is looked whether changes come all the same. */
const QUIET_MS = 1000
/** Rounds from which on each loss meets each version; below some do, shared out among two. */
const ALL_ROUNDS = 30
const SOME_VERSIONS: readonly PostgresVersion[] = [15, 17]
const LSN = /[0-9A-F]{1,8}\/[0-9A-F]{1,8}/g

const DROP = `SELECT pg_drop_replication_slot('${SLOT}')`
const CREATE = `SELECT pg_create_logical_replication_slot('${SLOT}', 'pgoutput')`
const READER = `SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = '${SLOT}' AND active`

/** What happens to the slot, at last something that only another slot could tell of. */
interface Loss {
  readonly name: string
  /** While the worker runs; else while it is stopped. */
  readonly underIt: boolean
  /** Also in a reduced run. */
  readonly always: boolean
  lose(load: PostgresLoad): Promise<void>
}

/** C3 and C4: a slot that cannot give what comes next stops the connector, with the positions and the ways on. */
export const lostSlots: PostgresPart = {
  name: 'lost-slots',
  doc: 'slot dropped, recreated, confirmed by another, or its WAL removed, with the worker stopped and under it: an error that names both positions',
  async run(directory, size) {
    const broken: string[] = []
    const isWholeRun = size.rounds >= ALL_ROUNDS
    for (const [i, loss] of LOSSES.filter(({ always }) => always || isWholeRun).entries()) {
      const one = SOME_VERSIONS[(i + size.seed) % SOME_VERSIONS.length]!
      for (const version of isWholeRun ? POSTGRES_VERSIONS : [one]) {
        const what = `${loss.name}, PostgreSQL ${version}`
        const folder = join(directory, what.replaceAll(/[ ,]+/g, '-'))
        mkdirSync(folder)
        const settings = { 'slot.max.retries': 2, 'slot.retry.delay.ms': 500 }
        const load = await preparePostgres(folder, new SeededRandom(size.seed), settings, version)
        try {
          const problem = await problemOf(load, folder, loss)
          if (problem !== undefined) broken.push(`${what}: ${problem}`)
          else size.say(`${what}: refused, as it must be`)
        } finally {
          await load.close?.()
        }
      }
    }
    return broken
  },
}

const LOSSES: readonly Loss[] = [
  {
    name: 'dropped',
    underIt: false,
    always: false,
    async lose(load) {
      await load.server.query(DROP)
      await write(load)
    },
  },
  {
    name: 'dropped under it',
    underIt: true,
    always: true,
    async lose(load) {
      await takeAway(load, DROP)
      await write(load)
    },
  },
  {
    name: 'recreated',
    underIt: false,
    always: true,
    async lose(load) {
      await load.server.query(DROP)
      await write(load)
      await load.server.query(CREATE, load.database)
    },
  },
  {
    name: 'recreated under it',
    underIt: true,
    always: false,
    async lose(load) {
      // In one statement, or the worker finds that there is none. It lies behind the change that is written in front of it.
      await takeAway(load, `INSERT INTO ledger VALUES (99, 0); ${DROP}`)
      await load.server.query(CREATE, load.database)
    },
  },
  {
    name: 'confirmed by another',
    underIt: false,
    always: true,
    async lose(load) {
      await write(load)
      await load.server.query(`SELECT pg_replication_slot_advance('${SLOT}', pg_current_wal_lsn())`, load.database)
    },
  },
  { name: 'WAL removed', underIt: false, always: true, lose: removeWal },
  {
    name: 'WAL removed under it',
    underIt: true,
    always: false,
    async lose(load) {
      const [reader] = (await load.server.query(READER)).rows
      process.kill(reader.pid, 'SIGSTOP')
      const removal = removeWal(load)
      // The server ends a reader that stands still and waits for it, which cannot end before it goes on.
      await pause(STILL_MS)
      process.kill(reader.pid, 'SIGCONT')
      await removal
    },
  },
]

async function write(load: PostgresLoad): Promise<void> {
  for (let i = 0; i < 5; i++) await load.step()
}

/** Ends the reader and runs `sql` before it is back; again until that comes off. */
async function takeAway({ server, database }: PostgresLoad, sql: string): Promise<void> {
  const done = await eventually(async () => {
    for (const { pid } of (await server.query(READER)).rows)
      await server.query(`SELECT pg_terminate_backend(${pid}, 1000)`)
    return server.query(sql, database).then(
      () => true,
      () => false,
    )
  }, CAUGHT_UP_MS)
  if (!done) throw new Error('the slot was never free')
}

async function removeWal({ server, database }: PostgresLoad): Promise<void> {
  await server.query("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
  await server.query("ALTER SYSTEM SET max_wal_size = '32MB'")
  await server.query('SELECT pg_reload_conf()')
  const lost = async () => {
    await server.query('UPDATE accounts SET balance = balance + 1 WHERE id % 4 = 0', database)
    await server.query('SELECT pg_switch_wal()')
    await server.query('CHECKPOINT')
    const { rows } = await server.query(`SELECT wal_status FROM pg_replication_slots WHERE slot_name = '${SLOT}'`)
    return rows[0]?.wal_status === 'lost'
  }
  if (!(await eventually(lost, CAUGHT_UP_MS))) throw new Error('the server keeps the WAL')
}

/** Undefined when the worker stops the connector with two positions, and tells nothing more. */
async function problemOf(load: PostgresLoad, directory: string, loss: Loss): Promise<string | undefined> {
  const log = join(directory, 'worker.log')
  const said = () => readFileSync(log, 'utf8')
  let worker = new WorkerProcess(load.config, log)
  try {
    for (let i = 0; i < 20; i++) await load.step()
    await load.finish()
    if (!(await eventually(async () => isWhole(await load.check()), CAUGHT_UP_MS)))
      return `it never caught up before: ${worker.lastWords()}`
    if (!loss.underIt) {
      worker.signal('SIGTERM')
      await worker.ended
      // The server notices a moment later that the worker has gone.
      await eventually(async () => (await load.server.query(READER)).rows.length === 0, CAUGHT_UP_MS)
    }
    await loss.lose(load)
    if (!loss.underIt) worker = new WorkerProcess(load.config, log)
    if (!(await eventually(() => /POSITION_LOST/.test(said()), SAID_MS)))
      return `no word of it:\n${said().slice(-2000)}`
    const line = said()
      .split('\n')
      .find(one => one.includes('POSITION_LOST'))!
    const message = String(JSON.parse(line).err.message)
    if (new Set(message.match(LSN)).size < 2) return `it does not name two positions: ${message}`
    if (!/snapshot\.mode.*--drop-slot/s.test(message)) return `it does not name the ways on: ${message}`
    const { records } = await load.check()
    await write(load)
    await pause(QUIET_MS)
    const after = (await load.check()).records
    return after === records ? undefined : `${after - records} changes came all the same`
  } finally {
    worker.signal('SIGKILL')
    await worker.ended
  }
}
