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
import { openState } from './partition-state.ts'
import type { ObjectRules, RecordedConfig } from './recorded-config.ts'
import { settleAll } from './settle-all.ts'

/** Finished objects that may be uploading while more is taken. */
const UPLOADS_BEHIND_MAX = 8
/** So many are worth a transaction for their plans before the next commit is due. */
const PLANS_WORTH_SAVING = 4
/** Plans that are made at once, and marks that are kept, of one partition: its state stays below about 100 kB. */
const PLANS_AT_ONCE_MAX = 256
const MARKS_MAX = 256

export interface SinkTaskOptions extends Omit<ObjectSettings, 'changed'> {
  readonly config: RecordedConfig
  readonly rules: ObjectRules
  /** Bytes. */
  readonly memoryMax: number
  /** How a person reads an object. */
  readonly readingHint: (key: string) => string
}

/**
 * The `s3` sink. `put` first waits until what earlier puts took has left memory (that may fail, and then nothing was
 * taken), then formats its batches into open objects (that cannot fail), and starts compression and uploads, which run
 * while the loop reads on.
 *
 * Exactly once: before an object can be seen, its plan (key, first and last record) is durable; after a restart the records
 * of a plan go to its object again, those that are known to be in durable objects go nowhere, and only the rest is cut by
 * the rules of rotation. So it does not matter what the clock, the order of uploads or an edit of the configuration did.
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
    const { store, config, rules } = this.#options
    const { log } = this.#context
    const settings: ObjectSettings = {
      ...this.#options,
      changed: (plan, lines) => {
        this.#context.count('objects.changed')
        const facts = { key: plan.key, planned: plan.count, written: lines }
        log.error(facts, 'records of a planned object are gone from the log or filtered now: it has what is left')
      },
    }
    const opened = await Promise.all(
      partitions.map(async partition => {
        const state = await openState(partition, config, rules, log)
        return new PartitionObjects(partition.topic, partition.partition, partition.offset, state, settings)
      }),
    )
    const extensions = opened.flatMap(({ state }) => state.extensions)
    const swept = await store.sweep(name => isNameOf(name, partitions, extensions))
    if (swept > 0) log.info({ swept }, 'removed unfinished objects of an earlier run; they are written anew')
    for (const objects of opened) this.#partitions.set(nameOf(objects.topic, objects.partition), objects)
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
    const repaired = this.#options.rules.format.takeRepaired()
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
        'finished objects could not be stored; it is tried again',
      )
    }
    return [...this.#partitions.values()].map(objects => objects.progress)
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
    await settleAll(this.#open())
    if (this.#finished().filter(object => !object.mayCommit).length >= PLANS_WORTH_SAVING) {
      await this.#plan()
      this.#kick()
    }
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
    for (const object of this.#open()) object.kick()
    for (const object of this.#finished().slice(0, UPLOADS_BEHIND_MAX)) object.kick()
  }

  /** Makes durable which records finished objects have, and with that lets them be seen: the oldest of each partition. */
  async #plan(): Promise<void> {
    const partitions = [...this.#partitions.values()]
    const decided = partitions.map(objects => objects.decide(PLANS_AT_ONCE_MAX))
    const planned = partitions.filter((_, i) => decided[i]!.length > 0)
    if (planned.length === 0) return
    await this.#context.saveState(planned.map(objects => objects.plans))
    for (const object of decided.flat()) object.allowCommit()
  }

  async #settleFinished(): Promise<void> {
    for (;;) {
      await this.#plan()
      const ready = this.#finished().filter(object => object.mayCommit)
      if (ready.length === 0) return
      try {
        await settleAll(ready)
      } finally {
        this.#takeCommitted()
      }
    }
  }

  #takeCommitted(): void {
    for (const objects of this.#partitions.values()) {
      for (const object of objects.takeCommitted()) this.#reportObject(object)
      if (objects.state.marks > MARKS_MAX) objects.finishOldest()
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

  #open(): OpenObject[] {
    return [...this.#partitions.values()].flatMap(objects => [...objects.replayed, ...objects.filling])
  }

  #finished(): OpenObject[] {
    return [...this.#partitions.values()].flatMap(objects => objects.finished)
  }

  #held(): number {
    let held = 0
    for (const object of this.#open()) held += object.held
    for (const object of this.#finished()) held += object.held
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
