import { type Random, randomInt, SeededRandom } from '../../../base/index.ts'
import { writeFileSync } from 'node:fs'
import { loadPipeline, type PostgresLoad, preparePostgres } from '../postgres-suite.ts'
import type { Findings } from '../suite.ts'
import { CuttingProxy } from './cutting-proxy.ts'
import { eventually, type PartSize, type PostgresPart, pause, withWorker } from './part.ts'

/** Of reliability.md: it resumes by itself within this once the server is back. */
const RESUMES_MS = 30_000

type Interrupt = (load: PostgresLoad, random: Random) => Promise<void>

/** C2: the server goes away and comes back; the worker runs on through all of it. */
export const restarts: PostgresPart = {
  name: 'restarts',
  doc: 'PostgreSQL restarted fast and immediate, and killed, while the worker runs on',
  run: (directory, size) =>
    interrupted(directory, size, async ({ server }, random) => {
      const way = randomInt(random, 3)
      if (way === 0) await server.kill()
      else await server.stop(way === 1 ? 'fast' : 'immediate')
      await pause(randomInt(random, 500))
      await server.start()
    }),
}

export const walsenders: PostgresPart = {
  name: 'walsender',
  doc: 'the process that sends the changes is stopped for a while, or ended',
  run: (directory, size) =>
    interrupted(directory, size, async ({ server, database }, random) => {
      const { rows } = await server.query("SELECT pid FROM pg_stat_replication WHERE application_name <> ''", database)
      const all = rows.length > 0 ? rows : (await server.query('SELECT pid FROM pg_stat_replication')).rows
      for (const { pid } of all) {
        if (random.next() < 0.5) await server.query(`SELECT pg_terminate_backend(${pid})`)
        else {
          process.kill(pid, 'SIGSTOP')
          await pause(200 + randomInt(random, 1500))
          process.kill(pid, 'SIGCONT')
        }
      }
    }),
}

export const cuts: PostgresPart = {
  name: 'cuts',
  doc: 'a proxy cuts every connection after a random number of bytes',
  async run(directory, size) {
    const proxy = new CuttingProxy(new SeededRandom(size.seed))
    try {
      return await interrupted(
        directory,
        size,
        async () => {
          proxy.cuts = true
          await pause(300)
          proxy.cutAll()
        },
        async load => {
          await proxy.open(load.server.port)
          writeFileSync(load.config, loadPipeline(load.server, { 'database.port': proxy.port }))
        },
        () => {
          proxy.cuts = false
        },
      )
    } finally {
      await proxy.close()
    }
  },
}

/** A load with `rounds` interruptions; then everything must be there, once and in order, without the worker ending. */
async function interrupted(
  directory: string,
  size: PartSize,
  interrupt: Interrupt,
  before: (load: PostgresLoad) => Promise<void> = async () => {},
  behind: () => void = () => {},
): Promise<readonly string[]> {
  const random = new SeededRandom(size.seed)
  const load = await preparePostgres(directory, random)
  try {
    await before(load)
    return await withWorker(load.config, directory, async worker => {
      const broken: string[] = []
      await load.finish()
      const arrived = async () => (await load.check()).lost === 0
      if (!(await eventually(arrived, 4 * RESUMES_MS))) return [`nothing came: ${worker.lastWords()}`]
      // What was written before is in the snapshot.
      const before = load.written
      for (let round = 1; round <= size.rounds; round++) {
        const until = Date.now() + 200 + randomInt(random, 600)
        while (Date.now() < until) await load.step()
        await interrupt(load, random)
        if (!worker.running) return [`the worker ended by itself in round ${round}:\n${worker.lastWords()}`]
        if (round % 10 === 0) size.say(`${round} rounds, ${load.written} rows`)
      }
      behind()
      await load.finish()
      const started = Date.now()
      let findings: Findings | undefined
      await eventually(async () => {
        findings = await load.check()
        return findings.lost === 0
      }, 4 * RESUMES_MS)
      // Then, as the worker is at rest, nothing moves any more.
      await pause(1000)
      findings = await load.check()
      size.say(`caught up in ${((Date.now() - started) / 1000).toFixed(1)} s: ${JSON.stringify(findings)}`)
      const { lost, altered, reordered, duplicates, half, records } = findings
      if (lost + altered + reordered + duplicates + (half ?? 0) > 0) broken.push(JSON.stringify(findings))
      if (records < load.written - before) broken.push(`${records} changes of ${load.written - before} written rows`)
      if (broken.length > 0) broken.push(worker.lastWords())
      return broken
    })
  } finally {
    await load.close?.()
  }
}
