import type { BufferPool, Clock, SinkProgress } from '../../runtime/api/index.ts'
import type { Reject } from '../formats/format.ts'
import type { Rows } from '../formats/rows.ts'
import type { Claim } from './config-era.ts'
import { objectKey } from './object-key.ts'
import type { ObjectPlan } from './object-plan.ts'
import type { ObjectStore } from './object-store.ts'
import { OpenObject } from './open-object.ts'
import type { PartitionState } from './partition-state.ts'
import { ReplayedObjects } from './replayed-objects.ts'
import { byteLimit, endOfObject, isDue, isFull, type Rotation } from './rotation.ts'
import { type Run, runsOf } from './runs.ts'

/** What all objects of a task have in common. */
export interface ObjectSettings {
  readonly store: ObjectStore
  readonly pool: BufferPool
  readonly topicsDir: string
  readonly rotation: Rotation
  readonly openFilesMax: number
  readonly clock: Clock
  /** Called for every row that is left out on purpose. */
  readonly ignored: () => void
  /** A planned object was written with another number of records than its plan says. */
  readonly changed: (plan: ObjectPlan, lines: number) => void
}

/** The objects of one partition: one being filled for each folder, and those that are finished and not yet durable. */
export class PartitionObjects {
  readonly topic: string
  readonly partition: number
  readonly state: PartitionState
  readonly #settings: ObjectSettings
  /** By folder; the one that got records last stands last. */
  readonly #filling = new Map<string, OpenObject>()
  readonly #replayed: ReplayedObjects
  #finished: OpenObject[] = []
  #nextOffset: number

  constructor(topic: string, partition: number, offset: number, state: PartitionState, settings: ObjectSettings) {
    this.topic = topic
    this.partition = partition
    this.state = state
    this.#nextOffset = offset
    this.#settings = settings
    this.#replayed = new ReplayedObjects(state, settings)
  }

  /** Those that may be finished at any record. */
  get filling(): Iterable<OpenObject> {
    return this.#filling.values()
  }

  /** Those whose plan says where they end. */
  get replayed(): Iterable<OpenObject> {
    return this.#replayed.open
  }

  get finished(): readonly OpenObject[] {
    return this.#finished
  }

