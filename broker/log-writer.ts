import { BufferPool, type Clock, errorCode, Gate, KtsError, loadCodec, type PackedRecords } from '../base/index.ts'
import { BatchWriter, type EncodedBatch } from './batch-writer.ts'
import type { FileCache } from './file-cache.ts'
import { createSegment, discardSegment } from './partition-directory.ts'
import type { PartitionSettings } from './partition-settings.ts'
import { writeEmptySnapshot } from './producer-snapshot.ts'
import type { Segment, SegmentMark } from './segment.ts'

/** Larger batches cost memory in every reader and gain nothing. */
const BATCH_BYTES_MAX = 1 << 20
/** Offsets are stored relative to a segment's base in 31 bits. */
const RELATIVE_OFFSET_MAX = 0x7fffffff
/** Partitions that encode at once: each needs two buffers, whatever the number of partitions. */
const WRITING_MAX = 4

const writing = new Gate(WRITING_MAX)
const pool = new BufferPool(BATCH_BYTES_MAX, 2 * WRITING_MAX)

export interface LogWriterParts {
  readonly directory: string
  readonly cache: FileCache
  readonly clock: Clock
}

interface Written {
  readonly segment: Segment
  readonly bytes: number
  readonly nextOffset: number
}

/** The writing end of a partition's segments. Calls of `append` must not overlap; `sync` may come at any time. */
export class LogWriter {
  readonly #segments: Segment[]
  readonly #leaderEpoch: number
  readonly #parts: LogWriterParts
  readonly #settings: () => PartitionSettings
  #nextOffset: number
  #syncedOffset: number
  #readableOffset: number
  #bytesAppended = 0
  /** What finished appends have written: an append under way may still be taken back. */
  #written: Written

  /** `segments` is the partition's list, in order, and changes with each roll. */
  constructor(segments: Segment[], leaderEpoch: number, parts: LogWriterParts, settings: () => PartitionSettings) {
    this.#segments = segments
    this.#leaderEpoch = leaderEpoch
    this.#parts = parts
    this.#settings = settings
    this.#nextOffset = this.#active.nextOffset
    this.#syncedOffset = this.#nextOffset
    this.#readableOffset = this.#nextOffset
    this.#written = { segment: this.#active, bytes: this.#active.bytes, nextOffset: this.#nextOffset }
  }

  get nextOffset(): number {
    return this.#nextOffset
  }

  get syncedOffset(): number {
    return this.#syncedOffset
  }

  /** Readers may go up to here, and to `readableBytes` of each segment: both move at once. */
  get readableOffset(): number {
    return this.#readableOffset
  }

  get bytesAppended(): number {
    return this.#bytesAppended
  }

  /** To be called when all is synced. */
  raiseNextOffset(offset: number): void {
    this.#nextOffset = offset
    this.#syncedOffset = offset
    this.#readableOffset = offset
    this.#written = { ...this.#written, nextOffset: offset }
  }

