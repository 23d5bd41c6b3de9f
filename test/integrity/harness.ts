import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Random, randomInt, SeededRandom } from '../../base/index.ts'
import type { Aim, Findings, Load, Suite } from './suite.ts'
import { WorkerProcess } from './worker-process.ts'

export interface RunOptions {
  readonly kills: number
  readonly seed: number
  /** Overrides the suite's, for shortened runs. */
  readonly recordsMin?: number
  readonly say: (line: string) => void
}

export interface Report extends Findings {
  readonly suite: string
  readonly seed: number
  readonly kills: number
  /** The worker ended by itself, though nobody had asked it to. */
  readonly ownExits: number
  /** How the last worker answered SIGTERM; undefined: not within the time. */
  readonly exitCode: number | null | undefined
  /** Kills by the moment that they met, where the load tells them apart. */
  readonly met: Readonly<Record<string, number>>
  /** Moments that no kill met, though one was to. */
  readonly unmet: readonly string[]
  readonly seconds: number
  readonly ok: boolean
}

/** Steps of the load in a row before it rests, and how long: about 2,000 lines a second. */
const STEP_PAUSE_MS = 15
const DRAIN_MAX_MS = 180_000
/** The check reads everything, so it is not asked for more often. */
const DRAIN_CHECK_MS = 1000
const STOP_MAX_MS = 15_000
/** How long a kill waits for the moment that it is to meet. */
const AIM_MAX_MS = 60_000
const AIM_LOOK_MS = 10

/**
 * Kills the suite's worker `kills` times while its load goes on, lets the last one drain, and compares. Everything random
 * comes from the seed; when exactly a kill meets the worker is up to the machine.
 */
export async function runSuite(suite: Suite, options: RunOptions): Promise<Report> {
  const started = Date.now()
  const { seed, kills, say } = options
  const recordsMin = options.recordsMin ?? suite.recordsMin
  const directory = mkdtempSync(join(tmpdir(), `kts-integrity-${suite.name}-`))
  say(`suite ${suite.name}, seed ${seed}, ${kills} kills, in ${directory}`)
  const random = new SeededRandom(seed)
  const work = join(directory, 'run')
  mkdirSync(work)
  const load = await suite.prepare(work, random)
  try {
    const run = await killAndCompare(load, join(directory, 'worker.log'), { ...options, recordsMin }, random)
    const seconds = Math.round((Date.now() - started) / 1000)
    if (run.ok) rmSync(directory, { recursive: true })
    else say(`kept for a look: ${directory}`)
    return { suite: suite.name, seed, kills, ...run, seconds }
  } finally {
    await load.close?.()
  }
}

async function killAndCompare(
  load: Load,
  workerLog: string,
  { kills, recordsMin, say }: Required<RunOptions>,
  random: Random,
): Promise<Omit<Report, 'suite' | 'seed' | 'kills' | 'seconds'>> {
  // The first start-ups of all are killed too; only then does a worker get to know its sources.
  const early = Math.ceil(kills / 10)
  const met: Record<string, number> = {}
  const killing = { load, workerLog, random, say, met }
  let ownExits = await killRepeatedly(early, killing)
  await load.finish()
  const known = await drain(load, workerLog, 0, say)
  load.known()
  ownExits += known.exited + (known.exitCode === 0 ? 0 : 1) + (await killRepeatedly(kills - early, killing))
  while (load.written < recordsMin) await load.step()
  await load.finish()
  const { findings, exitCode, exited } = await drain(load, workerLog, recordsMin, say)
  ownExits += exited
  const { lost, altered, reordered, duplicates, half = 0 } = findings
  const kept = lost + altered + reordered + duplicates + half === 0
  const unmet = (load.moments?.needed ?? []).filter(name => met[name] === undefined)
  for (const name of unmet) say(`no kill met this: ${name}`)
  const ok = kept && findings.records >= recordsMin && ownExits === 0 && exitCode === 0 && unmet.length === 0
  return { ...findings, ownExits, exitCode, met, unmet, ok }
}

