import { writeFileSync } from 'node:fs'
import { type Random, randomInt, SeededRandom } from '../../../base/index.ts'
import { loadPipeline, type PostgresLoad, preparePostgres } from '../postgres-suite.ts'
import type { WorkerProcess } from '../worker-process.ts'
import { BYTES_MAX, CuttingProxy } from './cutting-proxy.ts'
import { eventually, isWhole, type PartSize, type PostgresPart, pause, withWorker } from './part.ts'

/** Of reliability.md: it resumes by itself within 30 s once the server is back. Twice that for a machine that has others to do. */
const RESUMES_MS = 60_000
const LOAD_MS = 200_000
/** Rounds between two looks how long it takes to resume; those between meet a worker that is still catching up. */
const LOOK_EVERY = 5

/** What happens to a worker that runs on through all of it. */
interface Interruption {
  /** Once in a round. */
  interrupt(load: PostgresLoad, random: Random): Promise<void>
  /** Before the worker starts. */
  before?(load: PostgresLoad): Promise<void>
  /** The rows of the start have come. Answers what is wrong about how. */
  loaded?(): readonly string[]
  /** After the rounds, when everything is to come. */
  behind?(): void
}

/** C2: the server goes away and comes back. */
export const restarts: PostgresPart = {
  name: 'restarts',
  doc: 'PostgreSQL restarted fast and immediate, and killed, while the worker runs on',
  run: (directory, size) =>
    interrupted(directory, size, {
      async interrupt({ server }, random) {
        const way = randomInt(random, 3)
        if (way === 0) await server.kill()
        else await server.stop(way === 1 ? 'fast' : 'immediate')
        await pause(randomInt(random, 500))
        await server.start()
      },
    }),
}

export const walsenders: PostgresPart = {
  name: 'walsender',
  doc: 'the process that sends the changes is stopped for a while, or ended, or all of our connections are',
  run: (directory, size) =>
    interrupted(directory, size, {
      async interrupt({ server }, random) {
        const whom = random.next() < 0.2 ? "application_name LIKE 'kts-connect %'" : "backend_type = 'walsender'"
        const { rows } = await server.query(`SELECT pid FROM pg_stat_activity WHERE ${whom}`)
        for (const { pid } of rows) {
          if (random.next() < 0.5) await server.query(`SELECT pg_terminate_backend(${pid})`)
          else await stopped(pid, 200 + randomInt(random, 1500))
        }
      },
    }),
}

async function stopped(pid: number, ms: number): Promise<void> {
  try {
    process.kill(pid, 'SIGSTOP')
    await pause(ms)
    process.kill(pid, 'SIGCONT')
  } catch {
    // It has just ended by itself.
  }
}

export const cuts: PostgresPart = {
  name: 'cuts',
  doc: 'a proxy cuts every connection after a random number of bytes, in the snapshot and in the stream',
  async run(directory, size) {
    const proxy = new CuttingProxy(new SeededRandom(size.seed))
    let inSnapshot = 0
    const interruption: Interruption = {
      async before(load) {
        await proxy.open(load.server.port)
        proxy.cuts = 'short'
        // Without a key a table comes through in one connection or begins anew.
        await load.server.query('DELETE FROM keyless WHERE n > 0', load.database)
        writeFileSync(load.config, loadPipeline(load.server, { 'database.port': proxy.port }))
      },
      loaded() {
        inSnapshot = proxy.cutCount
        size.say(`${inSnapshot} connections cut within ${BYTES_MAX} bytes while the tables were read`)
        proxy.cuts = 'mixed'
        return inSnapshot < 10 ? [`only ${inSnapshot} connections were cut in the snapshot`] : []
      },
      async interrupt(_load, random) {
        await pause(randomInt(random, 500))
        proxy.cutAll()
      },
      behind() {
        size.say(`${proxy.cutCount - inSnapshot} connections cut among their bytes in the stream`)
        proxy.cuts = 'none'
      },
    }
    try {
      return await interrupted(directory, size, interruption)
    } finally {
      await proxy.close()
    }
  },
}

/** A load with `rounds` interruptions; then everything must be there, once and in order, without the worker ending. */
async function interrupted(directory: string, size: PartSize, interruption: Interruption): Promise<readonly string[]> {
  const random = new SeededRandom(size.seed)
  const load = await preparePostgres(directory, random)
  try {
    await interruption.before?.(load)
    return await withWorker(load.config, directory, async worker => {
      const started = Date.now()
      await load.finish()
      if (!(await eventually(async () => isWhole(await load.check()), LOAD_MS)))
        return [`the rows of the start did not come: ${JSON.stringify(await load.check())}`, worker.lastWords()]
      size.say(`loaded in ${seconds(started)} s`)
      const broken = [...(interruption.loaded?.() ?? [])]
      // What was written before is in the snapshot.
      const before = load.written
      broken.push(...(await rounds(load, worker, size, { interruption, random })))
      interruption.behind?.()
      broken.push(...(await caughtUp(load, worker, size, load.written - before)))
      return broken
    })
  } finally {
    await load.close?.()
  }
}

async function rounds(
  load: PostgresLoad,
  worker: WorkerProcess,
  size: PartSize,
  { interruption, random }: { readonly interruption: Interruption; readonly random: Random },
): Promise<readonly string[]> {
  let longest = 0
  for (let round = 1; round <= size.rounds; round++) {
    const until = Date.now() + 200 + randomInt(random, 600)
    while (Date.now() < until) await load.step()
    await interruption.interrupt(load, random)
    if (!worker.running) return [`the worker ended by itself in round ${round}:\n${worker.lastWords()}`]
    if (round % LOOK_EVERY === 0 || round === size.rounds) {
      const back = Date.now()
      const { records } = await load.check()
      await load.finish()
      const resumed = await eventually(async () => (await load.check()).records > records, RESUMES_MS)
      if (!resumed) return [`nothing came for ${seconds(back)} s behind round ${round}:\n${worker.lastWords()}`]
      longest = Math.max(longest, Date.now() - back)
    }
    if (round % 10 === 0) size.say(`${round} rounds, ${load.written} rows`)
  }
  size.say(`resumed within ${(longest / 1000).toFixed(1)} s at the longest`)
  return []
}

async function caughtUp(
  load: PostgresLoad,
  worker: WorkerProcess,
  size: PartSize,
  written: number,
): Promise<readonly string[]> {
  await load.finish()
  const started = Date.now()
  await eventually(async () => (await load.check()).lost === 0, 4 * RESUMES_MS)
  const took = seconds(started)
  // Then, as the worker is at rest, nothing moves any more.
  await pause(1000)
  const findings = await load.check()
  size.say(`caught up in ${took} s: ${JSON.stringify(findings)}`)
  const broken: string[] = []
  if (!isWhole(findings)) broken.push(JSON.stringify(findings))
  if (findings.records < written) broken.push(`${findings.records} changes of ${written} written rows`)
  return broken.length === 0 ? [] : [...broken, worker.lastWords()]
}

function seconds(since: number): string {
  return ((Date.now() - since) / 1000).toFixed(1)
}
