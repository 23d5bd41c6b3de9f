import { KtsError, type PackedRecords } from '../base/index.ts'
import type { ScanPlace } from './batch-scan.ts'
import type { Isolation, PartitionRead } from './partition-log.ts'
import type { ReadAhead } from './read-ahead.ts'
import { outOfRange } from './reader.ts'
import type { Hole, Segment } from './segment.ts'
import {
  readSegment,
  type SegmentReadOptions,
  seekSegment,
  seekSegmentFrom,
  seekTime,
  type Verdict,
} from './segment-reader.ts'

/** Places that readers are expected at next, so that going on costs no look-up: one for each of so many readers. */
const HINTS_MAX = 64

export interface LogReaderParts {
  readonly topic: string
  readonly partition: number
  readonly checkCrcs: boolean
  readonly readAhead: ReadAhead
}

/** How far the log may be read, as it stands at the moment of the call. */
export interface ReadableRange {
  start(): number
  /** High watermark or last stable offset. */
  end(isolation: Isolation): number
  /** What becomes of a transactional batch below the last stable offset. */
  verdict(producerId: number, baseOffset: number): Verdict
}

interface Hint {
  readonly segment: Segment
  readonly position: number
}

/** The reading end of a partition's segments; any number of reads at a time. */
export class LogReader {
  readonly #segments: readonly Segment[]
  readonly #parts: LogReaderParts
  readonly #range: ReadableRange
  readonly #hints = new Map<number, Hint>()

  constructor(segments: readonly Segment[], parts: LogReaderParts, range: ReadableRange) {
    this.#segments = segments
    this.#parts = parts
    this.#range = range
  }

  /** As PartitionLog.read. */
  async read(offset: number, bytesMax: number, isolation: Isolation): Promise<PartitionRead> {
    const verdict =
      isolation === 'read_committed' ? (id: number, base: number) => this.#range.verdict(id, base) : undefined
    let from = offset
    for (;;) {
      this.#checkRange(offset)
      const limit = this.#range.end(isolation)
      if (from >= limit) return { batches: [], nextOffset: Math.max(offset, limit) }
      const index = this.#segments.findLastIndex(segment => segment.baseOffset <= from)
      const segment = this.#segments[index]!
      const options = this.#options(index, bytesMax, limit, verdict)
      try {
        const read = await this.#readSegment(segment, from, options)
        if (segment.replaced === undefined) {
          // What was deleted meanwhile is no longer known to be committed.
          if (read !== undefined && offset < this.#range.start()) read.release()
          this.#checkRange(offset)
          if (read !== undefined) return read
          from = options.offsetEnd
        } else read?.release()
      } catch (error) {
        // The segment may have been deleted under the read, or replaced.
        this.#checkRange(offset)
        if (segment.replaced === undefined) throw error
      }
      await segment.replaced
    }
  }

  /** As Partition.offsetForTime. */
  async offsetForTime(timestamp: number): Promise<number | undefined> {
    let from = this.#range.start()
    for (;;) {
      // By offset, since segments come, go and are replaced meanwhile.
      const index = this.#segments.findLastIndex(segment => segment.baseOffset <= from)
      const segment = this.#segments[Math.max(0, index)]!
      const limit = this.#range.end('read_uncommitted')
      const options = this.#options(Math.max(0, index), 1, limit, undefined)
      const isThere = () => segment.replaced === undefined && this.#segments.includes(segment)
      try {
        const late = segment.largestTimestamp >= timestamp
        const found = late ? await this.#firstSince(segment, timestamp, from, options) : undefined
        if (isThere()) {
          if (found !== undefined || segment === this.#segments.at(-1)) return found
          from = options.offsetEnd
        }
      } catch (error) {
        if (isThere()) throw error
      }
      await segment.replaced
      from = Math.max(from, this.#range.start())
    }
  }

  async #firstSince(segment: Segment, timestamp: number, start: number, options: SegmentReadOptions) {
    let place = await seekTime(segment, timestamp, start, options)
    while (place.position < options.bytesEnd) {
      const read = await readSegment(segment, place, Math.max(start, place.nextOffset), options)
      if (read.hole !== undefined) throw this.#corrupt(segment, read.hole)
      const found = firstSince(read.batches, timestamp)
      read.release()
      if (found !== undefined) return found
      place = { position: read.position, nextOffset: read.nextOffset }
    }
    return undefined
  }

  /** Undefined when there is nothing in the segment at or behind `offset`. */
  async #readSegment(segment: Segment, offset: number, options: SegmentReadOptions) {
    let place = this.#placeOf(segment, offset) ?? (await seekSegment(segment, offset, options))
    while (place.position < options.bytesEnd) {
      const { batches, nextOffset, position, hole, release } = await readSegment(segment, place, offset, options)
      if (hole === undefined) {
        this.#remember(nextOffset, { segment, position })
        return { batches, nextOffset, release }
      }
      release()
      if (offset <= hole.lastOffset) throw this.#corrupt(segment, hole)
      place = await seekSegmentFrom(segment, { position: hole.end, nextOffset: hole.lastOffset + 1 }, offset, options)
    }
    return undefined
  }

  /** How far a segment may be read: taken in one moment, since both ends move at once. */
  #options(index: number, bytesMax: number, limit: number, verdict: SegmentReadOptions['verdict']): SegmentReadOptions {
    return {
      bytesMax,
      limit,
      verdict,
      offsetEnd: this.#segments[index + 1]?.baseOffset ?? this.#range.end('read_uncommitted'),
      bytesEnd: this.#segments[index]!.readableBytes,
      checkCrcs: this.#parts.checkCrcs,
      readAhead: this.#parts.readAhead,
    }
  }

  #placeOf(segment: Segment, offset: number): ScanPlace | undefined {
    const hint = this.#hints.get(offset)
    if (hint === undefined || hint.segment !== segment) return undefined
    return { position: hint.position, nextOffset: offset }
  }

  #remember(offset: number, hint: Hint): void {
    this.#hints.delete(offset)
    this.#hints.set(offset, hint)
    if (this.#hints.size > HINTS_MAX) this.#hints.delete(this.#hints.keys().next().value!)
  }

  #checkRange(offset: number): void {
    const start = this.#range.start()
    const end = this.#range.end('read_uncommitted')
    if (offset >= start && offset <= end) return
    throw outOfRange(this.#parts.topic, this.#parts.partition, offset, start, end)
  }

  #corrupt(segment: Segment, hole: Hole): KtsError {
    const { topic, partition } = this.#parts
    const file = segment.store.path
    const { position, firstOffset, lastOffset } = hole
    return new KtsError(
      'CORRUPT_MESSAGE',
      `${file} at byte ${position}: the batch with offsets ${firstOffset} to ${lastOffset} is damaged and is served to nobody; restore the file, or go on at offset ${lastOffset + 1}`,
      { details: { topic, partition, file, position, firstOffset, lastOffset, nextOffset: lastOffset + 1 } },
    )
  }
}

function firstSince(batches: readonly PackedRecords[], timestamp: number): number | undefined {
  for (const records of batches) {
    for (let i = 0; i < records.count; i++) if (records.timestamp(i) >= timestamp) return records.offset(i)
  }
  return undefined
}
