import type {
  AssignedPartition,
  Broker,
  LogRecords,
  Reader,
  ReaderEvent,
  TopicPosition,
  Writer,
} from '../broker/index.ts'
import {
  type Clock,
  type JsonObject,
  type Logger,
  RejectedRecords,
  reactionTo,
  type SinkProgress,
  type SinkTask,
  stringifyJson,
} from './api/index.ts'
import type { Backoff } from './backoff.ts'
import type { BadRecords } from './bad-records.ts'
import type { ConnectorCounters } from './counters.ts'
import { InFlight } from './in-flight.ts'
import { type CountedBatch, originalOf, type SinkPipeline } from './sink-pipeline.ts'
import type { TopicConverters } from './topics.ts'

const IDLE_WAIT_MS = 250
/** So many bytes of dead letters are committed before the interval is over: they wait in memory. */
const LETTERS_BYTES_MAX = 8 << 20

export interface SinkLoopParts {
  readonly connector: string
  readonly task: SinkTask
  readonly pipeline: SinkPipeline
  readonly badRecords: BadRecords
  readonly converters: (topic: string) => Promise<TopicConverters>
  readonly copiesBatches: boolean
  readonly broker: Broker
  readonly reader: Reader
  readonly writer: Writer
  readonly backoff: Backoff
  readonly commitIntervalMs: number
  readonly counters: ConnectorCounters
  readonly clock: Clock
  readonly log: Logger
}

/** What the loop knows of a partition it owns. */
interface Owned {
  /** Where reading stands. */
  position: number
  committed: number
  /** The state last committed, as JSON text. */
  state: string
  readonly inFlight: InFlight
  readonly converters: TopicConverters
}

/**
 * read → converters → transforms → put; at intervals preCommit → {offsets, state} → commit.
 *
 * The next read is under way while a put runs. A retriable rejection of a put gives the task the same batches again and
 * reads nothing new; preCommit and drain are asked again likewise.
 */
export class SinkLoop {
  readonly #parts: SinkLoopParts
  readonly #abort = new AbortController()
  /** Of the poll under way: ends its wait early. */
  #waiting = new AbortController()
  readonly #owned = new Map<string, Owned>()
  #ending = false
  /** At the end something is still to come: polls wait for it. */
  #lagging = false
  #commitAt: number

  constructor(parts: SinkLoopParts) {
    this.#parts = parts
    this.#commitAt = parts.clock.monotonic() + parts.commitIntervalMs
  }

  /** Ends reading; `run` then commits what is durable and returns. */
  stop(): void {
    this.#abort.abort()
    this.#waiting.abort()
  }

  /** No more records will be written: `run` delivers what the log holds, makes all of it durable and returns. */
  end(): void {
    this.#ending = true
    this.#waiting.abort()
  }

