import { type Clock, errorCode, errorMessage, type Logger } from '../base/index.ts'
import type { CommitJournal } from './commit-journal.ts'
import type { Outcome, Producer } from './producers.ts'
import type { TransactionLog } from './transaction-log.ts'
import { Markers, type TransactionPartition } from './transaction-markers.ts'
import type { DurableEnd, TransactionPartitions, TransactionRecord } from './transaction-records.ts'
import type { RecoveredTransactions } from './transaction-recovery.ts'

/** The marker's epoch is one more, and Kafka keeps the largest for fencing. */
const EPOCH_MAX = 32_766
/** `transaction.version` 2 (KIP-890): the epoch is raised at the end of each transaction. */
const TRANSACTION_VERSION = 2

/** What the coordinator needs to know of topics. */
export interface TransactionTopics {
  /** Topic id of the partition if what is synced there stays; undefined for `durability: os`. */
  readonly durableTopicId: (partition: TransactionPartition) => string | undefined
  /** Whether it is the partition that now has this name. */
  readonly exists: (partition: TransactionPartition) => boolean
}

export interface TransactionsParts {
  readonly log: TransactionLog
  readonly journal: CommitJournal
  readonly topics: TransactionTopics
  readonly clock: Clock
  readonly logger: Logger
  readonly recovered: RecoveredTransactions
}

/** A transaction that is to end. */
export interface EndingTransaction {
  readonly producer: Producer
  /** Everything that it wrote to. */
  readonly partitions: ReadonlySet<TransactionPartition>
  /** Written without a producer: to be synced before the commit, without markers. */
  readonly plain: ReadonlySet<TransactionPartition>
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly timeoutMs: number
}

/**
 * The transaction coordinator: gives producer ids and epochs, and decides how transactions end. A commit is decided by a
 * record of the transaction log: in the commit journal, together with what was written, or in the log itself once that is
 * durable. Everything before can be aborted, everything behind it is done again at the next start.
 */
export class Transactions {
  readonly #parts: TransactionsParts
  readonly #byId = new Map<string, TransactionalId>()
  #lastProducerId: number

  constructor(parts: TransactionsParts) {
    this.#parts = parts
    const ids = [...parts.log.states.values()].map(record => record.producerId)
    this.#lastProducerId = [...parts.recovered.producerEpochs.keys(), ...ids].reduce((max, id) => Math.max(max, id), -1)
  }

  /** Throws STORAGE_FAILED when nothing can be decided any more, what is open included. */
  check(): void {
    this.#parts.log.check()
  }