  /** Everything below is durable: the first record of the oldest object that is not, or where reading goes on. */
  get safeOffset(): number {
    let offset = this.#nextOffset
    for (const object of this.#filling.values()) offset = Math.min(offset, object.identity.firstOffset)
    for (const object of this.#finished) {
      if (!object.committed) offset = Math.min(offset, object.identity.firstOffset)
    }
    return Math.min(offset, this.#replayed.firstOffset)
  }

  /** For preCommit. */
  get progress(): SinkProgress {
    this.#noteCommitted()
    const offset = this.safeOffset
    return { topic: this.topic, partition: this.partition, offset, state: this.state.toCommit(offset) }
  }

  /** For saveState. */
  get plans(): SinkProgress {
    this.#noteCommitted()
    return { topic: this.topic, partition: this.partition, state: this.state.toSave(this.safeOffset) }
  }

  /** Formats a batch into its objects. Memory only: cannot fail half way. */
  take(rows: Rows, nextOffset: number, reject: Reject): void {
    let from = 0
    while (from < rows.count && rows.offset(from) < this.state.replayEnd) from = this.#takeSpan(rows, from, reject)
    this.#takeNew(rows, from, rows.count, reject)
    this.#nextOffset = nextOffset
    this.#finished.push(...this.#replayed.finishBelow(nextOffset))
  }

  /** Finishes what is due by the clock. */
  finishDue(): void {
    const { rotation, clock } = this.#settings
    const now = clock.monotonic()
    for (const object of this.#filling.values()) {
      if (isDue(rotation, object.openedAt, object.touchedAt, now)) this.finish(object)
    }
  }

  finish(object: OpenObject): void {
    this.#filling.delete(object.identity.folder)
    this.#finished.push(object)
    object.finish()
  }

  /** Finishes what keeps the committed offset from moving on. */
  finishOldest(): void {
    let oldest: OpenObject | undefined
    for (const object of this.#filling.values()) {
      if (oldest === undefined || object.identity.firstOffset < oldest.identity.firstOffset) oldest = object
    }
    if (oldest !== undefined) this.finish(oldest)
  }

  finishAll(): void {
    for (const object of this.#filling.values()) this.finish(object)
  }

  /** Decides about finished objects that have no plan yet, the `max` oldest. Answers all whose plan waits to be saved. */
  decide(max: number): readonly OpenObject[] {
    const waiting = this.#finished
      .filter(object => !object.mayCommit)
      .sort((a, b) => a.identity.firstOffset - b.identity.firstOffset)
      .slice(0, max)
    for (const object of waiting) {
      if (object.plan === undefined) object.era.add(object.decide())
    }
    return waiting
  }

  /** Forgets finished objects that are durable and answers them. */
  takeCommitted(): readonly OpenObject[] {
    this.#noteCommitted()
    const committed = this.#finished.filter(object => object.committed)
    if (committed.length > 0) this.#finished = this.#finished.filter(object => !object.committed)
    return committed
  }

  async abort(): Promise<void> {
    const objects = [...this.#filling.values(), ...this.#replayed.open, ...this.#finished]
    this.#filling.clear()
    this.#finished = []
    await Promise.all(objects.map(object => object.abort()))
  }

  /** What is durable counts for the safe offset at once, so it must be no plan any more. */
  #noteCommitted(): void {
    for (const { committed, era, plan } of this.#finished) if (committed && plan !== undefined) era.done(plan)
  }

  /** Consecutive rows that one earlier decision is about; answers the row behind them. */
  #takeSpan(rows: Rows, from: number, reject: Reject): number {
    const claim = this.state.claimOf(rows, from)
    let to = from + 1
    while (to < rows.count && this.state.claimOf(rows, to) === claim) to++
    if (claim === undefined) this.#takeNew(rows, from, to, reject)
    else this.#takeClaimed(rows, from, to, claim, reject)
    return to
  }

  /** As the earlier run did it, so that a record it refused is refused again, whatever the configuration says now. */
  #takeClaimed(rows: Rows, from: number, to: number, { era, plan }: Claim, reject: Reject): void {
    const { ignored } = this.#settings
    for (const run of runsOf(rows, from, to, this.partition, era.rules, { reject, ignored })) {
      // Records that a transform let pass only now came before these: their object ends here, so that ranges never overlap.
      const open = this.#filling.get(folderOf(run))
      if (open !== undefined && era === open.era) this.finish(open)
      if (plan === undefined) era.rules.format.check(rows, run.from, run.to, reject)
      else this.#replayed.objectOf(plan, era).take(rows, run.from, run.to, Number.POSITIVE_INFINITY, reject)
    }
  }

  #takeNew(rows: Rows, from: number, to: number, reject: Reject): void {
    const { ignored } = this.#settings
    const { rules } = this.state.current
    for (const run of runsOf(rows, from, to, this.partition, rules, { reject, ignored })) {
      this.#takeRun(rows, run, reject)
    }
  }

  #takeRun(rows: Rows, run: Run, reject: Reject): void {
    const { rotation } = this.#settings
    let i = run.from
    while (i < run.to) {
      if (!this.#filling.has(folderOf(run)) && this.#refuses(rows, i, reject)) {
        i++
        continue
      }
      const object = this.#objectFor(run, rows.offset(i))
      const end =
        object.lines === 0 ? this.#endOfFirst(rows, i, run.to) : endOfObject(rotation, object, rows, i, run.to)
      i = object.take(rows, i, end, byteLimit(rotation), reject)
      if (isFull(rotation, object.lines, object.bytes) || (i === end && end < run.to)) this.finish(object)
    }
  }

  /** An object begins with a record that it holds: its name and its plan tell the first. */
  #refuses(rows: Rows, i: number, reject: Reject): boolean {
    let refused = false
    this.state.current.rules.format.check(rows, i, i + 1, (row, reason) => {
      refused = true
      reject(row, reason)
    })
    return refused
  }

  /** A new object takes its time from the row it begins with. */
  #endOfFirst(rows: Rows, from: number, to: number): number {
    return endOfObject(this.#settings.rotation, { lines: 0, firstTimestamp: rows.timestamp(from) }, rows, from, to)
  }

  #objectFor(run: Run, firstOffset: number): OpenObject {
    const folder = folderOf(run)
    const { clock, openFilesMax } = this.#settings
    const now = clock.monotonic()
    let object = this.#filling.get(folder)
    if (object === undefined) {
      for (const candidate of this.#filling.values()) {
        if (this.#filling.size < openFilesMax) break
        this.finish(candidate)
      }
      object = this.#create(run, folder, firstOffset, now)
    }
    this.#filling.delete(folder)
    this.#filling.set(folder, object)
    object.touchedAt = now
    return object
  }

  #create(run: Run, folder: string, firstOffset: number, now: number): OpenObject {
    const { store, pool, topicsDir } = this.#settings
    const era = this.state.current
    const key = objectKey({
      topicsDir,
      topic: run.topic,
      path: run.path,
      originTopic: this.topic,
      partition: this.partition,
      firstOffset,
      extension: era.rules.extension,
    })
    return new OpenObject({ folder, firstOffset, key }, era, store.create(key), pool, now)
  }
}

function folderOf({ topic, path }: Run): string {
  return `${topic}/${path}`
}
