import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SeededRandom } from '../../../base/index.ts'
import { type PostgresLoad, preparePostgres, SLOT } from '../postgres-suite.ts'
import { WorkerProcess } from '../worker-process.ts'
import { eventually, type PostgresPart, pause, withWorker } from './part.ts'

const SAID_MS = 30_000
const LSN = /[0-9A-F]{1,8}\/[0-9A-F]{1,8}/g

const DROP = `SELECT pg_drop_replication_slot('${SLOT}')`
const CREATE = `SELECT pg_create_logical_replication_slot('${SLOT}', 'pgoutput')`

/** C3 and C4: a slot that cannot give what comes next stops the connector, with the positions and the ways on. */
export const lostSlots: PostgresPart = {
  name: 'lost-slots',
  doc: 'slot dropped, recreated, confirmed by another, or its WAL removed: an error that names both positions',
  async run(directory, size) {
    const broken: string[] = []
    for (const [name, lose, positions] of LOSSES) {
      const folder = join(directory, name.replaceAll(' ', '-'))
      mkdirSync(folder)
      const load = await preparePostgres(folder, new SeededRandom(size.seed), { 'slot.max.retries': 2 })
      try {
        const problem = await stopsAt(load, folder, lose, positions)
        if (problem !== undefined) broken.push(`${name}: ${problem}`)
        else size.say(`${name}: refused, as it must be`)
      } finally {
        await load.close?.()
      }
    }
    return broken
  },
}

const LOSSES: readonly (readonly [string, (load: PostgresLoad) => Promise<void>, number])[] = [
  ['dropped', async ({ server }) => void (await server.query(DROP)), 1],
  [
    'recreated',
    async load => {
      await load.server.query(DROP)
      for (let i = 0; i < 5; i++) await load.step()
      await load.server.query(CREATE, load.database)
    },
    2,
  ],
  [
    'confirmed by another',
    async load => {
      for (let i = 0; i < 5; i++) await load.step()
      await load.server.query(`SELECT pg_replication_slot_advance('${SLOT}', pg_current_wal_lsn())`, load.database)
    },
    2,
  ],
  [
    'WAL removed',
    async load => {
      const { server, database } = load
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
      if (!(await eventually(lost, 60_000))) throw new Error('the server keeps the WAL')
    },
    1,
  ],
]

/** Undefined when the worker stops the connector with as many positions as asked for, and tells nothing more. */
async function stopsAt(
  load: PostgresLoad,
  directory: string,
  lose: (load: PostgresLoad) => Promise<void>,
  positions: number,
): Promise<string | undefined> {
  const caughtUp = async () => (await load.check()).lost === 0
  const first = await withWorker(load.config, directory, async () => {
    for (let i = 0; i < 20; i++) await load.step()
    await load.finish()
    return eventually(caughtUp, 60_000)
  })
  if (!first) return 'it never caught up before'
  // The server notices a moment later that the worker has gone.
  const inactive = async () =>
    !(await load.server.query(`SELECT active FROM pg_replication_slots WHERE slot_name = '${SLOT}'`)).rows[0]?.active
  await eventually(inactive, 10_000)
  await lose(load)
  const records = (await load.check()).records
  const log = join(directory, 'refused.log')
  const worker = new WorkerProcess(load.config, log)
  try {
    const said = () => readFileSync(log, 'utf8')
    if (!(await eventually(() => /POSITION_LOST/.test(said()), SAID_MS)))
      return `no word of it:\n${said().slice(-2000)}`
    const line = said()
      .split('\n')
      .find(one => one.includes('POSITION_LOST'))!
    if (new Set(line.match(LSN)).size < positions) return `it does not name ${positions} positions: ${line}`
    for (let i = 0; i < 5; i++) await load.step()
    await pause(2000)
    const after = (await load.check()).records
    return after === records ? undefined : `${after - records} changes came all the same`
  } finally {
    worker.signal('SIGKILL')
    await worker.ended
  }
}