  /** The same object for the same id. */
  of(id: string): TransactionalId {
    const known = this.#byId.get(id)
    if (known !== undefined) return known
    const place = new TransactionalId(id, this.#parts, this.#firstProducer(id), () => this.#newProducer())
    this.#byId.set(id, place)
    return place
  }

  /** Writes what could not be written before, and makes short what the next start has to do. */
  async tend(): Promise<void> {
    await this.#parts.recovered.markers.settled().catch(() => undefined)
    await Promise.all([...this.#byId.values()].map(id => id.tend()))
  }

  /** Makes markers durable and says that everything is complete. What fails is left to the next start: false. */
  async close(): Promise<boolean> {
    try {
      for (const id of this.#byId.values()) await id.complete()
      await this.#parts.log.flush()
      return true
    } catch (error) {
      const facts = { reason: errorMessage(error) }
      this.#parts.logger.warn(facts, 'some transactions could not be completed: the next start does it')
      return false
    }
  }

  /** Goes on where the last run ended: no epoch is given twice, as a partition may remember it. */
  #firstProducer(id: string): Producer {
    const record = this.#parts.log.states.get(id)
    if (record === undefined) return this.#newProducer()
    const seen = this.#parts.recovered.producerEpochs.get(record.producerId) ?? -1
    return { id: record.producerId, epoch: Math.max(seen, record.producerEpoch) + 1 }
  }

  #newProducer(): Producer {
    return { id: ++this.#lastProducerId, epoch: 0 }
  }
}

/** A transaction whose markers may not be durable yet. */
interface Prepared {
  readonly record: TransactionRecord
  readonly partitions: ReadonlySet<TransactionPartition>
}

/** A transactional id: has one transaction at a time. */
export class TransactionalId {
  readonly #id: string
  readonly #parts: TransactionsParts
  readonly #newProducer: () => Producer
  readonly #markers: Markers
  /** The next transaction's. */
  #producer: Producer
  /** Its newest record says Prepare. */
  #prepared: Prepared | undefined
  #ending = 0
  /** Have markers of this id that were not synced by `tend`. */
  #marked = new Set<TransactionPartition>()
  /** Nothing has ended since `tend` looked last. */
  #idle = false

  constructor(id: string, parts: TransactionsParts, producer: Producer, newProducer: () => Producer) {
    this.#id = id
    this.#parts = parts
    this.#producer = producer
    this.#newProducer = newProducer
    this.#markers = new Markers(parts.topics.exists)
  }

  /** Throws STORAGE_FAILED while a transaction may be undecided until the next start. */
  check(): void {
    this.#parts.log.check()
  }

  /**
   * The producer of a new transaction, once the markers of the one before are written. Rejects with DISK_FULL when there
   * is no room for them, with STORAGE_FAILED when nothing can be committed any more.
   */
  async begin(): Promise<Producer> {
    this.#parts.log.check()
    await this.#parts.recovered.markers.settled()
    await this.#markers.settled()
    if (this.#producer.epoch > EPOCH_MAX) this.#producer = this.#newProducer()
    return this.#producer
  }

  /**
   * Decides that the transaction is committed; `decided` is called in the turn in which readers see it. A rejection has
   * aborted it, except with COMMIT_UNKNOWN, after which it stays undecided until the next start.
   */
  async commit(transaction: EndingTransaction, decided: () => void): Promise<void> {
    const { producer, partitions, plain } = transaction
    if (partitions.size === 0) {
      await syncAll(plain)
      decided()
      return
    }
    this.#ending++
    try {
      try {
        this.#parts.log.check()
        this.#prepared = { record: await this.#decide(transaction), partitions }
      } catch (error) {
        if (errorCode(error) !== 'COMMIT_UNKNOWN') this.abort(producer, partitions)
        throw error
      }
      this.#end(producer, partitions, 'commit')
      decided()
    } finally {
      this.#ending--
    }
  }

  /** Durable when it resolves: what was written, and that it is committed. */
  async #decide(transaction: EndingTransaction): Promise<TransactionRecord> {
    const { journal, log } = this.#parts
    const partitions = new Set([...transaction.partitions, ...transaction.plain, ...this.#unsynced()])
    const recordOf = (endOf: (partition: TransactionPartition) => number) =>
      this.#record(transaction, this.#durableEnds(partitions, endOf))
    await syncAll([...partitions].filter(partition => journal.isLarge(partition)))
    const journaled = await journal.commit({ transactionalId: this.#id, partitions, recordOf })
    if (journaled !== undefined) return journaled
    await syncAll(partitions)
    const record = recordOf(partition => partition.recoveryPoint)
    await log.write(this.#id, record)
    return record
  }

  /** Readers pass over what it wrote from now on. */
  abort(producer: Producer, partitions: ReadonlySet<TransactionPartition>): void {
    if (partitions.size > 0) this.#end(producer, partitions, 'abort')
  }

  /** Called about once a second. Markers of an id that writes no more become durable, so that readers come to the very end. */
  async tend(): Promise<void> {
    const idle = this.#idle
    this.#idle = true
    // Still no room, or a disk that is broken: it will be tried again, and whoever begins is told.
    if (idle || this.#markers.owesSome) await this.#markers.settled().catch(() => undefined)
    if (idle) await this.#syncMarkers()
    if (this.#prepared !== undefined && this.#ending === 0 && this.#isComplete()) this.#saySo(this.#prepared)
  }

  async complete(): Promise<void> {
    await this.#markers.settled()
    if (this.#prepared === undefined) return
    await syncAll(this.#markers.unsynced())
    this.#saySo(this.#prepared)
  }

  async #syncMarkers(): Promise<void> {
    const marked = [...this.#marked].filter(this.#markers.exists)
    this.#marked.clear()
    // A partition that cannot be synced tells whoever writes to it.
    await syncAll(marked).catch(() => undefined)
  }

  #unsynced(): TransactionPartition[] {
    return [...this.#parts.recovered.markers.unsynced(), ...this.#markers.unsynced()]
  }

  #isComplete(): boolean {
    return !this.#markers.owesSome && this.#markers.unsynced().length === 0
  }

  /** With the ends of the markers: one that is damaged later must not be taken for one that was never durable. */
  #saySo({ record, partitions }: Prepared): void {
    this.#prepared = undefined
    const durableEnds = this.#durableEnds(partitions, partition => partition.recoveryPoint)
    this.#parts.log.writeLater(this.#id, { ...completed(record, this.#parts.clock.now()), durableEnds })
  }

  #end({ id, epoch }: Producer, partitions: ReadonlySet<TransactionPartition>, outcome: Outcome): void {
    this.#producer = { id, epoch: epoch + 1 }
    this.#markers.end(partitions, this.#producer, outcome)
    for (const partition of partitions) this.#marked.add(partition)
    this.#idle = false
  }

  #record(
    { producer, partitions, startedAt, timeoutMs }: EndingTransaction,
    durableEnds: readonly DurableEnd[],
  ): TransactionRecord {
    return {
      producerId: producer.id,
      previousProducerId: -1,
      nextProducerId: -1,
      producerEpoch: producer.epoch + 1,
      nextProducerEpoch: -1,
      timeoutMs,
      state: 'PrepareCommit',
      partitions: byTopic(partitions),
      updatedAt: this.#parts.clock.now(),
      startedAt,
      clientVersion: TRANSACTION_VERSION,
      durableEnds,
    }
  }

  #durableEnds(
    partitions: Iterable<TransactionPartition>,
    endOf: (partition: TransactionPartition) => number,
  ): DurableEnd[] {
    return [...partitions].flatMap(partition => {
      const topicId = this.#parts.topics.durableTopicId(partition)
      return topicId === undefined ? [] : [{ topicId, partition: partition.partition, end: endOf(partition) }]
    })
  }
}

/** The record that says that nothing is left to do. */
function completed(prepared: TransactionRecord, now: number): TransactionRecord {
  return { ...prepared, state: 'CompleteCommit', partitions: [], durableEnds: [], updatedAt: now }
}

/** All at once. Every call is waited for, so that nothing goes on behind a rejection. */
export async function syncAll(partitions: Iterable<TransactionPartition>): Promise<void> {
  const results = await Promise.allSettled([...partitions].map(partition => partition.sync()))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

function byTopic(partitions: Iterable<TransactionPartition>): TransactionPartitions[] {
  const topics = new Map<string, number[]>()
  for (const { topic, partition } of partitions) topics.set(topic, [...(topics.get(topic) ?? []), partition])
  return [...topics].map(([topic, numbers]) => ({ topic, partitions: numbers.sort((a, b) => a - b) }))
}
