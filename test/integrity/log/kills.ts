import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { errorMessage, ManualClock, nodeFiles } from '../../../base/index.ts'
import { audit, digestOf, readEverything } from './audit.ts'
import type { ChildOrder } from './child.ts'
import type { Event } from './events.ts'
import { Ledger } from './ledger.ts'
import { openLog } from './open.ts'
import { committedRecords, readPlainLog } from './plain-log.ts'
import { ensureTopics, GZIP_TOPICS, WRITERS } from './workload.ts'

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url))
const START = 1_700_000_000_000

/** How a child comes to its end. */
export type Death =
  /** Right before its nth change of the disk. */
  | { readonly killAt: number }
  /** So many milliseconds after its first transaction began. */
  | { readonly afterMs: number }
  /** strace does it, at the nth call of that name: a kill, or an error that the call answers with. */
  | { readonly syscall: string; readonly when: number; readonly error?: string }

export interface LifeReport {
  readonly signal: NodeJS.Signals | null
  readonly problems: readonly string[]
  /** Of a child that came to its end by itself: how often it changed the disk. */
  readonly changes: number | undefined
}

/** A data directory of real files, the children that are killed over it, and the ledger of all of them. */
export class KillRig {
  readonly ledger = new Ledger()
  readonly directory = mkdtempSync(join(tmpdir(), 'kts-log-kills-'))
  readonly #seed: number
  #lives = 0

  constructor(seed: number) {
    this.#seed = seed
  }

  dispose(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }

  /** One child with its death, then everything read back: through a broker, and through a reader of its own. */
  async live(death: Death, transactions: number): Promise<LifeReport> {
    const life = ++this.#lives
    const journal = join(this.directory, `journal-${life}`)
    const order: ChildOrder = {
      directory: join(this.directory, 'data'),
      journal,
      seed: this.#seed * 1000 + life,
      transactions,
      next: Object.fromEntries(WRITERS.map(writer => [writer, this.ledger.next(writer)])),
      now: START + life * 100_000,
      killAt: 'killAt' in death ? death.killAt : 0,
    }
    const child = startChild(order, death)
    const { code, signal, said } = await endOf(child, journal, death)
    const problems = this.#readJournal(journal)
    const expected = signal === 'SIGKILL' || code === 0 || ('error' in death && code === 1)
    if (!expected) problems.push(`the child ended with ${code ?? signal}: ${said}`)
    problems.push(...(await this.#audit(order)))
    return { signal, problems, changes: this.#changes }
  }

  #changes: number | undefined

  #readJournal(journal: string): string[] {
    this.#changes = undefined
    if (!existsSync(journal)) return []
    for (const line of readFileSync(journal, 'utf8').split('\n')) {
      if (line === '') continue
      const event = JSON.parse(line) as Event | { readonly kind: 'closed'; readonly changes: number }
      if (event.kind === 'closed') this.#changes = event.changes
      else this.ledger.tell(event)
    }
    rmSync(journal)
    return []
  }

  async #audit(order: ChildOrder): Promise<string[]> {
    const clock = new ManualClock(order.now + 50_000)
    try {
      const { directory, seed } = order
      const name = `audit ${this.#lives}`
      // Not the child's seed: topics that it was killed before it made would get ids that others have.
      const broker = await openLog({ files: nodeFiles, directory, clock, name, seed: ~seed })
      await ensureTopics(broker, GZIP_TOPICS)
      const problems = await audit(broker, this.ledger, GZIP_TOPICS)
      const digests = new Map<string, string[]>()
      for (const { name, partitions } of GZIP_TOPICS) {
        for (let partition = 0; partition < partitions; partition++) {
          const records = await readEverything(broker, name, partition, 'read_committed')
          digests.set(
            `${name}-${partition}`,
            records.map(record => `${record.offset} ${digestOf(record)}`),
          )
        }
      }
      await broker.close()
      for (const [place, wanted] of digests)
        problems.push(...comparePlain(`${order.directory}/${place}`, place, wanted))
      return problems
    } catch (error) {
      return [`the log does not open, or not close: ${errorMessage(error)}`]
    }
  }
}

/** Whether strace is here and may trace. */
export function straceWorks(): boolean {
  try {
    execFileSync('strace', ['-f', '-o', '/dev/null', '-e', 'trace=none', 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function startChild(order: ChildOrder, death: Death): ChildProcess {
  const node = [process.execPath, '--import', 'tsx', CHILD, JSON.stringify(order)]
  const inject = 'syscall' in death ? straceOf(death) : []
  const [command, ...args] = [...inject, ...node]
  return spawn(command!, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    // strace counts the calls of each thread.
    env: { ...process.env, ...('syscall' in death ? { UV_THREADPOOL_SIZE: '1' } : {}) },
  })
}

function straceOf({ syscall, when, error }: Extract<Death, { syscall: string }>): string[] {
  const what = error === undefined ? 'signal=KILL' : `error=${error}`
  return ['strace', '-f', '-o', '/dev/null', '-e', `trace=${syscall}`, '-e', `inject=${syscall}:${what}:when=${when}`]
}

async function endOf(child: ChildProcess, journal: string, death: Death) {
  let said = ''
  child.stderr!.on('data', chunk => {
    said = (said + String(chunk)).slice(-2000)
  })
  let ended = false
  const end = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      ended = true
      resolve({ code, signal })
    })
  })
  if ('afterMs' in death) {
    while (!ended && !hasBegun(journal)) await pause(5)
    await pause(death.afterMs)
    child.kill('SIGKILL')
  }
  const { code, signal } = await end
  return { code, signal, said }
}

function hasBegun(journal: string): boolean {
  return existsSync(journal) && statSync(journal).size > 0
}

/** What lies in the files, as somebody reads it who has never seen the engine, is what the engine shows. */
function comparePlain(directory: string, place: string, wanted: readonly string[]): string[] {
  const problems: string[] = []
  try {
    const batches = readPlainLog(directory)
    let next = batches[0]?.baseOffset ?? 0
    for (const { baseOffset, lastOffset, file, position } of batches) {
      if (baseOffset < next) problems.push(`${place}: ${file}:${position} begins at ${baseOffset}, below ${next}`)
      next = lastOffset + 1
    }
    const found = committedRecords(batches).map(
      ({ offset, timestamp, headers }) => `${offset} ${headers[0]?.[1]?.toString()} @${timestamp}`,
    )
    // The engine's start may lie inside of the first segment.
    const first = wanted.length === 0 ? found.length : found.indexOf(wanted[0]!)
    const rest = found.slice(first)
    const at = wanted.findIndex((text, i) => text !== rest[i])
    if (at >= 0) problems.push(`${place}: the files hold ${rest[at]} where the broker shows ${wanted[at]}`)
    else if (rest.length !== wanted.length) problems.push(`${place}: the files end with ${rest.at(-1)}`)
  } catch (error) {
    problems.push(`${place}: ${errorMessage(error)}`)
  }
  return problems
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
