import {
  type Clock,
  closeAll,
  errorCode,
  errorMessage,
  type Files,
  KtsError,
  type Logger,
  type PackedRecords,
} from '../base/index.ts'
import { checkRecordSizes } from './batch-writer.ts'
import type { FileCache } from './file-cache.ts'
import { openLeaderEpoch } from './leader-epochs.ts'
import { LogReader } from './log-reader.ts'
import { LogWriter } from './log-writer.ts'
import { deleteSegments, openSegments, removeOldSnapshots } from './partition-directory.ts'
import type { Isolation, PartitionLog, PartitionRead } from './partition-log.ts'
import { openPartitionMetadata } from './partition-metadata.ts'
import type { PartitionSettings } from './partition-settings.ts'
import { snapshotPath, writeEmptySnapshot } from './producer-snapshot.ts'
import type { ReadAhead } from './read-ahead.ts'
import type { SegmentRecovery } from './recovery.ts'
import type { Segment } from './segment.ts'

export interface PartitionParts {
  /** `<data directory>/<topic>-<partition>`, absolute; made when it is missing. */
  readonly directory: string
  readonly topic: string
  readonly partition: number
  /** 16 bytes in base64url. */
  readonly topicId: string
  readonly settings: PartitionSettings
  readonly files: Files
  readonly clock: Clock
  readonly log: Logger
  readonly cache: FileCache
  readonly readAhead: ReadAhead
  /** After an unclean start only what lies at or behind this offset is checked; 0 when nothing is known. */
  readonly recoveryPoint: number
  /** The last owner called `close` on every partition. */
  readonly clean: boolean
  /** Whether reads try the checksum of every batch. */
  readonly checkCrcs: boolean
}

export interface SegmentInfo {
  readonly baseOffset: number
  /** Offset behind its last record. */
  readonly nextOffset: number
  /** Of the log file, without its indexes. */
  readonly sizeBytes: number
  /** Largest record time, milliseconds since the epoch; -1 when it has no records. */
  readonly timestampMax: number
  /** Wall-clock time of its last append (after a start: of the file's last change), milliseconds since the epoch. */
  readonly appendedAt: number
}

