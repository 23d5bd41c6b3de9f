import { closeAll, KtsError, type PackedRecords } from '../base/index.ts'
import { AbortedTransactions } from './aborted-transactions.ts'
import { openLeaderEpoch } from './leader-epochs.ts'
import { LogReader } from './log-reader.ts'
import { type AppendOptions, LogWriter } from './log-writer.ts'
import { PartitionCheckpoints } from './partition-checkpoints.ts'
import { deleteSegments } from './partition-directory.ts'
import { PartitionFailure } from './partition-failure.ts'
import type { Isolation, PartitionLog, PartitionRead } from './partition-log.ts'
import { openPartitionMetadata } from './partition-metadata.ts'
import type { PartitionParts, PartitionRecovery, SegmentInfo } from './partition-parts.ts'
import { type OpenedLog, openLog, settleEnd, tellRecovery } from './partition-recovery.ts'
import type { PartitionSettings } from './partition-settings.ts'
import { PartitionTail } from './partition-tail.ts'
import { type Appended, PartitionWrites } from './partition-writes.ts'
import type { AbortedTransaction, OpenTransaction, Outcome, Producer, Producers } from './producers.ts'
import { outOfRange } from './reader.ts'
import type { Segment } from './segment.ts'

export type { PartitionParts, PartitionRecovery, SegmentInfo } from './partition-parts.ts'

/** Kafka's default of producer.id.expiration.ms. */
const PRODUCER_ID_EXPIRATION_MS = 86_400_000

/**
 * One ordered log on disk. Appends are written in the order of the calls; `sync` makes them durable and, with that,
 * readable. A write or fsync that failed is never taken for done: the partition refuses appends with STORAGE_FAILED from
 * then on, and goes on serving what is below the high watermark. A full disk is not such a failure: the append is taken
 * back and rejected with DISK_FULL.
 */
export class Partition implements PartitionLog {
  readonly topic: string
  readonly partition: number
  readonly recovered: PartitionRecovery
  /** For the commit journal. */
  readonly tail: PartitionTail
  readonly #parts: PartitionParts
  readonly #segments: Segment[]
  readonly #writer: LogWriter
  readonly #writes: PartitionWrites
  readonly #checkpoints: PartitionCheckpoints
  readonly #reader: LogReader
  readonly #producers: Producers
  readonly #aborted = new AbortedTransactions()
  readonly #failure: PartitionFailure
  readonly #listeners = new Set<{ readonly advanced: () => void; readonly isolation: Isolation }>()
  /** High watermark and last stable offset that listeners know of. */
  #told: readonly [number, number]
  #startOffset: number
  #settings: PartitionSettings
  #closing: Promise<void> | undefined
  #closeReason: KtsError | undefined
  /** Appends, deletions and the close run one after the other. */
  #turn: Promise<unknown> = Promise.resolve()
  #syncing: Promise<void> = Promise.resolve()
  #nextSync: Promise<void> | undefined

  /** Rejects with STORAGE_FAILED when the directory belongs to another topic, or with the system's error. */
  static async open(parts: PartitionParts): Promise<Partition> {
    const { directory, files, log } = parts
    const opened = await openLog(parts)
    const { segments } = opened
    try {
      await openPartitionMetadata(files, directory, parts.topicId)
      const leaderEpoch = await openLeaderEpoch(files, directory, segments[0]!.baseOffset)
      tellRecovery(log, opened)
      const partition = new Partition(parts, leaderEpoch, opened)
      await settleEnd(partition, opened, parts.startOffset)
      return partition
    } catch (error) {
      await closeAll(segments).catch(() => undefined)
      throw error
    }
  }

