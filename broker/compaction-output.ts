import { batchLastOffset, batchMaxTimestamp, batchSize } from './batch.ts'
import type { RewrittenBatch } from './compaction-batch.ts'
import { CLEANED, removeCleaned } from './compaction-swap.ts'
import type { FileCache } from './file-cache.ts'
import type { AbortedTransaction } from './producers.ts'
import { Segment } from './segment.ts'

/** Written at once: batches after a pass may be small. While one such piece is written, the next is gathered. */
const PIECE_BYTES = 1 << 20

export interface CompactionOutputParts {
  readonly directory: string
  readonly cache: FileCache
  readonly indexIntervalBytes: number
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly pace: (bytes: number) => Promise<void>
}

/** The segment that a pass writes, beside those that it is to replace. */
export class CompactionOutput {
  readonly #parts: CompactionOutputParts
  readonly #segment: Segment
  #piece: Buffer = Buffer.allocUnsafeSlow(PIECE_BYTES)
  #pieceBytes = 0
  /** The other one, which is written or has been. */
  #other: Buffer = Buffer.allocUnsafeSlow(PIECE_BYTES)
  #written: Promise<void> = Promise.resolve()
  #bytes = 0
  /** Something is not as it was. */
  changed = false

  static async create(parts: CompactionOutputParts, baseOffset: number): Promise<CompactionOutput> {
    const { directory, cache, now } = parts
    // What an earlier pass has left may be longer than what this one writes.
    await removeCleaned(cache.files, directory, baseOffset)
    const sizes = { log: 0, offsetEntries: 0, timeEntries: 0 }
    return new CompactionOutput(
      parts,
      new Segment(directory, baseOffset, cache, sizes, { lastAppend: now, now }, CLEANED),
    )
  }

  private constructor(parts: CompactionOutputParts, segment: Segment) {
    this.#parts = parts
    this.#segment = segment
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The batch as it is. */
  async copy(bytes: Buffer, at: number): Promise<void> {
    const batch = bytes.subarray(at, at + batchSize(bytes, at))
    const maxTimestamp = batchMaxTimestamp(bytes, at)
    await this.#add({ buffers: [batch], bytes: batch.length, maxTimestamp }, batchLastOffset(bytes, at))
  }

  async add(batch: RewrittenBatch, lastOffset: number): Promise<void> {
    this.changed = true
    await this.#add(batch, lastOffset)
  }

  /** Makes it durable, under names that no start takes for the log's. */
  async finish(replaced: readonly Segment[], aborted: readonly AbortedTransaction[]): Promise<Segment> {
    const segment = this.#segment
    await this.#flush()
    await this.#written
    // Even empty indexes have to be there, to take the place of the old ones.
    await segment.offsetIndex.file.truncate(segment.offsetIndex.file.count)
    await segment.timeIndex.truncate(segment.timeIndex.file.count)
    await segment.finishIndexes()
    if (replaced.some(({ aborted: old }) => old.entries.length > 0)) await segment.aborted.replace(aborted)
    await segment.datasync()
    return segment
  }

  async discard(): Promise<void> {
    await this.#written.catch(() => undefined)
    await this.#segment.close()
    await removeCleaned(this.#parts.cache.files, this.#parts.directory, this.#segment.baseOffset)
  }

  /** Copies what it is given. */
  async #add(batch: RewrittenBatch, lastOffset: number): Promise<void> {
    if (this.#pieceBytes + batch.bytes > this.#piece.length) await this.#flush()
    if (batch.bytes > this.#piece.length) this.#piece = Buffer.allocUnsafeSlow(batch.bytes)
    for (const buffer of batch.buffers) {
      this.#piece.set(buffer, this.#pieceBytes)
      this.#pieceBytes += buffer.length
    }
    const position = this.#bytes
    this.#bytes += batch.bytes
    const { indexIntervalBytes } = this.#parts
    await this.#segment.learn(lastOffset, batch.maxTimestamp, position, batch.bytes, indexIntervalBytes)
  }

  /** Begins to write what has been gathered. */
  async #flush(): Promise<void> {
    const bytes = this.#pieceBytes
    if (bytes === 0) return
    await this.#parts.pace(bytes)
    await this.#written
    const piece = this.#piece
    this.#piece = this.#other
    this.#other = piece
    this.#pieceBytes = 0
    this.#written = this.#segment.store.append([piece.subarray(0, bytes)], bytes)
    // Whoever waits for it next is told.
    this.#written.catch(() => undefined)
  }
}