/** What opening the partition found. All is zero or empty after a good close. */
export interface PartitionRecovery {
  /** Bytes of a torn tail that were cut off the last segment. */
  readonly truncatedBytes: number
  readonly segments: readonly SegmentRecovery[]
}

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
  readonly #parts: PartitionParts
  readonly #segments: Segment[]
  readonly #writer: LogWriter
  readonly #reader: LogReader
  readonly #listeners = new Set<() => void>()
  /** The high watermark that listeners know of. */
  #told: number
  #settings: PartitionSettings
  #failure: KtsError | undefined
  #closing: Promise<void> | undefined
  /** Appends, deletions and the close run one after the other. */
  #turn: Promise<unknown> = Promise.resolve()
  #syncing: Promise<void> = Promise.resolve()
  #nextSync: Promise<void> | undefined

  /** Rejects with STORAGE_FAILED when the directory belongs to another topic, or with the system's error. */
  static async open(parts: PartitionParts): Promise<Partition> {
    const { cache, clean, recoveryPoint, clock, directory, settings } = parts
    const { segments, recoveries } = await openSegments(cache, {
      directory,
      syncedOffset: clean ? Number.POSITIVE_INFINITY : recoveryPoint,
      checkFrom: clean ? Number.POSITIVE_INFINITY : recoveryPoint,
      indexIntervalBytes: settings.indexIntervalBytes,
      now: clock.now(),
    })
    await openPartitionMetadata(parts.files, directory, parts.topicId)
    const leaderEpoch = await openLeaderEpoch(parts.files, directory, segments[0]!.baseOffset)
    return new Partition(parts, segments, leaderEpoch, recoveries)
  }

  private constructor(parts: PartitionParts, segments: Segment[], leaderEpoch: number, recoveries: SegmentRecovery[]) {
    this.topic = parts.topic
    this.partition = parts.partition
    this.#parts = parts
    this.#settings = parts.settings
    this.#segments = segments
    this.#writer = new LogWriter(segments, leaderEpoch, parts, () => this.#settings)
    this.#reader = new LogReader(segments, parts, () => this.highWatermark)
    this.#told = this.highWatermark
    this.recovered = { truncatedBytes: recoveries.reduce((n, r) => n + r.truncatedBytes, 0), segments: recoveries }
    this.#tell(recoveries)
  }

  get logStartOffset(): number {
    return this.#segments[0]!.baseOffset
  }

  /** First offset that is not readable: under `durability: sync` the first that is not durable. */
  get highWatermark(): number {
    return this.#writer.readableOffset
  }

  /** There are no transactions yet: the high watermark. */
  get lastStableOffset(): number {
    return this.highWatermark
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

  get maxMessageBytes(): number {
    return this.#settings.maxMessageBytes
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

  /**
   * Writes the records behind the earlier ones, all or none; timestamps of -1 become the time of the append. Written, not
   * durable: see `sync`. Rejects with MESSAGE_TOO_LARGE, DISK_FULL, STORAGE_FAILED, CLOSED.
   */
  append(records: readonly PackedRecords[]): Promise<{ readonly baseOffset: number; readonly lastOffset: number }> {
    return this.#inTurn(async () => {
      this.#checkUsable()
      const place = `${this.topic}-${this.partition}`
      for (const one of records) checkRecordSizes(one, this.#settings.maxMessageBytes, place)
      const baseOffset = this.nextOffset
      try {
        await this.#writer.append(records)
      } catch (error) {
        throw this.#failedWrite(error)
      }
      this.#tellAdvance()
      return { baseOffset, lastOffset: this.nextOffset - 1 }
    })
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

  onAdvance(listener: () => void): () => void {
    // Two callers may hand in the same function.
    const entry = () => listener()
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
      if (below > 0) await deleteSegments(this.#parts.files, this.#parts.directory, this.#segments.splice(0, below))
      return this.logStartOffset
    })
  }

  /** The next record gets this offset at least: an offset that someone has recorded is never given again. */
  raiseEnd(offset: number): Promise<void> {
    return this.#inTurn(async () => {
      this.#checkUsable()
      if (offset <= this.nextOffset) return
      await this.#syncOnce()
      this.#writer.raiseNextOffset(offset)
      this.#tellAdvance()
    })
  }

  /** Syncs everything and leaves the directory as Kafka does at a clean stop. Rejects when that failed. */
  close(): Promise<void> {
    this.#closing ??= this.#inTurn(() => this.#close())
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#nextSync?.catch(() => undefined)
    await this.#syncing
    try {
      if (this.#failure !== undefined) throw this.#failure
      await this.#writer.finish()
      const { files, directory } = this.#parts
      if (
        (await files.list(directory)).every(name => `${directory}/${name}` !== snapshotPath(directory, this.nextOffset))
      )
        await writeEmptySnapshot(files, directory, this.nextOffset)
      await removeOldSnapshots(files, directory, this.#segments, this.nextOffset)
    } finally {
      await closeAll(this.#segments)
    }
  }

  async #syncOnce(): Promise<void> {
    this.#checkFailure()
    if (this.#settings.durability === 'os') return
    try {
      await this.#writer.sync()
    } catch (error) {
      throw this.#poison(error)
    }
    this.#tellAdvance()
  }

  #tellAdvance(): void {
    if (this.highWatermark === this.#told) return
    this.#told = this.highWatermark
    for (const listener of this.#listeners) listener()
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  /** A full disk was taken back by the writer; whatever else a write fails with ends the partition's appends. */
  #failedWrite(error: unknown): KtsError {
    if (error instanceof KtsError && error.code !== 'STORAGE_FAILED') return error
    const code = errorCode(error)
    if (code === 'EMFILE' || code === 'ENFILE')
      return new KtsError(
        'STORAGE_FAILED',
        `${this.#parts.directory}: too many open files, the append was taken back; raise the limit (ulimit -n)`,
        { cause: error },
      )
    if (code !== 'ENOSPC' && code !== 'EDQUOT') return this.#poison(error)
    return new KtsError(
      'DISK_FULL',
      `${this.#parts.directory}: no room on the device, the append was taken back; free space, the log then goes on by itself`,
      { cause: error },
    )
  }

  #poison(error: unknown): KtsError {
    this.#failure ??= new KtsError(
      'STORAGE_FAILED',
      `${this.#parts.directory}: ${errorMessage(error)}; nothing since offset ${this.highWatermark} is sure to be stored: mend the disk and start again`,
      { cause: error, details: { topic: this.topic, partition: this.partition, highWatermark: this.highWatermark } },
    )
    return this.#failure
  }

  #checkUsable(): void {
    if (this.#closing !== undefined) throw this.#closed()
    this.#checkFailure()
  }

  #checkFailure(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  #closed(): KtsError {
    return new KtsError('CLOSED', `${this.topic}-${this.partition} is closed`)
  }

  #tell(recoveries: readonly SegmentRecovery[]): void {
    const { log } = this.#parts
    for (const { file, truncatedBytes, holes, indexesRebuilt } of recoveries) {
      if (truncatedBytes > 0)
        log.warn({ file, truncatedBytes, nextOffset: this.nextOffset }, 'a torn tail, never acknowledged, was cut')
      for (const hole of holes)
        log.error({ file, ...hole }, 'damage in the log: its records are served to nobody, what is behind it is')
      if (indexesRebuilt) log.info({ file }, 'the indexes of a segment were built again')
    }
  }
}