  private constructor(parts: PartitionParts, leaderEpoch: number, opened: OpenedLog) {
    const { segments, recoveries, producers } = opened
    this.topic = parts.topic
    this.partition = parts.partition
    this.#parts = parts
    this.#settings = parts.settings
    this.#segments = segments
    this.#producers = producers
    this.#aborted.take(segments)
    this.#startOffset = Math.max(parts.startOffset ?? 0, segments[0]!.baseOffset)
    const { producerIdExpirationMs = PRODUCER_ID_EXPIRATION_MS } = parts
    const timed = { ...parts, producerIdExpirationMs }
    this.#writer = new LogWriter(segments, leaderEpoch, timed, () => this.#settings, producers)
    this.#checkpoints = new PartitionCheckpoints(timed, opened, this.#aborted)
    this.#writes = new PartitionWrites(parts, () => this.#settings, this.#writer, producers, this.#aborted)
    this.#reader = new LogReader(segments, parts, {
      start: () => this.#startOffset,
      end: isolation => (isolation === 'read_committed' ? this.lastStableOffset : this.highWatermark),
      verdict: (producerId, baseOffset) => this.#writes.verdict(producerId, baseOffset),
    })
    this.#failure = new PartitionFailure(parts.directory, () => ({
      topic: this.topic,
      partition: this.partition,
      highWatermark: this.highWatermark,
    }))
    this.tail = new PartitionTail(parts, this.#writer, this.#failure, {
      check: () => this.#checkUsable(),
      isDurable: () => this.#settings.durability === 'sync',
      advanced: () => this.#tellAdvance(),
    })
    this.#told = [this.highWatermark, this.lastStableOffset]
    this.recovered = { truncatedBytes: recoveries.reduce((n, r) => n + r.truncatedBytes, 0), segments: recoveries }
  }

  get logStartOffset(): number {
    return this.#startOffset
  }

  /** First offset that is not readable: under `durability: sync` the first that is not durable. */
  get highWatermark(): number {
    return this.#writer.readableOffset
  }

  /** First offset that read_committed does not see: the high watermark, or the oldest transaction that is undecided. */
  get lastStableOffset(): number {
    return Math.min(this.highWatermark, this.#producers.firstUndecidedOffset)
  }

  /** The offset that the next record gets. */
  get nextOffset(): number {
    return this.#writer.nextOffset
  }

  /** Everything below is durable, whatever the durability of the topic. */
  get recoveryPoint(): number {
    return this.#writer.syncedOffset
  }

  /** Of the log files, without indexes. */
  get sizeBytes(): number {
    return this.#segments.reduce((bytes, segment) => bytes + segment.bytes, 0)
  }

  /** Written since the partition was opened. */
  get bytesAppended(): number {
    return this.#writer.bytesAppended
  }

  segments(): readonly SegmentInfo[] {
    return this.#segments.map(segment => ({
      baseOffset: segment.baseOffset,
      nextOffset: segment.nextOffset,
      sizeBytes: segment.bytes,
      timestampMax: segment.largestTimestamp,
      appendedAt: segment.lastAppendTime,
    }))
  }

  /** What is open goes on; batches and segments from the next append on follow the new settings. */
  applySettings(settings: PartitionSettings): void {
    this.#settings = settings
  }

  /** Transactions without a marker, in the order of their first offsets; those that were decided on too. */
  openTransactions(): readonly OpenTransaction[] {
    return this.#producers.open()
  }

  /** Aborted transactions whose markers are in the log, in the order of their markers. */
  abortedTransactions(): readonly AbortedTransaction[] {
    return this.#aborted.all
  }

  /** The highest epoch seen of each producer: new ones begin above. */
  producerEpochs(): ReadonlyMap<number, number> {
    return new Map(this.#producers.all().map(({ id, epoch }) => [id, epoch]))
  }

  /** Last offsets of the last batch of each live producer: compaction keeps these batches, as empty ones. */
  lastBatchOffsets(): ReadonlySet<number> {
    const { clock, producerIdExpirationMs = PRODUCER_ID_EXPIRATION_MS } = this.#parts
    this.#producers.expire(clock.now(), producerIdExpirationMs)
    return new Set(this.#producers.all().flatMap(({ batches }) => batches.at(-1)?.lastOffset ?? []))
  }

  /** Throws what an append refuses these records for: MESSAGE_TOO_LARGE, INVALID_RECORD; `details.record` is the first. */
  check(records: PackedRecords): void {
    this.#writes.check(records)
  }

  /**
   * Writes the records behind the earlier ones, all or none; timestamps of -1 become the time of the append. Written, not
   * durable: see `sync`. With a producer they are part of its transaction, which the first ones open. Rejects with
   * MESSAGE_TOO_LARGE, INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE, DISK_FULL, STORAGE_FAILED, CLOSED.
   */
  append(records: readonly PackedRecords[], options: AppendOptions = {}): Promise<Appended> {
    return this.#writing(() => this.#writes.append(records, options))
  }

  /**
   * Writes one record batch as a Kafka client made it, which must be the next of its producer; base offset, leader epoch
   * and the time of the append are filled in, in `batch` itself. One that was written already is a duplicate and answers
   * its offsets. Rejects with CORRUPT_MESSAGE, INVALID_RECORD, MESSAGE_TOO_LARGE, UNSUPPORTED_COMPRESSION_TYPE,
   * OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE, DISK_FULL, STORAGE_FAILED, CLOSED.
   */
  appendEncoded(batch: Buffer): Promise<Appended & { readonly duplicate: boolean }> {
    const checked = this.#writes.checkEncoded(batch)
    return this.#writing(() => this.#writes.appendEncoded(batch, checked))
  }

  /**
   * Ends the open transaction of the producer; `epoch` is what the marker carries. Readers see the outcome from this very
   * call on; it resolves when the marker is written, and does nothing where no transaction is open. What was decided first
   * stays: after a rejection with DISK_FULL call it again. An undecidable transaction can be committed by who knows that
   * it was; aborting it does nothing, and its records go on being named as damage. Rejects with INVALID_PRODUCER_EPOCH,
   * DISK_FULL, STORAGE_FAILED, CLOSED.
   */
  endTransaction(producer: Producer, outcome: Outcome, coordinatorEpoch = 0): Promise<void> {
    if (this.#writes.decide(producer, outcome)) this.#tellAdvance()
    return this.#writing(() => this.#writes.end(producer, outcome, coordinatorEpoch))
  }

  /**
   * Makes durable and readable all that was appended before the call; callers while one fdatasync runs share the next
   * one. Does nothing under `durability: os`. Rejects with STORAGE_FAILED or CLOSED.
   */
  sync(): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(this.#closed())
    this.#nextSync ??= this.#syncing.then(() => {
      const sync = this.#syncOnce()
      this.#syncing = sync.catch(() => undefined)
      this.#nextSync = undefined
      return sync
    })
    return this.#nextSync
  }

  async read(offset: number, bytesMax: number, isolation: Isolation): Promise<PartitionRead> {
    if (this.#closing !== undefined) throw this.#closed()
    return this.#reader.read(offset, bytesMax, isolation)
  }

  /** Offset of the first record whose time is `timestamp` or later, exactly; undefined when there is none. */
  async offsetForTime(timestamp: number): Promise<number | undefined> {
    if (this.#closing !== undefined) throw this.#closed()
    return this.#reader.offsetForTime(timestamp)
  }

  onAdvance(advanced: () => void, isolation: Isolation): () => void {
    const entry = { advanced, isolation }
    this.#listeners.add(entry)
    return () => void this.#listeners.delete(entry)
  }

  /**
   * Deletes whole segments that lie entirely below `offset`, and answers the new start. The last segment goes only when
   * another has taken its place. Reads below the new start reject with OFFSET_OUT_OF_RANGE, those under way too.
   */
  deleteBefore(offset: number): Promise<number> {
    return this.#inTurn(async () => {
      this.#checkUsable()
      const below = this.#segments.findIndex(
        segment => segment.nextOffset > offset || segment === this.#segments.at(-1),
      )
      if (below > 0) {
        const removed = this.#segments.splice(0, below)
        this.#startOffset = Math.max(this.#startOffset, this.#segments[0]!.baseOffset)
        this.#aborted.take(this.#segments)
        await deleteSegments(this.#parts.files, this.#parts.directory, removed)
      }
      return this.logStartOffset
    })
  }

  /**
   * Hides everything below `offset` from readers, and answers the new start; whole segments go with `deleteBefore`. Not
   * durable: the caller keeps it, and hands it in as `startOffset`. Rejects with OFFSET_OUT_OF_RANGE above the high
   * watermark.
   */
  raiseStart(offset: number): Promise<number> {
    return this.#inTurn(async () => {
      this.#checkUsable()
      if (offset > this.highWatermark)
        throw outOfRange(this.topic, this.partition, offset, this.logStartOffset, this.highWatermark)
      this.#startOffset = Math.max(this.#startOffset, offset)
      return this.#startOffset
    })
  }

  /** Runs `work` in the partition's turn: no append, roll, deletion or close meanwhile. It may replace segments but the last. */
  exclusively<T>(work: (segments: Segment[]) => Promise<T>): Promise<T> {
    return this.#inTurn(async () => {
      this.#checkUsable()
      try {
        return await work(this.#segments)
      } finally {
        this.#aborted.take(this.#segments)
      }
    })
  }

  /**
   * Makes everything durable and writes a snapshot of the producers there, so that a start after a kill reads only what
   * comes behind. To be called before the recovery point is written. Rejects with STORAGE_FAILED, DISK_FULL or CLOSED.
   */
  snapshotProducers(): Promise<void> {
    return this.#writing(() => this.#snapshot())
  }

  /** The next record gets this offset at least: an offset that someone has recorded is never given again. */
  raiseEnd(offset: number): Promise<void> {
    return this.#writing(async () => {
      if (offset > this.nextOffset) await this.#writer.raiseNextOffset(offset)
    })
  }

  /** Makes the last segment one of the old ones, unless it is empty. Rejects with STORAGE_FAILED, DISK_FULL, CLOSED. */
  roll(): Promise<void> {
    return this.#writing(async () => {
      if (this.#segments.at(-1)!.bytes === 0) return
      await this.#syncOnce()
      await this.#writer.raiseNextOffset(this.nextOffset)
    })
  }

  /**
   * Syncs everything and leaves the directory as Kafka does at a clean stop. Rejects when that failed. Calls from now on
   * reject with `reason`, or with CLOSED.
   */
  close(reason?: KtsError): Promise<void> {
    if (this.#closing === undefined) {
      this.#closeReason = reason
      this.#closing = this.#inTurn(() => this.#close())
      // Who waits for more is to hear that there will be none.
      for (const { advanced } of this.#listeners) advanced()
    }
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#nextSync?.catch(() => undefined)
    await this.#syncing
    try {
      this.#failure.check()
      await this.#snapshot()
    } finally {
      await closeAll(this.#segments)
    }
  }

  async #snapshot(): Promise<void> {
    await this.#writer.finish()
    await this.#checkpoints.write(this.nextOffset)
  }

  #writing<T>(work: () => Promise<T>): Promise<T> {
    return this.#inTurn(async () => {
      this.#checkUsable()
      try {
        return await work()
      } catch (error) {
        throw this.#failure.ofWrite(error)
      } finally {
        this.#tellAdvance()
      }
    })
  }

  async #syncOnce(): Promise<void> {
    this.#failure.check()
    if (this.#settings.durability === 'os') return
    try {
      await this.#writer.sync()
    } catch (error) {
      throw this.#failure.forGood(error)
    }
    this.#tellAdvance()
  }

  #tellAdvance(): void {
    const { highWatermark, lastStableOffset } = this
    const [toldWatermark, toldStable] = this.#told
    // What lies behind the markers is held back by an open transaction, whose end will be told.
    const isOnlyMarkers = lastStableOffset < highWatermark && this.#writes.onlyMarkers(toldStable, lastStableOffset)
    const isForAll = lastStableOffset !== toldStable && !isOnlyMarkers
    if (highWatermark === toldWatermark && !isForAll) return
    this.#told = [highWatermark, isForAll ? lastStableOffset : toldStable]
    for (const { advanced, isolation } of this.#listeners) if (isForAll || isolation === 'read_uncommitted') advanced()
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  #checkUsable(): void {
    if (this.#closing !== undefined) throw this.#closed()
    this.#failure.check()
  }

  #closed(): KtsError {
    return this.#closeReason ?? new KtsError('CLOSED', `${this.topic}-${this.partition} is closed`)
  }
}
