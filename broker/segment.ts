import { closeAll } from '../base/index.ts'
import { AbortedIndex } from './aborted-index.ts'
import type { FileCache } from './file-cache.ts'
import { OffsetIndex } from './offset-index.ts'
import { Store } from './store.ts'
import { type TimeEntry, TimeIndex } from './time-index.ts'

/** Offsets in a segment are relative to its base, in 31 bits. */
export const RELATIVE_OFFSET_MAX = 0x7fffffff

/** Bytes that do not hold the batches they should. Served to nobody; readers are told the range. */
export interface Hole {
  /** Bytes [position, end) of the log file. */
  readonly position: number
  readonly end: number
  /** Offsets that were or may have been there, inclusive; none when `lastOffset` is below `firstOffset`. */
  readonly firstOffset: number
  readonly lastOffset: number
}

/** How a segment stood, to go back to. */
export interface SegmentMark {
  readonly bytes: number
  readonly nextOffset: number
  readonly offsetEntries: number
  readonly timeEntries: number
  readonly abortedEntries: number
  readonly bytesSinceEntry: number
  readonly firstTimestamp: number
  readonly largestTimestamp: number
  readonly largestTimestampOffset: number
}

/** A batch as it goes into a segment. */
export interface SegmentBatch {
  readonly buffers: readonly Uint8Array[]
  readonly bytes: number
  readonly lastOffset: number
  readonly maxTimestamp: number
}

/**
 * One file of the log with its indexes. Kafka's names: the base offset in 20 digits and `.log`, `.index`, `.timeindex`,
 * `.txnindex`.
 */
export class Segment {
  readonly baseOffset: number
  readonly store: Store
  readonly offsetIndex: OffsetIndex
  readonly timeIndex: TimeIndex
  readonly aborted: AbortedIndex
  #holes: readonly Hole[] = []
  /** Readers look at nothing behind this byte: what is not synced may go away. */
  readableBytes = 0
  /** When bytes were last added, in milliseconds since the epoch. */
  lastAppendTime: number
  /** Set by compaction before it puts others in its place, and settled once they are: what was read meanwhile is void. */
  replaced: Promise<void> | undefined
  /** When this process began to append to it: its age in wall-clock time counts from here. */
  readonly openedAt: number
  #nextOffset: number
  #bytesSinceEntry = 0
  #firstTimestamp = -1
  #largestTimestamp = -1
  #largestTimestampOffset: number

  constructor(
    directory: string,
    baseOffset: number,
    cache: FileCache,
    sizes: { readonly log: number; readonly offsetEntries: number; readonly timeEntries: number },
    times: { readonly lastAppend: number; readonly now: number },
    /** Behind the names of its files while it is not part of the log. */
    suffix = '',
  ) {
    const stem = `${directory}/${offsetName(baseOffset)}`
    this.baseOffset = baseOffset
    this.store = new Store(`${stem}.log${suffix}`, cache, sizes.log)
    this.offsetIndex = new OffsetIndex(`${stem}.index${suffix}`, cache, baseOffset, sizes.offsetEntries)
    this.timeIndex = new TimeIndex(`${stem}.timeindex${suffix}`, cache, baseOffset, sizes.timeEntries)
    this.aborted = new AbortedIndex(`${stem}.txnindex${suffix}`, cache)
    this.lastAppendTime = times.lastAppend
    this.openedAt = times.now
    this.#nextOffset = baseOffset
    this.#largestTimestampOffset = baseOffset
  }

  /** Damage known so far, in order of position. */
  get holes(): readonly Hole[] {
    return this.#holes
  }

  /** Takes note of damage. Past a bound, what lies between two pieces counts as damaged too: a disk that is all noise. */
  addHole(hole: Hole): void {
    this.#holes = withHole(this.#holes, hole)
  }

  forgetHoles(): void {
    this.#holes = []
  }

  get bytes(): number {
    return this.store.size
  }

  /** One more than the last offset in it; the base offset when it is empty. */
  get nextOffset(): number {
    return this.#nextOffset
  }

  /** Of its first batch, from which its age in record time counts; -1 when empty. */
  get firstTimestamp(): number {
    return this.#firstTimestamp
  }

  get largestTimestamp(): number {
    return this.#largestTimestamp
  }

  get mark(): SegmentMark {
    return {
      bytes: this.bytes,
      nextOffset: this.#nextOffset,
      offsetEntries: this.offsetIndex.file.count,
      timeEntries: this.timeIndex.file.count,
      abortedEntries: this.aborted.entries.length,
      bytesSinceEntry: this.#bytesSinceEntry,
      firstTimestamp: this.#firstTimestamp,
      largestTimestamp: this.#largestTimestamp,
      largestTimestampOffset: this.#largestTimestampOffset,
    }
  }

