import {
  BufferPool,
  type Clock,
  type CodecName,
  errorCode,
  Gate,
  KtsError,
  loadCodec,
  type PackedRecords,
} from '../base/index.ts'
import { type BatchProducer, sequenceAfter, writeBatchPlace } from './batch.ts'
import { encodeMarker, type TransactionEnd } from './batch-marker.ts'
import { BatchWriter, type EncodedBatch } from './batch-writer.ts'
import type { FileCache } from './file-cache.ts'
import { createSegment, discardSegment, removeSegmentFiles } from './partition-directory.ts'
import type { PartitionSettings } from './partition-settings.ts'
import { writeSnapshot } from './producer-snapshot.ts'
import type { AbortedTransaction, Producer, ProducerState, Producers } from './producers.ts'
import { RELATIVE_OFFSET_MAX, type Segment, type SegmentMark } from './segment.ts'

/** Larger batches cost memory in every reader and gain nothing. */
const BATCH_BYTES_MAX = 1 << 20
/** Partitions that encode at once: each needs two buffers, whatever the number of partitions. */
const WRITING_MAX = 4

const writing = new Gate(WRITING_MAX)
const pool = new BufferPool(BATCH_BYTES_MAX, 2 * WRITING_MAX)

export interface LogWriterParts {
  readonly directory: string
  readonly cache: FileCache
  readonly clock: Clock
  /** Producers that were silent for so many milliseconds are forgotten; Kafka's producer.id.expiration.ms. */
  readonly producerIdExpirationMs: number
}

export interface AppendOptions {
  /** Makes the batches transactional, and the first one opens the transaction. */
  readonly producer?: Producer | undefined
  /** Where the topic says `compression.type: producer`; `none` when it is left out. */
  readonly codec?: CodecName | undefined
}

/** One batch on its way into the active segment. */
interface WriteBatch {
  readonly buffers: readonly Uint8Array[]
  readonly bytes: number
  readonly baseOffset: number
  readonly lastOffset: number
  readonly maxTimestamp: number
  /** None for batches of no producer, and for markers. */
  readonly producer?: BatchProducer | undefined
}

/** What the log minds of a batch that came encoded. */
export interface BatchInfo {
  readonly lastOffsetDelta: number
  readonly maxTimestamp: number
  readonly producer: BatchProducer | undefined
}

/** How all stood before an append, to go back to. */
interface Before {
  readonly segments: number
  readonly mark: SegmentMark
  readonly bytes: number
  readonly producer: { readonly id: number; readonly state: ProducerState | undefined } | undefined
}

/** Up to where the log is written, or durable. */
interface LogEnd {
  readonly segment: Segment
  /** Of the segment. */
  readonly bytes: number
  readonly nextOffset: number
}

/** The end of the last segment, from a byte on. */
export interface LogTail extends LogEnd {
  readonly from: number
}

/** The writing end of a partition's segments. Calls of `append` must not overlap; `sync` may come at any time. */
export class LogWriter {
  readonly #segments: Segment[]
  readonly #leaderEpoch: number
  readonly #parts: LogWriterParts
  readonly #settings: () => PartitionSettings
  readonly #producers: Producers
  #nextOffset: number
  #readableOffset: number
  #bytesAppended = 0
  /** What finished appends have written: an append under way may still be taken back. */
  #written: LogEnd
  /** In the files, or elsewhere: see `madeDurable`. */
  #durable: LogEnd

  /** `segments` is the partition's list, in order, and changes with each roll. */
  constructor(
    segments: Segment[],
    leaderEpoch: number,
    parts: LogWriterParts,
    settings: () => PartitionSettings,
    producers: Producers,
  ) {
    this.#segments = segments
    this.#producers = producers
    this.#leaderEpoch = leaderEpoch
    this.#parts = parts
    this.#settings = settings
    this.#nextOffset = this.#active.nextOffset
    this.#readableOffset = this.#nextOffset
    this.#written = { segment: this.#active, bytes: this.#active.bytes, nextOffset: this.#nextOffset }
    this.#durable = this.#written
  }

  get nextOffset(): number {
    return this.#nextOffset
  }

  /** Everything below is durable. */
  get syncedOffset(): number {
    return this.#durable.nextOffset
  }

  /** Readers may go up to here, and to `readableBytes` of each segment: both move at once. */
  get readableOffset(): number {
    return this.#readableOffset
  }

  get bytesAppended(): number {
    return this.#bytesAppended
  }

  /** Goes on at `offset`, in a segment of that name, so that the gap stays explained; to be called when all is synced. */
  async raiseNextOffset(offset: number): Promise<void> {
    await this.#roll(offset, this.#parts.clock.now())
    this.#nextOffset = offset
    this.#readableOffset = offset
    this.#written = { segment: this.#active, bytes: 0, nextOffset: offset }
    this.#durable = this.#written
  }