  /**
   * All or nothing. A rejection with the system's code has been taken back; one with STORAGE_FAILED says that it could not
   * be, or that a sync failed, and the writer must not be used again.
   */
  async append(records: readonly PackedRecords[]): Promise<void> {
    const before = { segments: this.#segments.length, mark: this.#active.mark, bytes: this.#bytesAppended }
    try {
      this.#nextOffset = await writing.pass(() => this.#write(records))
    } catch (error) {
      this.#bytesAppended = before.bytes
      if (!(error instanceof KtsError && error.code === 'STORAGE_FAILED')) await this.#takeBack(before)
      throw error
    }
    this.#written = { segment: this.#active, bytes: this.#active.bytes, nextOffset: this.#nextOffset }
    // A roll has synced the segments before.
    this.#syncedOffset = Math.max(this.#syncedOffset, Math.min(this.#active.baseOffset, this.#nextOffset))
    if (this.#settings().durability === 'os') this.#makeReadable(this.#written)
  }

  /** fdatasync of what finished appends have written by now. */
  async sync(): Promise<void> {
    const written = this.#written
    if (written.nextOffset > this.#syncedOffset) await written.segment.store.datasync()
    this.#syncedOffset = Math.max(this.#syncedOffset, written.nextOffset)
    this.#makeReadable(written)
  }

  /** Syncs the last segment and its indexes. */
  async finish(): Promise<void> {
    await this.#active.finishIndexes()
    await this.#active.datasync()
    this.#syncedOffset = this.#nextOffset
  }

  get #active(): Segment {
    return this.#segments.at(-1)!
  }

  #makeReadable(written: Written): void {
    this.#readableOffset = Math.max(this.#readableOffset, written.nextOffset)
    written.segment.readableBytes = Math.max(written.segment.readableBytes, written.bytes)
    for (let i = this.#segments.indexOf(written.segment) - 1; i >= 0; i--) {
      const segment = this.#segments[i]!
      if (segment.readableBytes === segment.bytes) break
      segment.readableBytes = segment.bytes
    }
  }

  /** Encodes one batch while the one before is being written. */
  async #write(records: readonly PackedRecords[]): Promise<number> {
    const settings = this.#settings()
    const codec = await loadCodec(settings.codec)
    const now = this.#parts.clock.now()
    const appendTime = settings.timestampType === 'LogAppendTime' ? now : undefined
    const sizeMax = Math.min(BATCH_BYTES_MAX, settings.maxMessageBytes)
    const buffers: Buffer[] = []
    const writers: BatchWriter[] = []
    let nextOffset = this.#nextOffset
    let pending: Promise<void> = Promise.resolve()
    try {
      for (let i = 0, from = 0, turn = 0; i < records.length; turn ^= 1) {
        if (turn === buffers.length) {
          buffers.push(pool.take())
          writers.push(new BatchWriter(buffers[turn]!))
        }
        const writer = writers[turn]!
        writer.start(sizeMax, now)
        while (i < records.length) {
          from = writer.add(records[i]!, from)
          if (from < records[i]!.count) break
          i++
          from = 0
        }
        if (writer.count === 0) break
        const batch = await writer.finish(nextOffset, this.#leaderEpoch, codec, appendTime)
        await pending
        nextOffset += batch.count
        pending = this.#writeBatch(batch, nextOffset - 1, now)
        // Awaited in the next turn; until then nobody listens.
        pending.catch(() => undefined)
      }
      await pending
      return nextOffset
    } finally {
      await pending.catch(() => undefined)
      for (const buffer of buffers) pool.give(buffer)
    }
  }

  async #writeBatch(batch: EncodedBatch, lastOffset: number, now: number): Promise<void> {
    const settings = this.#settings()
    const baseOffset = lastOffset - batch.count + 1
    if (this.#mustRoll(batch, lastOffset, now)) await this.#roll(baseOffset, now)
    await this.#active.append(
      { buffers: batch.buffers, bytes: batch.bytes, lastOffset, maxTimestamp: batch.maxTimestamp },
      settings.indexIntervalBytes,
      now,
    )
    this.#bytesAppended += batch.bytes
  }

  /** By size, by age in record time as Kafka does, or by age in wall-clock time, so that old records roll too. */
  #mustRoll(batch: EncodedBatch, lastOffset: number, now: number): boolean {
    const active = this.#active
    const { segmentBytes, segmentMs } = this.#settings()
    if (active.bytes === 0) return lastOffset - active.baseOffset > RELATIVE_OFFSET_MAX
    const recordAge = active.firstTimestamp < 0 ? 0 : batch.maxTimestamp - active.firstTimestamp
    return (
      active.bytes + batch.bytes > segmentBytes ||
      recordAge > segmentMs ||
      now - active.openedAt > segmentMs ||
      lastOffset - active.baseOffset > RELATIVE_OFFSET_MAX
    )
  }

  /** The old segment is durable, with its indexes, before the new one has a name. */
  async #roll(baseOffset: number, now: number): Promise<void> {
    const { directory, cache } = this.#parts
    await this.#active.finishIndexes()
    try {
      await this.#active.datasync()
    } catch (error) {
      throw failed(error, 'the sync of a full segment failed')
    }
    await writeEmptySnapshot(cache.files, directory, baseOffset)
    this.#segments.push(await createSegment(cache, directory, baseOffset, now))
  }

  async #takeBack(before: { readonly segments: number; readonly mark: SegmentMark }): Promise<void> {
    try {
      while (this.#segments.length > before.segments) {
        await discardSegment(this.#parts.cache.files, this.#parts.directory, this.#segments.pop()!)
      }
      await this.#active.rewind(before.mark)
    } catch (error) {
      throw failed(error, 'an append that failed could not be taken back')
    }
  }
}

function failed(cause: unknown, what: string): KtsError {
  return new KtsError('STORAGE_FAILED', `${what} (${errorCode(cause)})`, { cause })
}
