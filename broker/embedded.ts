import {
  type Clock,
  errorCode,
  type Files,
  KtsError,
  type Logger,
  type Processes,
  type Random,
  systemProcesses,
  writeWhole,
} from '../base/index.ts'
import { exists, makeDirectory } from './directory.ts'
import { EmbeddedStates, openTransactionLog } from './embedded-states.ts'
import { FileCache } from './file-cache.ts'
import { GroupMembers } from './group-members.ts'
import { Housekeeping } from './housekeeping.ts'
import { internalTopics, TRANSACTIONS_TOPIC } from './internal-topics.ts'
import { replayJournal } from './journal-replay.ts'
import { openClusterId } from './meta-properties.ts'
import { readOffsetCheckpoint } from './offset-checkpoint.ts'
import { Owner } from './owner.ts'
import type {
  Broker,
  Checkpoint,
  Consumer,
  EnsureOptions,
  GroupOffset,
  PartitionDescription,
  Reader,
  ReadOptions,
  ReadResult,
  Subscription,
  TopicDescription,
  TopicSpec,
  Writer,
  WriterOptions,
} from './port.ts'
import { ReadAhead } from './read-ahead.ts'
import { readPartition } from './read-partition.ts'
import { GroupReader, type ReaderHost } from './reader.ts'
import { describeTopic, TopicStore } from './topic-store.ts'
import type { TransactionLog } from './transaction-log.ts'
import { Writers } from './transaction-writers.ts'
import { Wake } from './wake.ts'

/** Memory for what is read ahead, for all readers together. */
const READ_AHEAD_BYTES = 16 << 20

/** Kafka's: a log that has it was closed in good order. */
const CLEAN_MARKER = '.kafka_cleanshutdown'

/** The `broker:` options (runtime/config/common-options.ts) that concern this engine. */
export interface EmbeddedOptions {
  readonly 'num.partitions': number
  readonly 'log.cleaner.backoff.ms': number
  readonly 'log.cleaner.dedupe.buffer.size': number
  readonly 'log.cleaner.io.max.bytes.per.second': number
  readonly 'log.disk.reserve.bytes': number
  readonly 'log.retention.check.interval.ms': number
  readonly 'log.read.check.crcs': boolean
  readonly 'log.open.files.max': number
}

export interface EmbeddedParts {
  /** Absolute; created when missing. */
  readonly directory: string
  readonly options: EmbeddedOptions
  readonly files: Files
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Who runs, as the operating system says. */
  readonly processes?: Processes
  /** Kafka's offsets.topic.segment.bytes and transaction.state.log.segment.bytes in one, for all internal topics; 4 MiB. */
  readonly internalSegmentBytes?: number
  /** Of each of the two files of the commit journal; 1 MiB. */
  readonly journalBytes?: number
}

/** What only the embedded engine has. */
export interface EmbeddedBroker extends Broker {
  /** Kafka's cluster id: made with the data directory, and the same for as long as that lives. */
  readonly clusterId: string
  /** Tells other processes of this host, through the owner file, where the worker's REST API answers. */
  setAddress(url: string): Promise<void>
}

/**
 * Opens a data directory, which belongs to this process until `close`. Rejects with DATA_DIR_IN_USE, STORAGE_FAILED,
 * CORRUPT_MESSAGE, and leaves nothing open then.
 */
export async function openEmbeddedBroker(parts: EmbeddedParts): Promise<EmbeddedBroker> {
  const { directory, files, clock, log, processes = systemProcesses } = parts
  await makeDirectory(files, `${directory}/meta/state`)
  const owner = await Owner.take({ files, directory: `${directory}/meta`, clock, processes, logger: log })
  try {
    return await openOwned(parts, owner)
  } catch (error) {
    await owner.release().catch(() => undefined)
    throw error
  }
}

