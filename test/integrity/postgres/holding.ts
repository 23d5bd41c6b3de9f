import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SeededRandom } from '../../../base/index.ts'
import { lsnOf } from '../../support/postgres-lsn.ts'
import type { PostgresServer } from '../../support/postgres.ts'
import { loadPipeline, type PostgresLoad, preparePostgres, SLOT } from '../postgres-suite.ts'
import type { WorkerProcess } from '../worker-process.ts'
import { slotLag } from './checker.ts'
import { eventually, type PartSize, type PostgresPart, pause, withWorker } from './part.ts'
import { Pgbench } from './pgbench.ts'

/** Beyond what the rows of this many take, a worker's memory is to be the same for any number. */
const ROWS_BEFORE = 100_000
const GROWTH_MAX = 1.25
/** For the rows of the start, on a machine that has others to do. */
const LOAD_MS = 180_000
const HUGE_MS = 240_000

/** C7: a transaction of any size goes through in the same memory. */
export const hugeTransaction: PostgresPart = {
  name: 'huge-transaction',
  doc: `one transaction of very many rows takes no more memory than one of ${ROWS_BEFORE.toLocaleString('en')}`,
  async run(directory, size) {
    const load = await preparePostgres(directory, new SeededRandom(size.seed))
    try {
      return await withWorker(load.config, directory, async worker => {
        await load.finish()
        if (!(await eventually(async () => (await load.check()).lost === 0, LOAD_MS))) return [worker.lastWords()]
        const few = await peakBehind(ROWS_BEFORE, load, worker, size)
        const many = await peakBehind(size.rows, load, worker, size)
        const broken = [...few.broken, ...many.broken]
        if (many.peak > few.peak * GROWTH_MAX)
          broken.push(`the worker took ${few.peak} MB for ${ROWS_BEFORE} rows, and ${many.peak} MB for ${size.rows}`)
        return broken
      })
    } finally {
      await load.close?.()
    }
  },
}

/** The most that the worker has ever taken, in megabytes, once it has told a transaction of so many rows. */
async function peakBehind(rows: number, load: PostgresLoad, worker: WorkerProcess, { say }: PartSize) {
  const before = (await load.check()).records
  await load.server.query(
    `INSERT INTO keyless SELECT i, md5(i::text) || md5((i + 1)::text) FROM generate_series(1, ${rows}) i`,
    load.database,
  )
  await load.finish()
  const broken: string[] = []
  if (!(await eventually(async () => (await load.check()).lost === 0, HUGE_MS))) broken.push(worker.lastWords())
  const peak = peakOf(worker.pid!)
  const findings = await load.check()
  say(`peak ${peak} MB behind ${rows} rows; ${JSON.stringify(findings)}`)
  if (findings.lost + findings.altered + findings.duplicates + findings.reordered + (findings.half ?? 0) > 0)
    broken.push(JSON.stringify(findings))
  const came = findings.records - before
  if (came < rows) broken.push(`${came} changes of ${rows}`)
  return { peak, broken }
}

/** In megabytes. */
function peakOf(pid: number): number {
  return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024)
}

const LAG_MAX = 64 << 20
/** Of WAL, which are written in a round beside the captured table: enough that a slot that stood still would show it. */
const ROUND_BYTES = 64 << 20
const LOOK_MS = 200
const BUSY_ROWS = 1000
const BUSY = `
CREATE TABLE busy(id int PRIMARY KEY, v text) WITH (fillfactor = 50);
INSERT INTO busy SELECT i, '' FROM generate_series(1, ${BUSY_ROWS}) i;
`
/** Rows of its own for each of the four clients; about 50 kB of WAL. */
const BUSY_SCRIPT = `
\\set id random(1, 200)
UPDATE busy SET v = repeat(md5(random()::text), 32) WHERE id BETWEEN :client_id * 250 + :id AND :client_id * 250 + :id + 45;
`
/** Transactions a second: about 15 MB of WAL, as a server has that works hard. */
const BUSY_RATE = 300

/** C6: nothing of what is captured changes, and the WAL of what is not captured is let go while it is written. */
export const quietTable: PostgresPart = {
  name: 'quiet-table',
  doc: 'a quiet captured table beside a busy one: the confirmed position is never 64 MB behind',
  async run(directory, size) {
    const load = await preparePostgres(directory, new SeededRandom(size.seed))
    const script = join(directory, 'busy.sql')
    writeFileSync(script, BUSY_SCRIPT)
    const pgbench = new Pgbench(load.server, load.database, [`--file=${script}`, `--rate=${BUSY_RATE}`])
    try {
      await load.server.run(BUSY, load.database)
      const settings = {
        'table.include.list': 'public.emptied',
        'publication.autocreate.mode': 'filtered',
        // The default, unlike the load's.
        'status.update.interval.ms': 10_000,
      }
      writeFileSync(load.config, loadPipeline(load.server, settings))
      return await withWorker(load.config, directory, async worker => {
        const there = await eventually(async () => (await slotLag(load.server, SLOT)) < LAG_MAX, LOAD_MS)
        if (!there) return [`no slot: ${worker.lastWords()}`]
        const most = await mostBehind(load, pgbench, size)
        return most < LAG_MAX ? [] : [`the slot was ${most} bytes behind: ${worker.lastWords()}`]
      })
    } finally {
      await pgbench.stop()
      await load.close?.()
    }
  },
}

/** The most that the slot was behind, in bytes of WAL, while pgbench wrote. */
async function mostBehind({ server }: PostgresLoad, pgbench: Pgbench, { rounds, say }: PartSize): Promise<number> {
  const began = await walEnd(server)
  const startedAt = Date.now()
  let [most, written, looks] = [0, 0, 0]
  while (written < rounds * ROUND_BYTES) {
    pgbench.run()
    most = Math.max(most, await slotLag(server, SLOT))
    written = (await walEnd(server)) - began
    looks++
    await pause(LOOK_MS)
  }
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(0)
  const mega = (bytes: number) => `${(bytes / (1 << 20)).toFixed(1)} MB`
  say(`${mega(written)} of WAL elsewhere in ${seconds} s, ${looks} looks: at most ${mega(most)} behind`)
  return most
}

async function walEnd(server: PostgresServer): Promise<number> {
  return lsnOf((await server.query('SELECT pg_current_wal_lsn() AS now')).rows[0].now)
}
