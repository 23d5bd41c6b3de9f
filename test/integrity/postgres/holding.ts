import { readFileSync, writeFileSync } from 'node:fs'
import { SeededRandom } from '../../../base/index.ts'
import { loadPipeline, preparePostgres, SLOT } from '../postgres-suite.ts'
import { slotLag } from './checker.ts'
import { eventually, type PostgresPart, withWorker } from './part.ts'

/** A worker has about 130 MB without anything to do; a transaction that it held would be several times this. */
const RSS_MAX_MB = 400
const LAG_MAX = 1 << 20

/** C7: a transaction of any size goes through in bounded memory. */
export const hugeTransaction: PostgresPart = {
  name: 'huge-transaction',
  doc: 'one transaction of very many rows, with flat memory',
  async run(directory, size) {
    const load = await preparePostgres(directory, new SeededRandom(size.seed))
    try {
      return await withWorker(load.config, directory, async worker => {
        await load.finish()
        if (!(await eventually(async () => (await load.check()).lost === 0, 60_000))) return [worker.lastWords()]
        const before = peakOf(worker.pid!)
        const rows = `SELECT i, md5(i::text) || md5((i + 1)::text) FROM generate_series(1, ${size.rows}) i`
        await load.server.query(`INSERT INTO keyless ${rows}`, load.database)
        await load.finish()
        const came = await eventually(async () => (await load.check()).lost === 0, 240_000)
        const findings = await load.check()
        const peak = peakOf(worker.pid!)
        size.say(`peak ${before} MB before, ${peak} MB behind ${size.rows} rows; ${JSON.stringify(findings)}`)
        const broken: string[] = []
        if (!came || findings.altered + findings.duplicates + findings.reordered + (findings.half ?? 0) > 0)
          broken.push(JSON.stringify(findings))
        if (findings.records < size.rows) broken.push(`${findings.records} changes of ${size.rows}`)
        if (peak > RSS_MAX_MB) broken.push(`the worker took ${peak} MB, and not ${RSS_MAX_MB} at most`)
        return broken
      })
    } finally {
      await load.close?.()
    }
  },
}

/** In megabytes. */
function peakOf(pid: number): number {
  return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024)
}

/** C6: nothing is captured, and the WAL of what is not captured is let go. */
export const quietTable: PostgresPart = {
  name: 'quiet-table',
  doc: 'a quiet captured table beside busy ones: the confirmed position goes on',
  async run(directory, size) {
    const load = await preparePostgres(directory, new SeededRandom(size.seed))
    try {
      const settings = {
        'table.include.list': 'public.emptied',
        'publication.autocreate.mode': 'filtered',
        'slot.heartbeat.interval.ms': 500,
      }
      writeFileSync(load.config, loadPipeline(load.server, settings))
      return await withWorker(load.config, directory, async worker => {
        const there = await eventually(async () => (await slotLag(load.server, SLOT)) < LAG_MAX, 60_000)
        if (!there) return [`no slot: ${worker.lastWords()}`]
        let written = 0
        for (let i = 0; i < 20; i++) {
          await load.server.query('UPDATE accounts SET balance = balance + 1', load.database)
          written += 20_000
        }
        const lag = await slotLag(load.server, SLOT)
        const held = await eventually(async () => (await slotLag(load.server, SLOT)) < LAG_MAX, 30_000)
        size.say(`${lag} bytes held behind ${written} rows elsewhere, ${await slotLag(load.server, SLOT)} at the end`)
        return held ? [] : [`the slot still holds ${await slotLag(load.server, SLOT)} bytes: ${worker.lastWords()}`]
      })
    } finally {
      await load.close?.()
    }
  },
}