async function openOwned(parts: EmbeddedParts, owner: Owner): Promise<EmbeddedBroker> {
  const { directory, options, files, clock, random, log: logger } = parts
  const marker = `${directory}/${CLEAN_MARKER}`
  const clean = await exists(files, marker)
  const used = await exists(files, `${directory}/meta/topics.json`)
  // What a killed process had renamed is relied on from here on, so a power cut must not take it back.
  if (!clean) for (const path of ['', '/meta', '/meta/state']) await files.syncDirectory(`${directory}${path}`)
  const clusterId = await openClusterId({ files, random, log: logger }, directory, used)
  if (!clean && used)
    logger.warn({ directory }, 'the log was not closed in good order: it is checked from the recovery points on')
  const recalled = await replayJournal(files, directory, logger)
  let log: TransactionLog | undefined
  let broker: Embedded | undefined
  const topics = await TopicStore.open({
    directory,
    files,
    clock,
    random,
    logger,
    cache: new FileCache(files, options['log.open.files.max']),
    readAhead: new ReadAhead(READ_AHEAD_BYTES),
    checkCrcs: options['log.read.check.crcs'],
    partitionsDefault: options['num.partitions'],
    internal: internalTopics(parts.internalSegmentBytes),
    recoveryPoints: await readOffsetCheckpoint(files, `${directory}/recovery-point-offset-checkpoint`),
    clean,
    first: {
      topic: TRANSACTIONS_TOPIC,
      opened: async topic => {
        log = await openTransactionLog(parts, topic, async () => broker?.writeRecoveryPoints())
        log.recall(recalled)
        return log.durableEnd
      },
    },
  })
  let states: EmbeddedStates | undefined
  try {
    // From the first write on, only a close in good order may say that all is well.
    if (clean) {
      await files.unlink(marker)
      await files.syncDirectory(directory)
    }
    states = await EmbeddedStates.open(parts, topics, log!)
    broker = new Embedded(parts, clusterId, owner, topics, states)
    await broker.start()
    return broker
  } catch (error) {
    await topics.close().catch(() => undefined)
    await states?.journal.close(false).catch(() => undefined)
    throw error
  }
}

/** The log on local disk, in this process. Everything that decides lives in the files it puts together. */
class Embedded implements EmbeddedBroker {
  readonly engine = 'embedded'
  readonly clusterId: string
  readonly #owner: Owner
  readonly #parts: EmbeddedParts
  readonly #topics: TopicStore
  readonly #states: EmbeddedStates
  readonly #members: GroupMembers
  readonly #writers: Writers
  readonly #readerHost: ReaderHost
  readonly #readers = new Set<GroupReader>()
  /** Of each read under way. */
  readonly #reads = new Set<Wake>()
  readonly #housekeeping: Housekeeping
  readonly #closing = new AbortController()
  #closed: Promise<void> | undefined

