import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type JsonObject, type JsonValue, parseJson, type Random } from '../../../base/index.ts'
import type { Aim, Moments } from '../suite.ts'
import type { TopicsChecker } from './checker.ts'
import { TopicReader } from './topic-reader.ts'

const CHECKPOINTS = /^connect-offsets-\d+$/
/** Of the rows that a snapshot reads, so many at most are behind when it is to be met: the kill comes a little later. */
const SHARE_MAX = 0.4
/** A transaction of more changes is told for long enough to be met. */
const LARGE = 500
const LARGE_EVERY = 200

export interface KillMomentsParts {
  /** Where the worker keeps its log. */
  readonly data: string
  readonly checker: TopicsChecker
  readonly random: Random
  /** How many are captured. */
  readonly tables: number
  /** Rows that are there before the connector. */
  readonly rows: number
  /** Asks for an incremental snapshot of a large table, of so many rows. */
  readonly snapshot: { readonly rows: number; ask(id: string): Promise<void> }
  /** Writes a transaction that takes several polls. */
  large(): Promise<void>
}

/** What the checkpoints say: where a worker goes on, and so how far the one before it had come. */
interface Standing {
  readonly streams: boolean
  /** Of the transaction that it is in, changes that are told; 0 between two. */
  readonly changes: number
  /** Of the snapshot that every table has: rows told, and tables that are whole. */
  readonly rows: number
  readonly done: number
  /** Of incremental ones, by table and snapshot: rows told. */
  readonly incremental: ReadonlyMap<string, number>
}

type Name = 'initial snapshot' | 'resumed snapshot' | 'incremental snapshot' | 'transaction' | 'append'

/**
 * Where workers of a PostgreSQL source were when they were killed, by what they left on disk, and how a kill is made to
 * come there.
 */
export class KillMoments implements Moments {
  readonly #parts: KillMomentsParts
  #readers = new Map<string, TopicReader>()
  readonly #checkpoints = new Map<string, JsonValue>()
  #before: Standing
  #begun = 0
  #asked = 0
  readonly #met = new Set<Name>()
  /** Nothing of the start is left to read. */
  #known = false
  readonly needed: readonly Name[] = ['initial snapshot', 'incremental snapshot', 'transaction']

  constructor(parts: KillMomentsParts) {
    this.#parts = parts
    this.#before = this.#standing()
  }

  known(): void {
    this.#known = true
    this.#begun = 0
  }

  begin(): Aim | undefined {
    // Anew, since compaction may have put other files in the place of those that were read.
    this.#readers = new Map()
    this.#checkpoints.clear()
    this.#before = this.#standing()
    this.#parts.checker.begin()
    const name = this.#next()
    this.#begun++
    return name === undefined ? undefined : { name, ...this.#aimAt(name) }
  }

  /** The first workers meet the first snapshot; half of the later ones are killed at any time. */
  #next(): Name | undefined {
    if (!this.#known) return this.#begun === 0 ? 'initial snapshot' : 'resumed snapshot'
    const missing = this.needed.find(name => !this.#met.has(name) && name !== 'initial snapshot')
    if (missing !== undefined) return missing
    return ([undefined, 'incremental snapshot', undefined, 'transaction'] as const)[this.#begun % 4]
  }

  #aimAt(name: Name): Pick<Aim, 'provoke' | 'reached'> {
    const { random, rows, snapshot, tables, large } = this.#parts
    const share = random.next() * SHARE_MAX
    if (name === 'incremental snapshot') {
      const id = `aim-${this.#asked++}`
      let asked = false
      const ask = async () => {
        if (!asked) await snapshot.ask(id)
        asked = true
      }
      return { provoke: ask, reached: () => this.#incremental(share * snapshot.rows) }
    }
    if (name === 'transaction') {
      const before = this.#before.changes
      const reached = () => this.#standing().changes > LARGE && this.#standing().changes !== before
      // One more for each that was told before anybody looked; more than that would only lie in the worker's way.
      let steps = 0
      return { provoke: async () => (steps++ % LARGE_EVERY === 0 ? large() : undefined), reached }
    }
    const goal = this.#before.rows + share * (rows - this.#before.rows)
    const reached = () => {
      const now = this.#standing()
      return (now.streams && now.rows > this.#before.rows && now.rows >= goal) || now.done === tables
    }
    return { provoke: async () => {}, reached }
  }

  met(): readonly string[] {
    const { checker, tables } = this.#parts
    const now = this.#standing()
    // What changed since those rows could be in no stream.
    if (now.rows > 0 && !now.streams)
      throw new Error('rows of the start are durable, and where the stream begins is not')
    const { rows, cut, open } = checker.worker()
    const left = now.done < tables
    const all: Readonly<Record<Name, boolean>> = {
      'initial snapshot': !this.#before.streams && left && rows > 0,
      'resumed snapshot': this.#before.streams && left && now.rows > this.#before.rows,
      'incremental snapshot': this.#incremental(0),
      transaction: cut > 0,
      append: open > 0,
    }
    const met = (Object.keys(all) as Name[]).filter(name => all[name])
    for (const name of met) this.#met.add(name)
    return met
  }

  /** Has this worker got on with one, behind so many rows, which is not done? */
  #incremental(rows: number): boolean {
    const now = [...this.#standing().incremental]
    return now.some(([name, told]) => told >= rows && told > (this.#before.incremental.get(name) ?? 0))
  }

  #standing(): Standing {
    this.#read()
    const incremental = new Map<string, number>()
    let [streams, changes, rows, done] = [false, 0, 0, 0]
    for (const [key, value] of this.#checkpoints) {
      const [, partition] = parseJson(key) as [string, JsonObject]
      const position = value as JsonObject
      if (Object.keys(partition).length === 1) {
        streams = true
        changes = Number(position.changes ?? 0)
      } else if (partition.table === undefined) continue
      else if (partition.snapshot === undefined) {
        rows += Number(position.rows)
        if (position.done === true) done++
      } else incremental.set(`${partition.table} ${position.id}`, Number(position.rows))
    }
    return { streams, changes, rows, done, incremental }
  }

  #read(): void {
    const { data } = this.#parts
    if (!existsSync(data)) return
    for (const name of readdirSync(data).filter(one => CHECKPOINTS.test(one))) {
      const reader = this.#readers.get(name) ?? new TopicReader(join(data, name))
      this.#readers.set(name, reader)
      for (const { key, value } of reader.read()) {
        if (value === null) this.#checkpoints.delete(String(key))
        else this.#checkpoints.set(String(key), parseJson(value.toString()))
      }
    }
  }
}
