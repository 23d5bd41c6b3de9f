import type { BufferPool, Clock, Codec } from '../../runtime/api/index.ts'
import type { Format, Reject } from '../formats/format.ts'
import type { Rows } from '../formats/rows.ts'
import { objectKey } from './object-key.ts'
import type { ObjectStore } from './object-store.ts'
import { OpenObject } from './open-object.ts'
import { byteLimit, endOfObject, isDue, isFull, type Rotation } from './rotation.ts'
import { type Run, type RunPolicy, runsOf } from './runs.ts'

/** What all objects of a task have in common. */
export interface ObjectSettings extends RunPolicy {
  readonly store: ObjectStore
  readonly format: Format
  readonly codec: Codec
  readonly pool: BufferPool
  readonly topicsDir: string
  /** `.json.zst` */
  readonly extension: string
  readonly rotation: Rotation
  readonly openFilesMax: number
  readonly clock: Clock
}

/** The objects of one partition: one being filled for each folder, and those that are finished and not yet durable. */
export class PartitionObjects {
  readonly topic: string
  readonly partition: number
  readonly #settings: ObjectSettings
  /** By folder; the one that got records last stands last. */
  readonly #filling = new Map<string, OpenObject>()
  #finished: OpenObject[] = []
  #nextOffset: number

  constructor(topic: string, partition: number, offset: number, settings: ObjectSettings) {
    this.topic = topic
    this.partition = partition
    this.#nextOffset = offset
    this.#settings = settings
  }

  get filling(): Iterable<OpenObject> {
    return this.#filling.values()
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
    return offset
  }

  /** Formats a batch into its objects. Memory only: cannot fail half way. */
  take(rows: Rows, nextOffset: number, reject: Reject): void {
    for (const run of runsOf(rows, this.partition, this.#settings, reject)) this.#takeRun(rows, run, reject)
    this.#nextOffset = nextOffset
  }

  /** Finishes what is due by the clock. */
  finishDue(): void {
    const { rotation, clock } = this.#settings
    const now = clock.monotonic()
    for (const [folder, object] of this.#filling) {
      if (isDue(rotation, object.openedAt, object.touchedAt, now)) this.#finish(folder, object)
    }
  }

  finish(object: OpenObject): void {
    this.#finish(object.identity.folder, object)
  }

  finishAll(): void {
    for (const [folder, object] of this.#filling) this.#finish(folder, object)
  }

  /** Forgets finished objects that are durable and answers them. */
  takeCommitted(): readonly OpenObject[] {
    const committed = this.#finished.filter(object => object.committed)
    if (committed.length > 0) this.#finished = this.#finished.filter(object => !object.committed)
    return committed
  }

  async abort(): Promise<void> {
    const objects = [...this.#filling.values(), ...this.#finished]
    this.#filling.clear()
    this.#finished = []
    await Promise.all(objects.map(object => object.abort()))
  }

  #takeRun(rows: Rows, run: Run, reject: Reject): void {
    const { rotation, format } = this.#settings
    let i = run.from
    while (i < run.to) {
      const object = this.#objectFor(run, rows.offset(i))
      const end =
        object.lines === 0 ? this.#endOfFirst(rows, i, run.to) : endOfObject(rotation, object, rows, i, run.to)
      i = object.take(format, rows, i, end, byteLimit(rotation), reject)
      if (isFull(rotation, object.lines, object.bytes) || (i === end && end < run.to)) {
        this.#finish(object.identity.folder, object)
      }
    }
  }

  /** A new object takes its time from the row it begins with. */
  #endOfFirst(rows: Rows, from: number, to: number): number {
    return endOfObject(this.#settings.rotation, { lines: 0, firstTimestamp: rows.timestamp(from) }, rows, from, to)
  }

  #objectFor(run: Run, firstOffset: number): OpenObject {
    const folder = `${run.topic}/${run.path}`
    const { clock, openFilesMax } = this.#settings
    const now = clock.monotonic()
    let object = this.#filling.get(folder)
    if (object === undefined) {
      for (const [oldest, candidate] of this.#filling) {
        if (this.#filling.size < openFilesMax) break
        this.#finish(oldest, candidate)
      }
      object = this.#create(run, folder, firstOffset, now)
    }
    this.#filling.delete(folder)
    this.#filling.set(folder, object)
    object.touchedAt = now
    return object
  }

  #create(run: Run, folder: string, firstOffset: number, now: number): OpenObject {
    const { store, codec, pool, topicsDir, extension } = this.#settings
    const key = objectKey({
      topicsDir,
      topic: run.topic,
      path: run.path,
      originTopic: this.topic,
      partition: this.partition,
      firstOffset,
      extension,
    })
    const identity = { originTopic: this.topic, partition: this.partition, folder, firstOffset, key }
    return new OpenObject(identity, store.create(key), codec, pool, now)
  }

  #finish(folder: string, object: OpenObject): void {
    this.#filling.delete(folder)
    this.#finished.push(object)
    object.finish()
  }
}