  constructor(parts: EmbeddedParts, clusterId: string, owner: Owner, topics: TopicStore, states: EmbeddedStates) {
    this.#parts = parts
    this.clusterId = clusterId
    this.#owner = owner
    this.#topics = topics
    this.#states = states
    this.#members = new GroupMembers(() => topics.all().map(describeTopic))
    this.#housekeeping = this.#makeHousekeeping()
    this.#writers = this.#makeWriters()
    this.#readerHost = {
      clock: parts.clock,
      members: this.#members,
      log: (topic, partition) => topics.partition(topic, partition),
      committed: (group, topic, partition) => states.offsets.view.at(group, topic, partition),
      checkOpen: () => this.#checkOpen(),
    }
  }

  async start(): Promise<void> {
    await this.#raiseEnds()
    await this.#housekeeping.start()
    this.#writers.start()
  }

  writeRecoveryPoints(): Promise<void> {
    return this.#housekeeping.writeRecoveryPoints()
  }

  async ensureTopic(spec: TopicSpec, options?: EnsureOptions): Promise<TopicDescription> {
    this.#checkOpen()
    const topic = await this.#topics.ensure(spec, options ?? {}, () => this.#forget(spec.name))
    this.#members.topicsChanged()
    return describeTopic(topic)
  }

  async checkTopic(spec: TopicSpec, options?: EnsureOptions): Promise<void> {
    this.#checkOpen()
    await this.#topics.check(spec, options)
  }

  async deleteTopic(name: string): Promise<void> {
    this.#checkOpen()
    await this.#topics.delete(name, async () => {
      this.#members.topicsChanged()
      await this.#forget(name)
    })
  }

  async deleteRecords(topic: string, partition: number, offset: number): Promise<number> {
    this.#checkOpen()
    return this.#topics.deleteRecords(topic, partition, offset)
  }

  async topic(name: string): Promise<TopicDescription | undefined> {
    const topic = this.#topics.topic(name)
    return topic === undefined ? undefined : describeTopic(topic)
  }

  async topics(): Promise<readonly TopicDescription[]> {
    return this.#topics.all().map(describeTopic)
  }

  async partition(topic: string, partition: number): Promise<PartitionDescription> {
    const { logStartOffset, highWatermark, lastStableOffset, sizeBytes } = this.#topics.partition(topic, partition)
    const unconsumedDeleted = this.#housekeeping.retention.unconsumedDeleted(topic, partition)
    return { logStartOffset, highWatermark, lastStableOffset, bytes: sizeBytes, unconsumedDeleted }
  }

  async offsetForTime(topic: string, partition: number, timestamp: number): Promise<number | undefined> {
    this.#checkOpen()
    return this.#topics.partition(topic, partition).offsetForTime(timestamp)
  }

  async writer(id: string, options?: WriterOptions): Promise<Writer> {
    return this.#writers.open(id, options)
  }

  async subscribe(subscription: Subscription): Promise<Reader> {
    this.#checkOpen()
    const closed = () => this.#readers.delete(reader)
    const reader: GroupReader = new GroupReader(this.#readerHost, subscription, closed)
    this.#readers.add(reader)
    return reader
  }

  async read(topic: string, partition: number, offset: number, options: ReadOptions): Promise<ReadResult> {
    this.#checkOpen()
    const log = this.#topics.partition(topic, partition)
    const wake = new Wake()
    this.#reads.add(wake)
    try {
      const read = await readPartition(this.#parts.clock, log, { topic, partition }, offset, options, {
        wake,
        ends: () => this.#closing.signal.aborted,
      })
      this.#checkOpen()
      return { ...(await this.partition(topic, partition)), ...read }
    } finally {
      this.#reads.delete(wake)
    }
  }

  async committed(group: string): Promise<readonly GroupOffset[]> {
    return this.#states.offsets.view.committed(group)
  }

  async groups(): Promise<readonly string[]> {
    return this.#states.offsets.view.groups()
  }

  async forgetGroup(group: string): Promise<void> {
    this.#checkOpen()
    this.#members.admit({ group, member: 'tool', generation: -1 }, [])()
    await this.#states.forgetGroup(group)
  }

  async checkpoints(connector: string): Promise<readonly Checkpoint[]> {
    return this.#states.checkpoints.view.of(connector)
  }

  async holdFor(consumers: readonly Consumer[]): Promise<void> {
    this.#housekeeping.retention.holdFor(consumers)
  }

  acceptsAppends(): boolean {
    return this.#housekeeping.hasRoom
  }

  setAddress(url: string): Promise<void> {
    this.#checkOpen()
    return this.#owner.setAddress(url)
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#closing.abort()
    for (const reader of this.#readers) reader.interrupt()
    for (const wake of this.#reads) wake.signal()
    const isSaid = await this.#writers.close()
    await this.#housekeeping.stop()
    const { files, directory, log } = this.#parts
    try {
      await this.#states.snapshot()
      await this.#topics.close()
      await this.#housekeeping.writeRecoveryPoints()
      await this.#states.journal.close(isSaid)
      await writeWhole(files, `${directory}/${CLEAN_MARKER}`, Buffer.from('{"version":0,"brokerEpoch":-1}'))
    } catch (error) {
      // Without the marker the next start checks the log, which is what is needed now.
      log.error({ err: error }, 'the log could not be closed in good order: the next start checks it')
      await this.#states.journal.close(false)
      throw error
    } finally {
      await this.#owner.release()
    }
  }

  /** What is remembered of a topic by its name must not be taken for what another one has. */
  async #forget(topic: string): Promise<void> {
    await this.#states.forgetOffsets(topic)
    await this.#housekeeping.forgetTopic(topic)
  }

  #checkOpen(): void {
    if (this.#closing.signal.aborted) throw new KtsError('CLOSED', 'the broker is closed')
  }

  #makeHousekeeping(): Housekeeping {
    const { directory, files, clock, random, log, options } = this.#parts
    return new Housekeeping({
      directory,
      files,
      clock,
      random,
      logger: log,
      topics: this.#topics,
      offsets: this.#states.offsets.view,
      reserveBytes: options['log.disk.reserve.bytes'],
      retentionCheckMs: options['log.retention.check.interval.ms'],
      cleaner: {
        backoffMs: options['log.cleaner.backoff.ms'],
        mapBytesMax: options['log.cleaner.dedupe.buffer.size'],
        bytesPerSecond: options['log.cleaner.io.max.bytes.per.second'],
      },
      snapshot: () => this.#states.snapshot(),
      beforeCompaction: () => this.#states.beforeCompaction(),
      beforeSwap: partition => this.#states.journal.forget(partition),
    })
  }

  #makeWriters(): Writers {
    const target = {
      clock: this.#parts.clock,
      members: this.#members,
      checkpoints: this.#states.checkpoints,
      offsets: this.#states.offsets,
      checkOpen: () => this.#checkOpen(),
      writable: (topic: string, partition: number) => this.#topics.writable(topic, partition),
      failed: (error: unknown) => {
        if (errorCode(error) === 'DISK_FULL') this.#housekeeping.diskFull()
      },
    }
    return new Writers(target, this.#states.transactions)
  }

  /**
   * An offset is never given twice: where a weaker durability lost records that a group had read, the log goes on above
   * what the group has committed, so that it does not take new records for those.
   */
  async #raiseEnds(): Promise<void> {
    for (const { name, partitions } of this.#topics.all()) {
      for (const partition of partitions) {
        const committed = this.#states.offsets.view.highest(name, partition.partition)
        if (committed > partition.nextOffset) await partition.raiseEnd(committed)
      }
    }
  }
}
