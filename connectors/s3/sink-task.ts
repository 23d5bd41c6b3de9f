import {
  assert,
  errorCode,
  errorMessage,
  type OpenPartition,
  RejectedRecords,
  reactionTo,
  type SinkBatch,
  type SinkProgress,
  type SinkTask,
  type TaskContext,
  type TopicPartition,
} from '../../runtime/api/index.ts'
import { Rows } from '../formats/rows.ts'
import { isNameOf } from './object-key.ts'
import type { OpenObject } from './open-object.ts'
import { type ObjectSettings, PartitionObjects } from './partition-objects.ts'
import { settleAll } from './settle-all.ts'

/** Finished objects that may be uploading while more is taken. */
const UPLOADS_BEHIND_MAX = 8

export interface SinkTaskOptions extends ObjectSettings {
  /** Bytes. */
  readonly memoryMax: number
  /** How a person reads an object. */
  readonly readingHint: (key: string) => string
}

/**
 * The `s3` sink. `put` first waits until what earlier puts took has left memory (that may fail, and then nothing was
 * taken), then formats its batches into open objects (that cannot fail), and starts compression and uploads, which run
 * while the loop reads on.
 */
export class S3SinkTask implements SinkTask {
  readonly #options: SinkTaskOptions
  readonly #context: TaskContext
  readonly #partitions = new Map<string, PartitionObjects>()
  #objects = 0

  constructor(options: SinkTaskOptions, context: TaskContext) {
    this.#options = options
    this.#context = context
  }

  async open(partitions: readonly OpenPartition[]): Promise<void> {
    const { store, extension } = this.#options
    const swept = await store.sweep(name => isNameOf(name, partitions, extension))
    if (swept > 0)
      this.#context.log.info({ swept }, 'removed unfinished objects of an earlier run; they are written anew')
    for (const { topic, partition, offset } of partitions) {
      this.#partitions.set(nameOf(topic, partition), new PartitionObjects(topic, partition, offset, this.#options))
    }
  }

  async put(batches: readonly SinkBatch[]): Promise<void> {
    await this.#makeRoom()
    // Records that do not decode are heard of before anything is taken.
    const views = batches.map(batch => ({ rows: new Rows(batch), objects: this.#objectsOf(batch) }))
    const rejected: { batch: number; record: number; reason: string }[] = []
    for (const [b, { rows, objects }] of views.entries()) {
      objects.take(rows, batches[b]!.nextOffset, (record, reason) => rejected.push({ batch: b, record, reason }))
    }
    this.#kick()
    const repaired = this.#options.format.takeRepaired()
    if (repaired > 0) this.#context.count('invalid.utf8', repaired)
    if (rejected.length > 0) throw new RejectedRecords(rejected)
  }

  async preCommit(): Promise<readonly SinkProgress[]> {
    for (const objects of this.#partitions.values()) objects.finishDue()
    try {
      await this.#settleFinished()
    } catch (error) {
      // What passes by itself is no reason to throw away what is half uploaded: the offsets stay where they are, the next
      // call tries again, and puts are held back when too much waits.
      if (reactionTo(error) !== 'retry') throw error
      this.#context.count('uploads.delayed')
      this.#context.log.warn(
        { code: errorCode(error), reason: errorMessage(error) },
        'an upload failed and is tried again',
      )
    }
    return [...this.#partitions.values()].map(({ topic, partition, safeOffset }) => ({
      topic,
      partition,
      offset: safeOffset,
    }))
  }

  async drain(): Promise<void> {
    for (const objects of this.#partitions.values()) objects.finishAll()
    await this.#settleFinished()
  }

  async closePartitions(partitions: readonly TopicPartition[]): Promise<void> {
    const names = partitions.map(({ topic, partition }) => nameOf(topic, partition))
    const closed = names.map(name => this.#partitions.get(name))
    for (const name of names) this.#partitions.delete(name)
    await Promise.all(closed.map(objects => objects?.abort()))
  }

  async close(): Promise<void> {
    await this.closePartitions([...this.#partitions.values()])
    await this.#options.store.close()
  }

  /** Waits until memory is left for another put, and rejects with what keeps the store from taking more. */
  async #makeRoom(): Promise<void> {
    await settleAll(this.#filling())
    if (this.#finished().length > UPLOADS_BEHIND_MAX) await this.#settleFinished()
    if (this.#held() <= this.#options.memoryMax) return
    await this.#settleFinished()
    while (this.#held() > this.#options.memoryMax) {
      const largest = this.#largest()
      if (largest === undefined) return
      this.#context.count('objects.finished.early')
      largest.partition.finish(largest.object)
      await this.#settleFinished()
    }
  }

  /** Starts what can go on in the background; `#makeRoom` and `preCommit` hear how it went. */
  #kick(): void {
    for (const object of this.#filling()) object.kick()
    for (const object of this.#finished().slice(0, UPLOADS_BEHIND_MAX)) object.kick()
  }

  async #settleFinished(): Promise<void> {
    try {
      await settleAll(this.#finished())
    } finally {
      for (const objects of this.#partitions.values()) {
        for (const object of objects.takeCommitted()) this.#reportObject(object)
      }
    }
  }

  #reportObject(object: OpenObject): void {
    if (object.lines === 0) return
    this.#objects++
    this.#context.report({
      'last object': `${this.#options.store.place}/${object.identity.key}`,
      'read it with': this.#options.readingHint(object.identity.key),
      objects: this.#objects,
    })
  }

  #objectsOf({ topic, partition }: SinkBatch): PartitionObjects {
    const objects = this.#partitions.get(nameOf(topic, partition))
    assert(objects !== undefined, `s3 sink: records of ${topic}-${partition}, which was not opened`)
    return objects
  }

  #filling(): OpenObject[] {
    return [...this.#partitions.values()].flatMap(objects => [...objects.filling])
  }

  #finished(): OpenObject[] {
    return [...this.#partitions.values()].flatMap(objects => objects.finished)
  }

  #held(): number {
    let held = 0
    for (const objects of this.#partitions.values()) {
      for (const object of objects.filling) held += object.held
      for (const object of objects.finished) held += object.held
    }
    return held
  }

  #largest(): { readonly partition: PartitionObjects; readonly object: OpenObject } | undefined {
    let largest: { readonly partition: PartitionObjects; readonly object: OpenObject } | undefined
    for (const partition of this.#partitions.values()) {
      for (const object of partition.filling) {
        if (largest === undefined || object.held > largest.object.held) largest = { partition, object }
      }
    }
    return largest
  }
}

function nameOf(topic: string, partition: number): string {
  return `${topic}-${partition}`
}