  /** Writes one batch. After a rejection `rewind` must follow. */
  async append(batch: SegmentBatch, indexIntervalBytes: number, now: number): Promise<void> {
    const position = this.bytes
    await this.store.append(batch.buffers, batch.bytes)
    this.lastAppendTime = now
    await this.learn(batch.lastOffset, batch.maxTimestamp, position, batch.bytes, indexIntervalBytes)
  }

  /** Takes note of a batch that is in the file, and indexes it as Kafka does: before its own bytes are counted. */
  async learn(lastOffset: number, maxTimestamp: number, position: number, bytes: number, indexIntervalBytes: number) {
    this.observe(lastOffset, maxTimestamp)
    if (this.#bytesSinceEntry > indexIntervalBytes) {
      this.#bytesSinceEntry = 0
      await this.offsetIndex.add({ lastOffset, position })
      await this.#addTime()
    }
    this.#bytesSinceEntry += bytes
  }

  /** Forgets all batches but what the first header and the time index say of those that are not looked at again. */
  recall(firstTimestamp: number, largest: TimeEntry | undefined): void {
    this.#firstTimestamp = firstTimestamp
    this.#largestTimestamp = largest?.timestamp ?? -1
    this.#largestTimestampOffset = largest?.offset ?? this.baseOffset
    this.#nextOffset = this.baseOffset
    this.#bytesSinceEntry = 0
  }

  /** Takes note of a batch that is in the file and in the indexes. */
  observe(lastOffset: number, maxTimestamp: number): void {
    if (maxTimestamp > this.#largestTimestamp) {
      this.#largestTimestamp = maxTimestamp
      this.#largestTimestampOffset = lastOffset
    }
    if (this.#firstTimestamp < 0) this.#firstTimestamp = maxTimestamp
    this.#nextOffset = lastOffset + 1
  }

  /** Cuts everything written since `mark`. */
  async rewind(mark: SegmentMark): Promise<void> {
    await this.store.truncate(mark.bytes)
    await this.offsetIndex.file.truncate(mark.offsetEntries)
    await this.timeIndex.truncate(mark.timeEntries)
    await this.aborted.truncate(mark.abortedEntries)
    this.#nextOffset = mark.nextOffset
    this.#bytesSinceEntry = mark.bytesSinceEntry
    this.#firstTimestamp = mark.firstTimestamp
    this.#largestTimestamp = mark.largestTimestamp
    this.#largestTimestampOffset = mark.largestTimestampOffset
  }

  /** Writes the last time entry, which makes the largest time findable, and what of the indexes is in memory. */
  async finishIndexes(): Promise<void> {
    await this.#addTime()
    await this.offsetIndex.file.flush()
    await this.timeIndex.file.flush()
  }

  /** fdatasync of log and indexes. A rejection is final. */
  async datasync(): Promise<void> {
    await this.store.datasync()
    await this.offsetIndex.file.datasync()
    await this.timeIndex.file.datasync()
    await this.aborted.datasync()
  }

  /** Closes its files without syncing: all of them, even when one fails. */
  close(): Promise<void> {
    return closeAll([this.store, this.offsetIndex.file, this.timeIndex.file, this.aborted])
  }

  #addTime(): Promise<void> {
    return this.timeIndex.addIfLater({ timestamp: this.#largestTimestamp, offset: this.#largestTimestampOffset })
  }
}

/** Of more pieces of damage in one segment, the two that lie closest become one. */
const HOLES_MAX = 256

function withHole(holes: readonly Hole[], hole: Hole): Hole[] {
  const merged: Hole[] = []
  for (const next of [...holes, hole].sort((a, b) => a.position - b.position)) {
    const last = merged.at(-1)
    if (last !== undefined && next.position <= last.end) merged[merged.length - 1] = union(last, next)
    else merged.push(next)
  }
  if (merged.length <= HOLES_MAX) return merged
  let closest = 1
  const gap = (i: number) => merged[i]!.position - merged[i - 1]!.end
  for (let i = 2; i < merged.length; i++) if (gap(i) < gap(closest)) closest = i
  merged.splice(closest - 1, 2, union(merged[closest - 1]!, merged[closest]!))
  return merged
}

function union(a: Hole, b: Hole): Hole {
  return {
    position: a.position,
    end: Math.max(a.end, b.end),
    firstOffset: Math.min(a.firstOffset, b.firstOffset),
    lastOffset: Math.max(a.lastOffset, b.lastOffset),
  }
}

/** Kafka's file name of an offset: 20 digits. */
export function offsetName(offset: number): string {
  return String(offset).padStart(20, '0')
}
