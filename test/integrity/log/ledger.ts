import { type Event, groupOf, writerOf } from './events.ts'
import { keyOf, payloadOf } from './records.ts'

export type Outcome = 'open' | 'committing' | 'unknown' | 'committed' | 'aborted'

/** What is known of one transaction. */
export interface Told {
  readonly transaction: string
  readonly atomic: boolean
  /** Records by place (`topic-partition`). */
  readonly counts: Map<string, number>
  checkpoints: Extract<Event, { kind: 'commit' }>['checkpoints']
  offsets: Extract<Event, { kind: 'commit' }>['offsets']
  outcome: Outcome
}

/** What was seen of one partition. */
export interface Seen {
  /** Digest by offset, by isolation. */
  readonly committed: Map<number, string>
  readonly uncommitted: Map<number, string>
  highWatermark: number
  /** As deleteRecords acknowledged it, or the last audit found it. */
  logStartOffset: number
  /** The largest that was ever asked of deleteRecords. */
  deleteAsked: number
}

/** The plain model of a log: transactions in the order of each writer, and what anybody was ever shown. */
export class Ledger {
  /** By writer, in its order. */
  readonly writers = new Map<string, Told[]>()
  readonly places = new Map<string, Seen>()
  /** What broke a promise at once, without a look at the log. */
  readonly broken: string[] = []
  readonly counts = { commits: 0, aborts: 0, undecided: 0, reads: 0, deletes: 0 }
  readonly #byName = new Map<string, Told>()

  /** Takes the next event. */
  readonly tell = (event: Event): void => {
    if (event.kind === 'read') this.#read(event)
    else if (event.kind === 'delete') {
      const seen = this.seen(event.topic, event.partition)
      seen.deleteAsked = Math.max(seen.deleteAsked, event.offset)
    } else if (event.kind === 'deleted') {
      const seen = this.seen(event.topic, event.partition)
      seen.logStartOffset = Math.max(seen.logStartOffset, event.logStartOffset)
      this.counts.deletes++
    } else if (event.kind === 'begin') this.#begin(event.transaction, event.atomic)
    else this.#change(this.#byName.get(event.transaction)!, event)
  }

  transaction(name: string): Told | undefined {
    return this.#byName.get(name)
  }

  seen(topic: string, partition: number): Seen {
    const place = `${topic}-${partition}`
    let seen = this.places.get(place)
    if (seen === undefined) {
      seen = { committed: new Map(), uncommitted: new Map(), highWatermark: 0, logStartOffset: 0, deleteAsked: 0 }
      this.places.set(place, seen)
    }
    return seen
  }

  /** The next number of a writer's transactions. */
  next(writer: string): number {
    return this.writers.get(writer)?.length ?? 0
  }

  /**
   * The process is gone: what it had not begun to commit never happened, and of what it had, `last` tells (the name of
   * the transaction that the writer's checkpoint comes from).
   */
  settle(writer: string, last: string | undefined): void {
    for (const told of this.writers.get(writer) ?? []) {
      if (told.outcome === 'open') told.outcome = told.atomic ? 'aborted' : 'unknown'
      if (told.outcome !== 'committing' && told.outcome !== 'unknown') continue
      if (told.atomic || told.transaction === last) {
        this.counts.undecided++
        told.outcome = told.transaction === last ? 'committed' : 'aborted'
      } else told.outcome = 'unknown'
    }
  }

  /** Checkpoints of a writer by JSON of their partition, as its committed transactions left them. */
  checkpoints(writer: string): Map<string, string> {
    const out = new Map<string, string>()
    for (const told of this.#committed(writer)) {
      for (const { partition, value } of told.checkpoints) {
        if (value === null) out.delete(JSON.stringify(partition))
        else out.set(JSON.stringify(partition), JSON.stringify(value))
      }
    }
    return out
  }

  /** `offset metadata` by place, of the writer's group. */
  offsets(writer: string): Map<string, string> {
    const out = new Map<string, string>()
    for (const told of this.#committed(writer)) {
      for (const { topic, partition, offset, metadata } of told.offsets)
        out.set(`${topic}-${partition}`, `${offset} ${metadata}`)
    }
    return out
  }

  /** Values by key after the whole of a topic with one partition, tombstones taken. */
  keyed(topic: string): Map<string, string> {
    const out = new Map<string, string>()
    for (const writer of this.writers.keys()) {
      for (const { transaction, counts } of this.#committed(writer)) {
        for (let number = 0; number < (counts.get(`${topic}-0`) ?? 0); number++) {
          const name = { transaction, topic, partition: 0, number }
          const value = payloadOf(name)
          if (value === null) out.delete(keyOf(name))
          else out.set(keyOf(name), value)
        }
      }
    }
    return out
  }

  groups(): string[] {
    return [...this.writers.keys()].map(groupOf)
  }

  #committed(writer: string): Told[] {
    return (this.writers.get(writer) ?? []).filter(told => told.outcome === 'committed')
  }

  #begin(transaction: string, atomic: boolean): void {
    const told: Told = { transaction, atomic, counts: new Map(), checkpoints: [], offsets: [], outcome: 'open' }
    const writer = writerOf(transaction)
    const earlier = this.writers.get(writer) ?? []
    this.writers.set(writer, earlier)
    earlier.push(told)
    this.#byName.set(transaction, told)
  }

  #change(told: Told, event: Extract<Event, { kind: 'add' | 'commit' | 'ended' }>): void {
    if (event.kind === 'add') {
      const place = `${event.topic}-${event.partition}`
      told.counts.set(place, (told.counts.get(place) ?? 0) + event.count)
    } else if (event.kind === 'commit') {
      told.outcome = 'committing'
      told.checkpoints = event.checkpoints
      told.offsets = event.offsets
    } else {
      told.outcome = event.how === 'aborted' && !told.atomic ? 'unknown' : event.how
      if (event.how === 'committed') this.counts.commits++
      if (event.how === 'aborted') this.counts.aborts++
    }
  }

  #read(event: Extract<Event, { kind: 'read' }>): void {
    this.counts.reads++
    const seen = this.seen(event.topic, event.partition)
    const place = `${event.topic}-${event.partition}`
    for (const [offset, digest] of event.records) {
      const told = this.#byName.get(digest.split(' ')[0]!)
      if (
        told === undefined ||
        (event.committed && (told.outcome === 'aborted' || told.outcome === 'open') && told.atomic)
      )
        this.broken.push(`${place}: a reader was shown ${digest} at ${offset}, whose transaction is ${told?.outcome}`)
      for (const known of event.committed ? [seen.uncommitted, seen.committed] : [seen.uncommitted]) {
        const before = known.get(offset)
        if (before !== undefined && before !== digest)
          this.broken.push(`${place}: offset ${offset} was ${before}, now a reader is shown ${digest}`)
        known.set(offset, digest)
      }
    }
    seen.highWatermark = Math.max(seen.highWatermark, event.highWatermark)
  }
}