  async run(): Promise<'finished' | 'stopped'> {
    const { task } = this.#parts
    const { signal } = this.#abort
    try {
      let next = this.#poll()
      while (!signal.aborted) {
        const event = await next
        // Only records may be read ahead: a change of assignment has to be dealt with first.
        if (event.kind === 'records') next = this.#poll()
        await this.#handle(event)
        if (event.kind === 'idle' && this.#ending && (await this.#caughtUp())) {
          await this.#persist('drain', () => task.drain())
          await this.#commit()
          // Another task may have left its partitions to this one meanwhile.
          next = this.#poll()
          if ((await next).kind === 'idle') return 'finished'
          continue
        }
        this.#lagging = event.kind === 'idle' && this.#ending
        if (event.kind !== 'records') next = this.#poll()
        if (this.#commitIsDue()) await this.#commit()
      }
      await next
      await this.#commit()
      return 'stopped'
    } finally {
      for (const { inFlight } of this.#owned.values()) this.#abandon(inFlight)
    }
  }

  /** A read that was started ahead may fail while nobody waits for it yet: the failure is met at its turn. */
  #poll(): Promise<ReaderEvent> {
    this.#waiting = new AbortController()
    const untilCommitMs = Math.max(0, this.#commitAt - this.#parts.clock.monotonic())
    const atOnce = (this.#ending && !this.#lagging) || this.#abort.signal.aborted
    const waitMs = atOnce ? 0 : Math.min(IDLE_WAIT_MS, untilCommitMs)
    const event = this.#parts.reader.poll(waitMs, this.#waiting.signal)
    event.catch(() => undefined)
    return event
  }

  async #handle(event: ReaderEvent): Promise<void> {
    if (event.kind === 'assigned') await this.#assigned(event.partitions)
    else if (event.kind === 'revoked') await this.#revoked(event.partitions)
    else if (event.kind === 'records') {
      await this.#deliver(event.batches)
      if (this.#parts.copiesBatches) event.release()
    }
  }

  async #assigned(partitions: readonly AssignedPartition[]): Promise<void> {
    const { broker, connector, task, converters } = this.#parts
    const states = new Map<string, JsonObject | null>()
    for (const { partition, value } of await broker.checkpoints(connector)) {
      states.set(nameOf(String(partition.kafka_topic), Number(partition.kafka_partition)), value)
    }
    for (const { topic, partition, offset } of partitions) {
      const owned = {
        position: offset,
        committed: offset,
        state: stringifyJson(states.get(nameOf(topic, partition)) ?? null),
        inFlight: new InFlight(),
        converters: await converters(topic),
      }
      this.#owned.set(nameOf(topic, partition), owned)
    }
    await task.open(partitions.map(p => ({ ...p, state: states.get(nameOf(p.topic, p.partition)) ?? null })))
  }

  async #revoked(partitions: readonly TopicPosition[]): Promise<void> {
    await this.#commit()
    await this.#parts.task.closePartitions(partitions)
    for (const { topic, partition } of partitions) {
      const name = nameOf(topic, partition)
      const owned = this.#owned.get(name)
      if (owned !== undefined) this.#abandon(owned.inFlight)
      this.#owned.delete(name)
    }
  }

  async #deliver(read: readonly LogRecords[]): Promise<void> {
    const { pipeline, counters } = this.#parts
    const batches = read.map(records => pipeline.batch(records, this.#ownerOf(records).converters))
    const rejected = await this.#put(batches, read)
    for (let i = 0; i < batches.length; i++) {
      const batch = batches[i]!
      const owned = this.#ownerOf(batch)
      const taken = batch.taken() - (rejected.get(i) ?? 0)
      owned.position = batch.nextOffset
      owned.inFlight.add(batch.nextOffset, taken)
      counters.recordsInFlight += taken
      counters.bytesOut += read[i]!.records.size
    }
  }

  /** Answers how many records of which batch the task refused for good. */
  async #put(batches: readonly CountedBatch[], read: readonly LogRecords[]): Promise<ReadonlyMap<number, number>> {
    try {
      await this.#persist('put', () => this.#parts.task.put(batches))
      return new Map()
    } catch (error) {
      if (error instanceof RejectedRecords) return this.#reject(error, batches, read)
      throw error
    }
  }

  /** Does it again, with back-off, as long as what it fails with may pass and nobody wants the task to stop. */
  async #persist<T>(what: string, work: () => Promise<T>): Promise<T> {
    const { backoff, counters, log } = this.#parts
    for (;;) {
      try {
        const result = await work()
        backoff.reset()
        return result
      } catch (error) {
        if (reactionTo(error) !== 'retry' || this.#abort.signal.aborted) throw error
        counters.retries++
        log.warn({ err: error }, `${what} failed and is tried again`)
        if (!(await backoff.wait(this.#abort.signal))) throw error
      }
    }
  }

  #reject(error: RejectedRecords, batches: readonly CountedBatch[], read: readonly LogRecords[]) {
    const counts = new Map<number, number>()
    for (const { batch, record, reason } of error.rejected) {
      const offset = batches[batch]!.packed === undefined ? batches[batch]!.records()[record]!.origin.offset : undefined
      const index = offset === undefined ? record : indexOf(read[batch]!, offset)
      this.#parts.badRecords.take(new Error(reason), 'TASK_PUT', originalOf(read[batch]!, index))
      counts.set(batch, (counts.get(batch) ?? 0) + 1)
    }
    return counts
  }

  #commitIsDue(): boolean {
    const { clock, badRecords } = this.#parts
    return clock.monotonic() >= this.#commitAt || badRecords.bytes >= LETTERS_BYTES_MAX
  }

  async #commit(): Promise<void> {
    const { connector, task, reader, writer, badRecords, clock, commitIntervalMs } = this.#parts
    const progress = await this.#persist('preCommit', () => task.preCommit())
    const moved = progress.filter(p => p.offset !== undefined && p.offset > (this.#find(p)?.committed ?? p.offset))
    const states = progress.filter(p => p.state !== undefined && stringifyJson(p.state) !== this.#find(p)?.state)
    const letters = badRecords.drain()
    if (moved.length > 0 || states.length > 0 || letters !== undefined) {
      const transaction = await writer.begin()
      await badRecords.append(transaction, letters)
      transaction.offsets(
        reader.group,
        moved.map(({ topic, partition, offset }) => ({ topic, partition, offset: offset!, metadata: '' })),
      )
      transaction.checkpoint(states.map(p => stateEntry(connector, p)))
      await transaction.commit()
    }
    for (const p of moved) this.#durable(p)
    for (const p of states) {
      const owned = this.#find(p)
      if (owned !== undefined) owned.state = stringifyJson(p.state)
    }
    this.#commitAt = clock.monotonic() + commitIntervalMs
  }

  #durable(progress: SinkProgress): void {
    const { counters } = this.#parts
    const owned = this.#find(progress)
    if (owned === undefined) return
    owned.committed = progress.offset!
    const records = owned.inFlight.durable(owned.committed)
    counters.recordsInFlight -= records
    counters.recordsDelivered += records
  }

  async #caughtUp(): Promise<boolean> {
    for (const [name, { position }] of this.#owned) {
      const slash = name.lastIndexOf('/')
      const { lastStableOffset } = await this.#parts.broker.partition(
        name.slice(0, slash),
        Number(name.slice(slash + 1)),
      )
      if (position < lastStableOffset) return false
    }
    return true
  }

  #find(of: { readonly topic: string; readonly partition: number }): Owned | undefined {
    return this.#owned.get(nameOf(of.topic, of.partition))
  }

  #ownerOf(of: { readonly topic: string; readonly partition: number }): Owned {
    const owned = this.#find(of)
    if (owned === undefined) throw new Error(`records of ${of.topic}-${of.partition}, which this task does not own`)
    return owned
  }

  #abandon(inFlight: InFlight): void {
    const { counters } = this.#parts
    counters.recordsInFlight -= inFlight.records
    counters.recordsAbandoned += inFlight.records
  }
}

/** The durable state of a partition, keyed as Connect's offsets endpoint shows a sink's positions. */
export function stateEntry(connector: string, { topic, partition, state }: SinkProgress) {
  return { connector, partition: { kafka_topic: topic, kafka_partition: partition }, value: state ?? null }
}

function nameOf(topic: string, partition: number): string {
  return `${topic}/${partition}`
}

function indexOf(read: LogRecords, offset: number): number {
  for (let i = 0; i < read.records.count; i++) if (read.records.offset(i) === offset) return i
  return 0
}
