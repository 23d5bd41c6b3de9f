import { s3Sink } from '../../../connectors/s3/sink.ts'
import {
  type Files,
  type JsonObject,
  ManualClock,
  RejectedRecords,
  randomInt,
  SeededRandom,
  type SinkBatch,
  type SinkProgress,
  type SinkTask,
} from '../../../runtime/api/index.ts'
import { optionsOf } from '../../support/s3-sink.ts'
import { packedBatch, recordsBatch } from '../../support/sink-batches.ts'
import { testContext } from '../../support/task-context.ts'

/** Hour 0 to 2 of its folder. `null` and `bad` go to no object: no value, and one that no format can write. */
export interface ModelRecord {
  readonly hour: number
  readonly value: 'line' | 'null' | 'bad'
}

export type Given = Parameters<typeof optionsOf>[0]

/** One life of the task, from its start to its kill. */
export interface Life {
  readonly given: Given
  /** The call of the store, of saveState or of a commit that it does not survive; beyond the last one it ends well. */
  readonly killAt: number
  /** Whether that call did its work before. */
  readonly afterwards: boolean
  /** Batches, pauses and commits. */
  readonly seed: number
}

/** Where the objects lie. */
export interface Place {
  readonly options: Given
  readonly files: Files
  /** Called with every life; `dies` counts a call and answers whether the task is to be dead, before and behind the call. */
  begin(calls: KillSwitch): void
  /** Nothing of the killed task is under way any more. */
  bury(life: Life): Promise<void>
  /** What a reader sees, by key. */
  objects(): Promise<ReadonlyMap<string, Buffer>>
}

/** Counts what the outside world is asked for, and ends it. */
export class KillSwitch {
  readonly #life: Life
  #calls = 0

  constructor(life: Life) {
    this.#life = life
  }

  get dead(): boolean {
    return this.#calls >= this.#life.killAt
  }

  /** One call: `work` is done, or the task is killed before or behind it, or was dead before. */
  async call<T>(work: () => Promise<T>): Promise<T> {
    if (this.dead) throw new Error('killed')
    this.#calls++
    if (!this.dead) return await work()
    if (this.#life.afterwards) await work()
    throw new Error('killed')
  }
}

const HOUR = 3_600_000
const T0 = Date.UTC(2026, 10, 20, 13)

/**
 * The sink between a broker that keeps what was committed and a store that keeps what was written, over many lives. After
 * each of them every object is checked: no record in two objects or twice, in order, and an object that was there before
 * holds what it held.
 */
export class KilledSink {
  readonly #records: readonly ModelRecord[]
  readonly #packed: boolean
  readonly #place: Place
  readonly #held = new Map<string, string>()
  /** Of records that were refused, committed with the offsets. */
  readonly letters = new Set<number>()
  #offset = 0
  #state: JsonObject | null = null
  stateBytesMax = 0

  /** `packed`: batches as the log gives them; else as a transform leaves them. */
  constructor(records: readonly ModelRecord[], packed: boolean, place: Place) {
    this.#records = records
    this.#packed = packed
    this.#place = place
  }

  /** Answers whether it came to its end. */
  async live(life: Life): Promise<boolean> {
    const calls = new KillSwitch(life)
    this.#place.begin(calls)
    const random = new SeededRandom(life.seed)
    const clock = new ManualClock()
    const base = testContext({ files: this.#place.files, clock })
    const saveState = (progress: readonly SinkProgress[]) => calls.call(async () => this.#save(progress))
    let task: SinkTask | undefined
    try {
      task = await s3Sink.open(optionsOf({ ...life.given, ...this.#place.options }), { ...base, saveState })
      await this.#deliver(task, calls, random, clock)
    } catch (error) {
      if (!calls.dead) throw error
    }
    await task?.close().catch(() => {})
    await this.#place.bury(life)
    if (base.counts['objects.changed'] !== undefined) throw new Error('an object was written with other records')
    await this.#check()
    return !calls.dead
  }

  /** Numbers of all records that are in objects. */
  async delivered(): Promise<readonly number[]> {
    const objects = await this.#place.objects()
    return [...objects.values()].flatMap(numbersIn).sort((a, b) => a - b)
  }

  async #deliver(task: SinkTask, calls: KillSwitch, random: SeededRandom, clock: ManualClock): Promise<void> {
    await task.open([{ topic: 't', partition: 0, offset: this.#offset, state: this.#state }])
    const refused: number[] = []
    const commit = async () => {
      const progress = await task.preCommit()
      await calls.call(async () => {
        this.#save(progress)
        this.#offset = Math.max(this.#offset, progress[0]?.offset ?? 0)
        for (const offset of refused) this.letters.add(offset)
      })
    }
    for (let at = this.#offset; at < this.#records.length; ) {
      const to = Math.min(this.#records.length, at + 1 + randomInt(random, 9))
      refused.push(...(await putAll(task, this.#batch(at, to), at)))
      await clock.advance(randomInt(random, 400))
      if (randomInt(random, 3) === 0) await commit()
      at = to
    }
    await task.drain()
    await commit()
  }

  #save(progress: readonly SinkProgress[]): void {
    const text = JSON.stringify(progress[0]?.state ?? this.#state)
    this.stateBytesMax = Math.max(this.stateBytesMax, text.length)
    this.#state = JSON.parse(text)
  }

  #batch(from: number, to: number): SinkBatch {
    const records = this.#records.slice(from, to)
    const timestamp = records.map(({ hour }) => T0 + hour * HOUR)
    if (this.#packed) {
      const values = records.map(({ value }, i) => (value === 'line' ? `n${from + i}` : null))
      return packedBatch(values, { offset: from, timestamp })
    }
    const values = records.map(({ value }, i) =>
      value === 'line' ? `n${from + i}` : value === 'null' ? null : unspeakable,
    )
    return recordsBatch(values, { offset: from, timestamp })
  }

  async #check(): Promise<void> {
    const owner = new Map<number, string>()
    for (const [key, bytes] of await this.#place.objects()) {
      const numbers = numbersIn(bytes)
      const text = numbers.join()
      const before = this.#held.get(key) ?? text
      if (text !== before) throw new Error(`${key} held ${before}, now ${text}`)
      this.#held.set(key, text)
      for (const [i, n] of numbers.entries()) {
        if (owner.has(n)) throw new Error(`record ${n} is in ${owner.get(n)} and in ${key}`)
        if (i > 0 && n < numbers[i - 1]!) throw new Error(`${key} is out of order: ${text}`)
        if (this.#records[n]?.value !== 'line') throw new Error(`${key} has record ${n}, which was refused`)
        owner.set(n, key)
      }
    }
    for (let n = 0; n < this.#offset; n++) {
      if (this.#records[n]!.value === 'line' && !owner.has(n)) throw new Error(`record ${n} is committed and nowhere`)
    }
  }
}

const unspeakable = {
  get member() {
    throw new TypeError('cannot be written')
  },
}

/** Offsets of what was refused. */
async function putAll(task: SinkTask, batch: SinkBatch, from: number): Promise<readonly number[]> {
  try {
    await task.put([batch])
    return []
  } catch (error) {
    if (!(error instanceof RejectedRecords)) throw error
    return error.rejected.map(({ record }) => from + record)
  }
}

/** Lines are `n17` or `"n17"`. */
function numbersIn(bytes: Buffer): number[] {
  return bytes
    .toString()
    .split('\n')
    .slice(0, -1)
    .map(line => {
      const number = /^"?n(\d+)"?$/.exec(line)?.[1]
      if (number === undefined) throw new Error(`${JSON.stringify(line)} is nothing that was sent`)
      return Number(number)
    })
}
