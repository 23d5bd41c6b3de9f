import { type FileCall, FaultyFiles } from '../../../base/faulty-files.ts'
import { errorMessage, ManualClock, type Random, randomInt, SeededRandom } from '../../../base/index.ts'
import { MemoryFiles } from '../../../base/memory-files.ts'
import { openAsNewProcess } from '../../support/embedded.ts'
import { audit } from './audit.ts'
import type { Event } from './events.ts'
import { Ledger } from './ledger.ts'
import { ensureTopics, runWorkload, TOPICS } from './workload.ts'

/** How a life ends: `kill` leaves what was written, a power cut only what was synced and parts of the rest. */
export type End = 'kill' | 'power cut' | 'close'

/** What happened in a run: too little of any of it proves nothing. */
export interface Activity {
  commits: number
  aborts: number
  undecided: number
  reads: number
  rolls: number
  deletions: number
  compactions: number
  ends: number
}

export function noActivity(): Activity {
  return { commits: 0, aborts: 0, undecided: 0, reads: 0, rolls: 0, deletions: 0, compactions: 0, ends: 0 }
}

export function addActivity(sum: Activity, more: Activity): void {
  for (const name of Object.keys(sum) as (keyof Activity)[]) sum[name] += more[name]
}

/** A data directory on a disk in memory that outlives the processes which work on it, and the ledger of all of them. */
export class Lives {
  readonly ledger = new Ledger()
  readonly activity = noActivity()
  readonly #random: Random
  #disk: MemoryFiles
  readonly clock = new ManualClock()

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
    this.#disk = new MemoryFiles(new SeededRandom(seed ^ 0x5eed), { clock: this.clock })
  }

  get disk(): MemoryFiles {
    return this.#disk
  }

  /**
   * One process: opens, works, and ends at file call `at` (counted from its start), or when its work is done. Answers how
   * many file calls it made.
   */
  async live(
    end: End,
    at: number,
    transactions: number,
    trouble?: (files: FaultyFiles, calls: number) => void,
  ): Promise<number> {
    const life = new Life(this.#disk, end, at, this.#random, this.activity, trouble)
    const tell = (event: Event) => {
      // Of the dead only what they had acknowledged counts.
      if (!life.over || event.kind !== 'ended' || event.how === 'committed') this.ledger.tell(event)
    }
    const parts = { random: this.#random, tell, topics: TOPICS, transactions }
    const next = (writer: string) => this.ledger.next(writer)
    const broker = await life.ran(openAsNewProcess({ files: life.files, clock: this.clock }))
    if (broker !== undefined) {
      await life.ran(ensureTopics(broker, TOPICS))
      if (!life.over)
        await life.ran(
          runWorkload({ ...parts, broker, next, advance: ms => this.clock.advance(ms) }).then(failure => {
            if (failure !== undefined) throw failure
          }),
        )
      if (end === 'close' && !life.over) await life.ran(broker.close())
    }
    this.#disk = life.end()
    this.activity.ends++
    return life.calls
  }

  /** Opens in peace and compares; what is broken in words. Ends by a close or a kill. */
  async audit(): Promise<string[]> {
    const life = new Life(this.#disk, 'kill', Number.POSITIVE_INFINITY, this.#random, this.activity)
    try {
      const broker = await openAsNewProcess({ files: life.files, clock: this.clock })
      const problems = await audit(broker, this.ledger, TOPICS)
      if (randomInt(this.#random, 2) === 0) await broker.close()
      return problems
    } catch (error) {
      return [`the log does not open, or not close: ${errorMessage(error)}`]
    } finally {
      life.end()
      const { commits, aborts, undecided, reads } = this.ledger.counts
      Object.assign(this.activity, { commits, aborts, undecided, reads })
    }
  }
}

/** The file calls of one process, and its end. */
class Life {
  readonly files: FaultyFiles
  calls = 0
  over = false
  readonly #disk: MemoryFiles
  readonly #end: End
  #after: MemoryFiles | undefined
  #tearing = false

  constructor(
    disk: MemoryFiles,
    end: End,
    at: number,
    random: Random,
    activity: Activity,
    trouble?: (files: FaultyFiles, calls: number) => void,
  ) {
    this.#disk = disk
    this.#end = end
    const torn = randomInt(random, 300)
    this.files = new FaultyFiles(disk, (call, path) => {
      if (this.over && !(this.#tearing && call === 'write')) throw dead()
      this.calls++
      trouble?.(this.files, this.calls)
      note(call, path, activity)
      if (this.calls !== at) return
      this.over = true
      if (end === 'power cut') this.#after = disk.powerCut()
      else if (call === 'write') {
        // The kill meets the next write half way.
        this.#tearing = true
        this.files.fail({ call: 'write', error: 'EIO', partialBytes: torn })
      } else throw dead()
    })
  }

  /** Waits for a piece of work, whose failure is the end of this process. */
  async ran<T>(work: Promise<T>): Promise<T | undefined> {
    try {
      return await work
    } catch (error) {
      this.failure ??= error
      this.over = true
      return undefined
    }
  }

  failure: unknown

  end(): MemoryFiles {
    this.over = true
    this.#tearing = false
    return this.#after ?? (this.#end === 'power cut' ? this.#disk.powerCut() : this.#disk)
  }
}

/** What a file call says of the log's inner life: a segment's first file call, and how it goes. */
function note(call: FileCall, path: string, activity: Activity): void {
  if (call === 'rename' && path.endsWith('.log')) activity.deletions++
  else if (call === 'rename' && path.endsWith('.log.cleaned')) activity.compactions++
  else if (call === 'datasync' && path.endsWith('.timeindex')) activity.rolls++
}

function dead(): NodeJS.ErrnoException {
  return Object.assign(new Error('EIO: this process was killed'), { code: 'EIO' })
}