  /**
   * All or nothing. A rejection with the system's code has been taken back; one with STORAGE_FAILED says that it could not
   * be, or that a sync failed, and the writer must not be used again.
   */
  append(records: readonly PackedRecords[], options: AppendOptions): Promise<void> {
    return this.#atomic(options.producer, () => writing.pass(() => this.#write(records, options)))
  }

  /** Likewise, one batch as it goes into the file, with the header's base offset and leader epoch patched here. */
  appendBatch(batch: Buffer, info: BatchInfo): Promise<void> {
    const baseOffset = this.#nextOffset
    const lastOffset = baseOffset + info.lastOffsetDelta
    writeBatchPlace(batch, 0, baseOffset, this.#leaderEpoch)
    const { maxTimestamp, producer } = info
    const write = { buffers: [batch], bytes: batch.length, baseOffset, lastOffset, maxTimestamp, producer }
    return this.#atomic(producer, async () => {
      await this.#writeBatch(write, this.#parts.clock.now())
      return lastOffset + 1
    })
  }

  /** Likewise, a marker. `ended` is told in the turn in which its transaction ends of what it aborts. */
  async appendMarker(end: TransactionEnd, ended: (aborted: AbortedTransaction | undefined) => void): Promise<void> {
    const { producer, outcome, coordinatorEpoch } = end
    await this.#atomic(producer, async () => {
      const timestamp = this.#parts.clock.now()
      const offset = this.#nextOffset
      const logAppendTime = this.#settings().timestampType === 'LogAppendTime'
      const place = { baseOffset: offset, leaderEpoch: this.#leaderEpoch }
      const bytes = encodeMarker(end, place, timestamp, logAppendTime)
      const batch = { buffers: [bytes], bytes: bytes.length, count: 1, maxTimestamp: timestamp }
      await this.#writeBatch(placed(batch, offset, undefined), timestamp)
      const marker = { offset, outcome, coordinatorEpoch, timestamp }
      const aborted = this.#producers.abortedBy(producer, marker)
      if (aborted !== undefined) await this.#active.aborted.add(aborted)
      // In one turn: a reader in between would take what was aborted for committed.
      ended(this.#producers.end(producer, marker))
      return offset + 1
    })
  }

  async #atomic(producer: Producer | undefined, write: () => Promise<number>): Promise<void> {
    const before = {
      segments: this.#segments.length,
      mark: this.#active.mark,
      bytes: this.#bytesAppended,
      producer: producer && { id: producer.id, state: this.#producers.get(producer.id) },
    }
    const decision = producer && this.#producers.decision(producer.id)
    try {
      this.#nextOffset = await write()
    } catch (error) {
      this.#bytesAppended = before.bytes
      if (!(error instanceof KtsError && error.code === 'STORAGE_FAILED')) await this.#takeBack(before)
      if (before.producer !== undefined) this.#producers.restore(before.producer.id, before.producer.state, decision)
      throw error
    }
    const segment = this.#active
    this.#written = { segment, bytes: segment.bytes, nextOffset: this.#nextOffset }
    // A roll has synced the segments before.
    if (segment !== this.#durable.segment && segment.baseOffset > this.#durable.nextOffset)
      this.#durable = { segment, bytes: 0, nextOffset: segment.baseOffset }
    if (this.#settings().durability === 'os') this.#makeReadable(this.#written)
  }

  /** fdatasync of what finished appends have written by now. */
  async sync(): Promise<void> {
    const written = this.#written
    if (written.nextOffset > this.syncedOffset) await written.segment.store.datasync()
    this.madeDurable(written)
  }

  /** What finished appends have written and nothing has made durable; undefined when there is no such thing. */
  tail(): LogTail | undefined {
    const { segment, bytes, nextOffset } = this.#written
    if (nextOffset <= this.syncedOffset) return undefined
    return { segment, bytes, nextOffset, from: segment === this.#durable.segment ? this.#durable.bytes : 0 }
  }

  /** Someone else sees to it that the log is not lost up to there, until `syncFile`. */
  madeDurable({ segment, bytes, nextOffset }: LogEnd): void {
    if (nextOffset > this.syncedOffset) this.#durable = { segment, bytes, nextOffset }
    this.#makeReadable({ segment, bytes, nextOffset })
  }

  /** fdatasync of what is durable elsewhere; a roll has synced the segments before. */
  syncFile(): Promise<void> {
    const { store } = this.#active
    return store.isSynced ? Promise.resolve() : store.datasync()
  }

  /** Syncs the last segment and its indexes; not while an append is under way. */
  async finish(): Promise<void> {
    await this.#active.finishIndexes()
    try {
      await this.#active.datasync()
    } catch (error) {
      // Whatever its code: no later sync would write what this one could not.
      throw failed(error, 'a sync failed')
    }
    this.madeDurable(this.#written)
  }

  get #active(): Segment {
    return this.#segments.at(-1)!
  }

  #makeReadable(written: LogEnd): void {
    this.#readableOffset = Math.max(this.#readableOffset, written.nextOffset)
    written.segment.readableBytes = Math.max(written.segment.readableBytes, written.bytes)
    for (let i = this.#segments.indexOf(written.segment) - 1; i >= 0; i--) {
      const segment = this.#segments[i]!
      if (segment.readableBytes === segment.bytes) break
      segment.readableBytes = segment.bytes
    }
  }

  /** Encodes one batch while the one before is being written. */
  async #write(records: readonly PackedRecords[], options: AppendOptions): Promise<number> {
    const settings = this.#settings()
    const codec = await loadCodec(settings.codec === 'producer' ? (options.codec ?? 'none') : settings.codec)
    let producer = this.#firstBatchOf(options.producer)
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
        const batch = await writer.finish(nextOffset, this.#leaderEpoch, codec, appendTime, producer)
        await pending
        pending = this.#writeBatch(placed(batch, nextOffset, producer), now)
        nextOffset += batch.count
        if (producer !== undefined) producer = batchOf(producer, sequenceAfter(producer.baseSequence, batch.count))
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

  #firstBatchOf(producer: Producer | undefined): BatchProducer | undefined {
    if (producer === undefined) return undefined
    return batchOf(producer, this.#producers.nextSequence(producer))
  }

  async #writeBatch(batch: WriteBatch, now: number): Promise<void> {
    const { buffers, bytes, baseOffset, lastOffset, maxTimestamp, producer } = batch
    if (this.#mustRoll(batch, now)) await this.#roll(baseOffset, now)
    const settings = this.#settings()
    await this.#active.append({ buffers, bytes, lastOffset, maxTimestamp }, settings.indexIntervalBytes, now)
    this.#bytesAppended += bytes
    if (producer === undefined) return
    const { baseSequence, transactional } = producer
    const firstSequence = baseSequence
    const lastSequence = sequenceAfter(baseSequence, lastOffset - baseOffset)
    const timestamp = maxTimestamp
    this.#producers.observe(producer, { firstSequence, lastSequence, baseOffset, lastOffset, timestamp, transactional })
  }

  /** By size, by age in record time as Kafka does, or by age in wall-clock time, so that old records roll too. */
  #mustRoll({ bytes, lastOffset, maxTimestamp }: WriteBatch, now: number): boolean {
    const active = this.#active
    const { segmentBytes, segmentMs } = this.#settings()
    if (active.bytes === 0) return lastOffset - active.baseOffset > RELATIVE_OFFSET_MAX
    const recordAge = active.firstTimestamp < 0 ? 0 : maxTimestamp - active.firstTimestamp
    return (
      active.bytes + bytes > segmentBytes ||
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
    this.#producers.expire(now, this.#parts.producerIdExpirationMs)
    try {
      await writeSnapshot(cache.files, directory, baseOffset, this.#producers.all())
      this.#segments.push(await createSegment(cache, directory, baseOffset, now))
    } catch (error) {
      await this.#removeNew(baseOffset)
      throw error
    }
  }

  /** A segment that was made by half would cut the log short at the next start. */
  async #removeNew(baseOffset: number): Promise<void> {
    const { cache, directory } = this.#parts
    try {
      await removeSegmentFiles(cache.files, directory, baseOffset)
    } catch (error) {
      throw failed(error, 'a new segment that could not be made whole could not be removed')
    }
  }

  async #takeBack(before: Before): Promise<void> {
    try {
      const { cache, directory } = this.#parts
      while (this.#segments.length > before.segments) {
        await discardSegment(cache.files, directory, this.#segments.pop()!)
      }
      await this.#active.rewind(before.mark)
      // Who is told that it was taken back does something else instead: it must not come back with a power cut.
      await this.#active.store.datasync()
    } catch (error) {
      throw failed(error, 'an append that failed could not be taken back')
    }
  }
}

// Here and above, members by name: what a spread makes costs as much as the rest of a small append.
function batchOf({ id, epoch }: Producer, baseSequence: number): BatchProducer {
  return { id, epoch, baseSequence, transactional: true, control: false }
}

function placed(batch: EncodedBatch, baseOffset: number, producer: BatchProducer | undefined): WriteBatch {
  const { buffers, bytes, count, maxTimestamp } = batch
  return { buffers, bytes, baseOffset, lastOffset: baseOffset + count - 1, maxTimestamp, producer }
}

function failed(cause: unknown, what: string): KtsError {
  return new KtsError('STORAGE_FAILED', `${what} (${errorCode(cause)})`, { cause })
}
