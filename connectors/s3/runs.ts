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
  /** Called for every row that is left out on purpose. */
  readonly ignored: () => void
}

/** Cuts a batch of `partition` into runs; what goes nowhere is rejected or ignored. */
export function* runsOf(rows: Rows, partition: number, policy: RunPolicy, reject: Reject): Generator<Run> {
  const { partitioner } = policy
  const plain = partitioner.kind === 'default' && rows.packed !== undefined
  if (plain && (policy.nulls === 'write' || !hasNulls(rows))) {
    if (rows.count > 0) yield { topic: rows.topic(0), path: `partition=${partition}`, from: 0, to: rows.count }
    return
  }
  for (let i = 0; i < rows.count; ) {
    if (!belongsSomewhere(rows, i, policy, reject)) {
      i++
      continue
    }
    const to = endOfRun(rows, i, policy)
    const path = partitioner.kind === 'time' ? partitioner.path(rows.timestamp(i)) : `partition=${partition}`
    yield { topic: rows.topic(i), path, from: i, to }
    i = to
  }
}

function hasNulls(rows: Rows): boolean {
  for (let i = 0; i < rows.count; i++) if (rows.isNull(i)) return true
  return false
}

function belongsSomewhere(rows: Rows, i: number, { partitioner, nulls, ignored }: RunPolicy, reject: Reject): boolean {
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

function endOfRun(rows: Rows, from: number, { partitioner, nulls }: RunPolicy): number {
  const topic = rows.topic(from)
  const period = partitioner.kind === 'time' ? partitioner.periodMs : 0
  const begins = period === 0 ? 0 : Math.floor(rows.timestamp(from) / period) * period
  for (let i = from + 1; i < rows.count; i++) {
    if (rows.topic(i) !== topic || (nulls !== 'write' && rows.isNull(i))) return i
    if (period === 0) continue
    const timestamp = rows.timestamp(i)
    if (timestamp < begins || timestamp >= begins + period) return i
  }
  return rows.count
}

/** A transform may have set any text, and it becomes a folder: `..` would leave the directory. */
function isTopicName(topic: string): boolean {
  return /^[A-Za-z0-9._-]{1,249}$/.test(topic) && topic !== '.' && topic !== '..'
}
