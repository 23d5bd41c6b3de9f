import type {
  AssignedPartition,
  Broker,
  GroupOffset,
  LogRecords,
  Reader,
  ReaderEvent,
  TopicPosition,
} from '../broker/index.ts'
import {
  type Clock,
  type JsonObject,
  KtsError,
  type Logger,
  RejectedRecords,
  reactionTo,
  type SinkProgress,
  type SinkTask,
} from './api/index.ts'
import type { Backoff } from './backoff.ts'
import type { BadRecords } from './bad-records.ts'
import type { ConnectorCounters } from './counters.ts'
import { nameOf, OwnedPartition, type OwnedPartitions } from './owned-partitions.ts'
import { type CountedBatch, type OnBad, originalOf, type SinkPipeline } from './sink-pipeline.ts'
import type { SinkTransactions } from './sink-transactions.ts'
import type { TopicConverters } from './topic-converters.ts'

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
  /** `errors.tolerance: all`: reading goes on behind records that are damaged in the log. */
  readonly passesDamage: boolean
  readonly broker: Broker
  readonly reader: Reader
  readonly owned: OwnedPartitions
  readonly transactions: SinkTransactions
  readonly backoff: Backoff
  readonly commitIntervalMs: number
  readonly counters: ConnectorCounters
  readonly clock: Clock
  readonly log: Logger
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
  /** Records that were read and whose fate is not known, or is known and not committed: bad ones. */
  #undecided = 0
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
        const positions = this.#positions(event)
        // Only records may be read ahead: a change of assignment has to be dealt with first.
        if (event.kind === 'records') next = this.#poll()
        await this.#handle(event)
        for (const [owned, position] of positions) owned.position = position
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
      for (const { inFlight } of this.#parts.owned.all()) this.#abandon(inFlight.records)
      this.#abandon(this.#undecided)
    }
  }

  /**
   * Where the reader stands, taken before it reads on: behind this event, and behind what no event brings. Not with every
   * event, since a task may have thousands of partitions.
   */
  #positions(event: ReaderEvent): readonly (readonly [OwnedPartition, number])[] {
    const { owned, reader } = this.#parts
    if (event.kind === 'revoked') return event.partitions.map(p => [owned.get(p), p.offset])
    if (event.kind !== 'idle' && !this.#commitIsDue()) return []
    return [...owned.all()].map(p => [p, reader.position(p.topic, p.partition)])
  }

  /** A read that was started ahead may fail while nobody waits for it yet: the failure is met at its turn. */
  #poll(): Promise<ReaderEvent> {
    this.#waiting = new AbortController()
    const untilCommitMs = Math.max(0, this.#commitAt - this.#parts.clock.monotonic())
    const atOnce = (this.#ending && !this.#lagging) || this.#abort.signal.aborted
    const waitMs = atOnce ? 0 : Math.min(IDLE_WAIT_MS, untilCommitMs)
    const event = this.#read(waitMs, this.#waiting.signal)
    event.catch(() => undefined)
    return event
  }

  async #read(waitMs: number, signal: AbortSignal): Promise<ReaderEvent> {
    for (;;) {
      try {
        return await this.#parts.reader.poll(waitMs, signal)
      } catch (error) {
        const damaged = this.#parts.passesDamage ? damagedRange(error) : undefined
        if (damaged === undefined) throw error
        this.#passOver(damaged, error)
      }
    }
  }

  /** Goes on behind records that the log names as damaged: counted and told, since they are lost to this sink. */
  #passOver({ topic, partition, firstOffset, nextOffset }: DamagedRange, error: unknown): void {
    const { reader, counters, log } = this.#parts
    const from = Math.max(firstOffset, reader.position(topic, partition))
    counters.errors++
    counters.count('records.damaged', nextOffset - from)
    log.error({ err: error, topic, partition, from, to: nextOffset - 1 }, 'damaged records are passed over')
    reader.seek(topic, partition, nextOffset)
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
    const { broker, connector, task, owned } = this.#parts
    const states = new Map<string, JsonObject | null>()
    for (const { partition: of, value } of await broker.checkpoints(connector)) {
      states.set(nameOf({ topic: String(of.kafka_topic), partition: Number(of.kafka_partition) }), value)
    }
    const opened = partitions.map(assigned => ({ assigned, state: states.get(nameOf(assigned)) ?? null }))
    for (const { assigned, state } of opened) owned.add(new OwnedPartition(assigned, state))
    await task.open(
      opened.map(({ assigned: { topic, partition, offset }, state }) => ({ topic, partition, offset, state })),
    )
  }

  async #revoked(partitions: readonly TopicPosition[]): Promise<void> {
    const { owned, task } = this.#parts
    await this.#commit()
    await task.closePartitions(partitions)
    for (const partition of partitions) {
      this.#abandon(owned.get(partition).inFlight.records)
      owned.delete(partition)
    }
  }

  async #deliver(read: readonly LogRecords[]): Promise<void> {
    const { pipeline, converters, counters, badRecords, owned } = this.#parts
    const count = this.#countRead(read)
    const bad = badRecords.pending
    const batches: CountedBatch[] = []
    for (const records of read) {
      const partition = owned.get(records)
      partition.converters ??= await converters(partition.topic)
      batches.push(pipeline.batch(records, partition.converters, this.#onBad))
    }
    const rejected = await this.#put(batches, read)
    let undecided = count - (badRecords.pending - bad)
    for (let i = 0; i < batches.length; i++) {
      const batch = batches[i]!
      const taken = batch.taken() - (rejected.get(i) ?? 0)
      const partition = owned.get(batch)
      partition.position = batch.nextOffset
      partition.inFlight.add(batch.end(), taken)
      counters.bytesOut += read[i]!.records.size
      counters.recordsFiltered += batch.filtered()
      counters.recordsInFlight -= batch.filtered()
      undecided -= taken + batch.filtered()
    }
    // What is left are records whose dead letters an earlier run has committed.
    this.#abandon(undecided)
    this.#undecided = badRecords.pending
  }

  #countRead(read: readonly LogRecords[]): number {
    const { counters } = this.#parts
    let count = 0
    for (const { records } of read) {
      count += records.count
      counters.bytesRead += records.size
    }
    counters.recordsRead += count
    counters.recordsInFlight += count
    this.#undecided += count
    return count
  }

  readonly #onBad: OnBad = (error, stage, read, record) => {
    const { owned, badRecords } = this.#parts
    const { letters } = owned.get(read)
    const offset = read.records.offset(record)
    if (letters.has(offset)) return
    if (badRecords.take(error, stage, originalOf(read, record)) === 'dead-letter') letters.add(offset)
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
      this.#onBad(new Error(reason), 'TASK_PUT', read[batch]!, index)
      counts.set(batch, (counts.get(batch) ?? 0) + 1)
    }
    return counts
  }

  #commitIsDue(): boolean {
    const { clock, badRecords } = this.#parts
    return clock.monotonic() >= this.#commitAt || badRecords.bytes >= LETTERS_BYTES_MAX
  }

  async #commit(): Promise<void> {
    const { connector, task, reader, transactions, badRecords, owned, counters, clock, commitIntervalMs } = this.#parts
    const progress = await this.#persist('preCommit', () => task.preCommit())
    const offsets = this.#offsets(progress)
    const states = progress.filter(p => p.state !== undefined && owned.find(p)?.hasState(p.state) !== true)
    const bad = badRecords.drain()
    let counted = { deadLettered: 0, skipped: bad.skipped }
    if (offsets.length > 0 || states.length > 0 || bad.letters !== undefined) {
      await transactions.commit(async transaction => {
        counted = await badRecords.append(transaction, bad)
        transaction.offsets(reader.group, offsets)
        transaction.checkpoint(states.map(p => stateEntry(connector, p)))
      })
    }
    counters.recordsDeadLettered += counted.deadLettered
    counters.recordsSkipped += counted.skipped
    counters.recordsInFlight -= counted.deadLettered + counted.skipped
    this.#undecided -= counted.deadLettered + counted.skipped
    for (const offset of offsets) {
      const delivered = owned.get(offset).committed(offset)
      counters.recordsDelivered += delivered
      counters.recordsInFlight -= delivered
    }
    owned.saved(states)
    this.#commitAt = clock.monotonic() + commitIntervalMs
  }

  #offsets(progress: readonly SinkProgress[]): readonly GroupOffset[] {
    const durable = new Map(progress.map(p => [nameOf(p), p.offset]))
    const offsets: GroupOffset[] = []
    for (const owned of this.#parts.owned.all()) {
      const offset = owned.nextCommit(durable.get(nameOf(owned)))
      if (offset !== undefined) offsets.push(offset)
    }
    return offsets
  }

  async #caughtUp(): Promise<boolean> {
    const { owned, broker } = this.#parts
    for (const { topic, partition, position } of owned.all()) {
      const { lastStableOffset } = await broker.partition(topic, partition)
      if (position < lastStableOffset) return false
    }
    return true
  }

  #abandon(records: number): void {
    const { counters } = this.#parts
    counters.recordsInFlight -= records
    counters.recordsAbandoned += records
  }
}

/** The durable state of a partition, keyed as Connect's offsets endpoint shows a sink's positions. */
export function stateEntry(connector: string, { topic, partition, state }: SinkProgress) {
  return { connector, partition: { kafka_topic: topic, kafka_partition: partition }, value: state ?? null }
}

interface DamagedRange {
  readonly topic: string
  readonly partition: number
  readonly firstOffset: number
  readonly nextOffset: number
}

/** What a CORRUPT_MESSAGE of the log is about; undefined for any other error. */
function damagedRange(error: unknown): DamagedRange | undefined {
  if (!(error instanceof KtsError) || error.code !== 'CORRUPT_MESSAGE') return undefined
  const { topic, partition, firstOffset, nextOffset } = error.details ?? {}
  if (typeof topic !== 'string' || typeof partition !== 'number') return undefined
  if (typeof firstOffset !== 'number' || typeof nextOffset !== 'number') return undefined
  return { topic, partition, firstOffset, nextOffset }
}

function indexOf(read: LogRecords, offset: number): number {
  for (let i = 0; i < read.records.count; i++) if (read.records.offset(i) === offset) return i
  return 0
}
