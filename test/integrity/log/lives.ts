import { type FileCall, FaultyFiles } from '../../../base/faulty-files.ts'
import { errorMessage, ManualClock, type Random, randomInt, SeededRandom } from '../../../base/index.ts'
import { MemoryFiles } from '../../../base/memory-files.ts'
import type { EmbeddedBroker } from '../../../broker/embedded.ts'
import { audit } from './audit.ts'
import type { Event } from './events.ts'
import { Ledger } from './ledger.ts'
import { openLog } from './open.ts'
import { ensureTopics, runWorkload, TOPICS } from './workload.ts'

const OWNER_MS = 6000

/** How a life ends: `kill` leaves what was written, a power cut only what was synced and parts of the rest. */
export type End = 'kill' | 'power cut' | 'close'

export interface LifePlan {
  readonly end: End
  /** The life ends at this of its file calls, counted from 1, or when its work is done. */
  readonly at: number
  /** Of each writer. */
  readonly transactions: number
  /** How often a writer that met a full disk tries again. */
  readonly patience?: number
  /** Breaks the disk, once the topics are there. */
  readonly trouble?: (files: FaultyFiles, clock: ManualClock) => void
}

/** What happened in a run: too little of any of it proves nothing. */
export interface Activity {
  commits: number
  aborts: number
  undecided: number
  reads: number
  deletes: number
  rolls: number
  deletions: number
  compactions: number
  ends: number
}

export function noActivity(): Activity {
  return { commits: 0, aborts: 0, undecided: 0, reads: 0, deletes: 0, rolls: 0, deletions: 0, compactions: 0, ends: 0 }
}

export function addActivity(sum: Activity, more: Activity): void {
  for (const name of Object.keys(sum) as (keyof Activity)[]) sum[name] += more[name]
}

/** A data directory on a disk in memory that outlives the processes which work on it, and the ledger of all of them. */
export class Lives {
  readonly ledger = new Ledger()
  readonly activity = noActivity()
  readonly clock = new ManualClock()
  readonly #random: Random
  #opened = 0
  disk: MemoryFiles

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
    this.disk = new MemoryFiles(new SeededRandom(seed ^ 0x5eed), { clock: this.clock })
  }

  /** One process: opens, works, and ends. Answers how many file calls it made and what ended its work early. */
  async live(plan: LifePlan): Promise<{ readonly calls: number; readonly failure: unknown }> {
    const { transactions, patience = 0 } = plan
    const life = new Life(this.disk, plan, this.#random, this.activity)
    const work = async () => {
      const broker = await this.#open(life)
      await ensureTopics(broker, TOPICS)
      plan.trouble?.(life.files, this.clock)
      const failure = await runWorkload({
        broker,
        random: this.#random,
        tell: event => {
          if (!life.over || !deniesSuccess(event)) this.ledger.tell(event)
        },
        topics: TOPICS,
        transactions,
        patience,
        next: writer => this.ledger.next(writer),
        advance: ms => this.clock.advance(ms),
      })
      if (failure !== undefined) throw failure
      if (plan.end === 'close') await broker.close()
    }
    const failure = await work().then(
      () => undefined,
      error => error as unknown,
    )
    const { calls } = life
    this.disk = life.end()
    this.activity.ends++
    return { calls, failure }
  }

  #open({ files }: Life): Promise<EmbeddedBroker> {
    const seed = randomInt(this.#random, 2 ** 31)
    // An owner file that was never finished counts as being written while it is younger than five seconds.
    this.clock.jump(this.clock.now() + OWNER_MS)
    return openLog({ files, directory: '/data', clock: this.clock, name: `life ${++this.#opened}`, seed })
  }

  /** Opens in peace and compares; what is broken in words. Ends by a close or a kill. */
  async audit(): Promise<string[]> {
    const life = new Life(this.disk, { end: 'kill', at: Number.POSITIVE_INFINITY }, this.#random, this.activity)
    try {
      const broker = await this.#open(life)
      const problems = await audit(broker, this.ledger, TOPICS)
      if (randomInt(this.#random, 2) === 0) await broker.close()
      return problems
    } catch (error) {
      return [`the log does not open, or not close: ${errorMessage(error)}`]
    } finally {
      life.end()
      const { commits, aborts, undecided, reads, deletes } = this.ledger.counts
      Object.assign(this.activity, { commits, aborts, undecided, reads, deletes })
    }
  }
}

/** What the dead say of their failures does not count: they were not there any more to be told of them. */
function deniesSuccess(event: Event): boolean {
  return event.kind === 'ended' && event.how !== 'committed'
}

/** The file calls of one process, and its end. */
class Life {
  readonly files: FaultyFiles
  calls = 0
  over = false
  readonly #disk: MemoryFiles
  readonly #end: End
  #after: MemoryFiles | undefined

  constructor(disk: MemoryFiles, plan: Pick<LifePlan, 'end' | 'at'>, random: Random, activity: Activity) {
    this.#disk = disk
    this.#end = plan.end
    const torn = randomInt(random, 300)
    let tearing = false
    this.files = new FaultyFiles(disk, (call, path) => {
      // The kill may meet a write half way: the first one after it gets as far as `torn` bytes.
      if (this.over) {
        if (!tearing || call !== 'write') throw dead()
        tearing = false
        return
      }
      this.calls++
      note(call, path, activity)
      if (this.calls !== plan.at) return
      this.over = true
      if (plan.end === 'power cut') this.#after = disk.powerCut()
      else {
        tearing = true
        this.files.clear()
        this.files.fail({ call: 'write', error: 'EIO', partialBytes: torn })
        throw dead()
      }
    })
  }

  end(): MemoryFiles {
    this.over = true
    this.files.clear()
    return this.#after ?? (this.#end === 'power cut' ? this.#disk.powerCut() : this.#disk)
  }
}

/** What a file call says of the log's inner life. */
function note(call: FileCall, path: string, activity: Activity): void {
  if (call === 'rename' && path.endsWith('.log')) activity.deletions++
  else if (call === 'rename' && path.endsWith('.log.cleaned')) activity.compactions++
  else if (call === 'datasync' && path.endsWith('.timeindex')) activity.rolls++
}

function dead(): NodeJS.ErrnoException {
  return Object.assign(new Error('EIO: this process was killed'), { code: 'EIO' })
}