interface Killing {
  readonly load: Load
  readonly workerLog: string
  readonly random: Random
  readonly say: RunOptions['say']
  /** Is added to. */
  readonly met: Record<string, number>
}

/** How often a worker ended before its kill. */
async function killRepeatedly(kills: number, { load, workerLog, random, say, met }: Killing): Promise<number> {
  let ownExits = 0
  for (let kill = 1; kill <= kills; kill++) {
    const aim = load.moments?.begin()
    const worker = new WorkerProcess(load.config, workerLog)
    if (aim === undefined) await stepUntil(load, Date.now() + killDelay(random))
    else await stepTo(aim, load, worker)
    worker.signal('SIGKILL')
    const { signal } = await worker.ended
    if (signal !== 'SIGKILL') {
      ownExits++
      say(`the worker ended by itself before kill ${kill}:\n${worker.lastWords()}`)
    }
    for (const name of load.moments?.met() ?? []) met[name] = (met[name] ?? 0) + 1
    // Sometimes the world goes on for a while with no worker there.
    if (randomInt(random, 3) === 0) await stepUntil(load, Date.now() + randomInt(random, 200))
    if (kill % 10 === 0 || kill === kills)
      say(`${kill} kills${Number.isFinite(load.written) ? `, ${load.written} records written` : ''}`)
  }
  return ownExits
}

/** From the first milliseconds of a start-up over recovery to a worker in full swing. */
function killDelay(random: Random): number {
  const phase = random.next()
  if (phase < 0.25) return 5 + randomInt(random, 400)
  return phase < 0.65 ? 400 + randomInt(random, 900) : 1300 + randomInt(random, 2000)
}

async function stepUntil(load: Load, end: number): Promise<void> {
  while (Date.now() < end) {
    await load.step()
    await pause(Math.min(STEP_PAUSE_MS, Math.max(0, end - Date.now())))
  }
}

/** Kills the worker in the moment that is aimed at, if it comes. */
async function stepTo(aim: Aim, load: Load, worker: WorkerProcess): Promise<void> {
  const deadline = Date.now() + AIM_MAX_MS
  const stepping = (async () => {
    while (worker.running) {
      await aim.provoke()
      await load.step()
      await pause(STEP_PAUSE_MS)
    }
  })()
  while (worker.running && !aim.reached() && Date.now() < deadline) await pause(AIM_LOOK_MS)
  worker.signal('SIGKILL')
  await stepping
}

/** Lets a worker deliver the rest, at least `recordsMin` in all, stops it as an administrator would, and compares once more. */
async function drain(load: Load, workerLog: string, recordsMin: number, say: RunOptions['say']) {
  // A worker that makes the records itself has begun its work when there are more of them.
  const enough = Number.isFinite(load.written) ? recordsMin : Math.max(recordsMin, (await load.check()).records + 1)
  const worker = new WorkerProcess(load.config, workerLog)
  const deadline = Date.now() + DRAIN_MAX_MS
  let missing = Number.POSITIVE_INFINITY
  while (missing > 0 && worker.running && Date.now() < deadline) {
    await pause(DRAIN_CHECK_MS)
    const { lost, records } = await load.check()
    missing = lost + Math.max(0, enough - records)
    say(`draining: ${missing} records to come`)
  }
  const exited = worker.running ? 0 : 1
  worker.signal('SIGTERM')
  const end = await Promise.race([worker.ended, pause(STOP_MAX_MS)])
  if (end === undefined) worker.signal('SIGKILL')
  await worker.ended
  if (exited === 1 || end?.code !== 0) say(`the last worker did not end well:\n${worker.lastWords()}`)
  return { findings: await load.check(), exitCode: end?.code, exited }
}

function pause(ms: number): Promise<undefined> {
  return new Promise(resolve => setTimeout(() => resolve(undefined), ms))
}
