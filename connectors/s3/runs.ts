import type { Reject } from '../formats/format.ts'
import type { Rows } from '../formats/rows.ts'
import { hasTime, type Partitioner } from './partitioners.ts'

export type NullPolicy = 'fail' | 'ignore' | 'write'

/** Consecutive rows [from, to) that go to one folder. */
export interface Run {
  /** `<topic>/<encoded partition>` */
  readonly topic: string
  readonly path: string
  readonly from: number
  readonly to: number
}

export interface RunPolicy {
  readonly partitioner: Partitioner
  readonly nulls: NullPolicy
}

/** What becomes of rows that go nowhere. */
export interface Outcasts {
  readonly reject: Reject
  /** Called for every row that is left out on purpose. */
  readonly ignored: () => void
}

/** Cuts rows [from, to) of `partition` into runs. */
export function* runsOf(
  rows: Rows,
  from: number,
  to: number,
  partition: number,
  policy: RunPolicy,
  outcasts: Outcasts,
): Generator<Run> {
  const { partitioner, nulls } = policy
  const plain = partitioner.kind === 'default' && rows.packed !== undefined
  if (plain && (nulls === 'write' || !hasNulls(rows, from, to))) {
    if (to > from) yield { topic: rows.topic(from), path: pathOf(partitioner, rows, from, partition), from, to }
    return
  }
  for (let i = from; i < to; ) {
    if (!belongsSomewhere(rows, i, policy, outcasts)) {
      i++
      continue
    }
    const end = endOfRun(rows, i, to, policy)
    yield { topic: rows.topic(i), path: pathOf(partitioner, rows, i, partition), from: i, to: end }
    i = end
  }
}

/** Names the folders of single rows, whether or not their value may be written. */
export class FolderNamer {
  readonly #partitioner: Partitioner
  readonly #partition: number
  #topic: string | undefined
  #period = 0
  #folder = ''

  constructor(partitioner: Partitioner, partition: number) {
    this.#partitioner = partitioner
    this.#partition = partition
  }

  /** `<topic>/<encoded partition>`; undefined for a row that has no folder. */
  folderOf(rows: Rows, i: number): string | undefined {
    const topic = rows.topic(i)
    let period = 0
    if (this.#partitioner.kind === 'time') {
      const timestamp = rows.timestamp(i)
      if (!hasTime(timestamp)) return undefined
      period = Math.floor(timestamp / this.#partitioner.periodMs)
    }
    if (topic !== this.#topic || period !== this.#period) {
      if (!isTopicName(topic)) return undefined
      this.#topic = topic
      this.#period = period
      this.#folder = `${topic}/${pathOf(this.#partitioner, rows, i, this.#partition)}`
    }
    return this.#folder
  }
}

function pathOf(partitioner: Partitioner, rows: Rows, i: number, partition: number): string {
  return partitioner.kind === 'time' ? partitioner.path(rows.timestamp(i)) : `partition=${partition}`
}

function hasNulls(rows: Rows, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (rows.isNull(i)) return true
  return false
}

function belongsSomewhere(
  rows: Rows,
  i: number,
  { partitioner, nulls }: RunPolicy,
  { reject, ignored }: Outcasts,
): boolean {
  if (nulls !== 'write' && rows.isNull(i)) {
    if (nulls === 'ignore') ignored()
    else reject(i, 'the record has no value; behavior.on.null.values: ignore or write takes it')
    return false
  }
  if (partitioner.kind === 'time' && !hasTime(rows.timestamp(i))) {
    reject(i, `the record's time (${rows.timestamp(i)}) is none that a folder can be named after`)
    return false
  }
  if (!isTopicName(rows.topic(i))) {
    reject(i, `topic ${JSON.stringify(rows.topic(i))}: expected letters, digits, dot, underscore and hyphen`)
    return false
  }
  return true
}

function endOfRun(rows: Rows, from: number, to: number, { partitioner, nulls }: RunPolicy): number {
  const topic = rows.topic(from)
  const period = partitioner.kind === 'time' ? partitioner.periodMs : 0
  const begins = period === 0 ? 0 : Math.floor(rows.timestamp(from) / period) * period
  for (let i = from + 1; i < to; i++) {
    if (rows.topic(i) !== topic || (nulls !== 'write' && rows.isNull(i))) return i
    if (period === 0) continue
    const timestamp = rows.timestamp(i)
    if (timestamp < begins || timestamp >= begins + period) return i
  }
  return to
}

/** A transform may have set any text, and it becomes a folder: `..` would leave the directory. */
function isTopicName(topic: string): boolean {
  return /^[A-Za-z0-9._-]{1,249}$/.test(topic) && topic !== '.' && topic !== '..'
}
