import { errorCode, errorMessage, type Files, readWhole } from '../base/index.ts'
import {
  batchBaseOffset,
  batchCount,
  batchIsControl,
  batchIsLogAppendTime,
  batchLastOffset,
  batchMaxTimestamp,
  batchProducerId,
  batchSize,
} from './batch.ts'
import { readMarker } from './batch-marker.ts'
import { batchRecords } from './batch-records.ts'
import { FileCache } from './file-cache.ts'
import { OFFSETS_TOPIC } from './internal-topics.ts'
import { wholeBatch } from './log-inspection-dump.ts'
import { openLogFile, readAbortedEntries, readOffsetEntries, readTimeEntries } from './log-inspection-files.ts'
import { Findings } from './log-inspection-findings.ts'
import type { PartitionFolder } from './log-inspection-folders.ts'
import { OffsetIndexCheck, TimeIndexCheck } from './log-inspection-indexes.ts'
import { ProducersCheck } from './log-inspection-producers.ts'
import { decodeInternal } from './log-inspection-records.ts'
import { type BadBytes, walkSegment } from './log-inspection-walk.ts'
import { decodeOffsetKey, decodeOffsetValue, type OffsetKey } from './offset-records.ts'
import { decodeSnapshot, snapshotPath } from './producer-snapshot.ts'
import { offsetName } from './segment.ts'
import type { Store } from './store.ts'

export interface PartitionReport {
  readonly directory: string
  readonly topic: string | undefined
  readonly partition: number
  readonly segments: number
  readonly bytes: number
  readonly batches: number
  readonly records: number
  readonly logStartOffset: number
  /** Behind the last batch that is whole. */
  readonly nextOffset: number
  /** Damage in log files, by segment. */
  readonly damage: readonly SegmentDamage[]
  /** What `__consumer_offsets` says last of each group and partition; empty for other topics. */
  readonly groupOffsets: readonly (OffsetKey & { readonly offset: number })[]
  readonly findings: Findings
}

export interface SegmentDamage {
  readonly baseOffset: number
  /** The next segment's base offset; infinite for the last one. */
  readonly offsetEnd: number
  readonly bad: readonly BadBytes[]
}

export interface VerifyOptions {
  /** Everything below was synced, says the checkpoint of recovery points; undefined where nothing tells. */
  readonly recoveryPoint: number | undefined
  /** Whether compaction may have taken offsets away; undefined where nothing tells. */
  readonly compacted: boolean | undefined
  /** Told of bytes that have been read. */
  readonly progress?: (bytes: number) => void
}

/** Reads everything in the folder of a partition and holds it against each other. Writes nothing. */
export async function verifyPartition(
  files: Files,
  folder: PartitionFolder,
  options: VerifyOptions,
): Promise<PartitionReport> {
  const cache = new FileCache(files, 4)
  try {
    return await new PartitionCheck(cache, folder, options).run()
  } finally {
    await cache.close()
  }
}

class PartitionCheck {
  readonly #cache: FileCache
  readonly #folder: PartitionFolder
  readonly #options: VerifyOptions
  readonly #findings = new Findings()
  readonly #producers = new ProducersCheck(this.#findings)
  readonly #damage: SegmentDamage[] = []
  /** Tails that the next start cuts by itself. */
  readonly #torn = new Set<BadBytes>()
  #nextOffset: number
  #bytes = 0
  #batches = 0
  #records = 0
  readonly #groupOffsets = new Map<string, OffsetKey & { readonly offset: number }>()
  #leaderEpoch = -1
  #toldLeaderEpoch = false
  #gaps = 0
  #offsetsInGaps = 0

  constructor(cache: FileCache, folder: PartitionFolder, options: VerifyOptions) {
    this.#cache = cache
    this.#folder = folder
    this.#options = options
    this.#nextOffset = folder.segments[0]!
  }

  async run(): Promise<PartitionReport> {
    const { segments, directory, topic, partition, names } = this.#folder
    await this.#snapshotAt(segments[0]!)
    for (const [i, baseOffset] of segments.entries()) {
      const offsetEnd = segments[i + 1] ?? Number.POSITIVE_INFINITY
      await this.#segment(baseOffset, offsetEnd)
    }
    for (const name of names) {
      const base = Number(/^(\d{20})\.snapshot$/.exec(name)?.[1] ?? -1)
      if (base > segments.at(-1)!) await this.#snapshotAt(base)
    }
    this.#leftovers()
    this.#tellGapsAndTransactions()
    return {
      directory,
      topic,
      partition,
      segments: segments.length,
      bytes: this.#bytes,
      batches: this.#batches,
      records: this.#records,
      logStartOffset: segments[0]!,
      nextOffset: this.#nextOffset,
      damage: this.#damage,
      groupOffsets: [...this.#groupOffsets.values()],
      findings: this.#findings,
    }
  }

  async #segment(baseOffset: number, offsetEnd: number): Promise<void> {
    const stem = `${this.#folder.directory}/${offsetName(baseOffset)}`
    const path = `${stem}.log`
    const store = await openLogFile(this.#cache, path)
    this.#bytes += store.size
    if (baseOffset > this.#nextOffset) this.#gap(path, 0, baseOffset, true)
    if (baseOffset > this.#folder.segments[0]!) await this.#snapshotAt(baseOffset)
    const { files } = this.#cache
    const offsets = await readOffsetEntries(files, `${stem}.index`, baseOffset)
    const times = await readTimeEntries(files, `${stem}.timeindex`, baseOffset)
    for (const [suffix, file] of [
      ['.index', offsets],
      ['.timeindex', times],
    ] as const) {
      if (file === undefined && store.size > 0)
        this.#findings.problem({ path: `${stem}${suffix}`, what: 'missing; the next start builds it anew' })
    }
    const none = { entries: [], preallocated: 0, rest: 0 }
    const checks = [
      new OffsetIndexCheck(`${stem}.index`, offsets ?? none, this.#findings),
      new TimeIndexCheck(`${stem}.timeindex`, times ?? none, this.#findings),
    ]
    const bad: BadBytes[] = []
    this.#nextOffset = Math.max(this.#nextOffset, baseOffset)
    await walkSegment(store, baseOffset, offsetEnd, {
      batch: async (bytes, at, position) => {
        const batch = {
          position,
          baseOffset: batchBaseOffset(bytes, at),
          lastOffset: batchLastOffset(bytes, at),
          maxTimestamp: batchMaxTimestamp(bytes, at),
        }
        for (const check of checks) check.batch(batch)
        const size = batchSize(bytes, at)
        const unreadable = await this.#batch(path, offsetEnd, store, position, size)
        if (unreadable !== undefined) bad.push(unreadable)
        this.#options.progress?.(size)
      },
      bad: async range => {
        bad.push(range)
        for (const check of checks) check.bad(range)
        this.#bad(path, range, offsetEnd === Number.POSITIVE_INFINITY && range.end === store.size)
        this.#options.progress?.(range.end - range.position)
      },
    })
    for (const check of checks) check.finish()
    this.#producers.endSegment(`${stem}.txnindex`, await readAbortedEntries(files, `${stem}.txnindex`))
    const kept = bad.filter(range => !this.#torn.has(range))
    if (kept.length > 0) this.#damage.push({ baseOffset, offsetEnd, bad: kept })
  }

  /** Answers what cannot be read though its checksum holds. */
  async #batch(
    path: string,
    offsetEnd: number,
    store: Store,
    position: number,
    size: number,
  ): Promise<BadBytes | undefined> {
    const bytes = await wholeBatch(store, position, size)
    const baseOffset = batchBaseOffset(bytes, 0)
    const lastOffset = batchLastOffset(bytes, 0)
    const place = { path, position, firstOffset: baseOffset, lastOffset }
    this.#batches++
    if (baseOffset > this.#nextOffset) this.#gap(path, position, baseOffset, false)
    if (lastOffset >= offsetEnd)
      this.#findings.problem({
        ...place,
        what: `a batch reaches offset ${lastOffset}, and the next segment begins at ${offsetEnd}`,
      })
    this.#nextOffset = lastOffset + 1
    this.#noteLeaderEpoch(place, bytes.readInt32BE(12))
    const count = batchCount(bytes, 0)
    this.#records += batchIsControl(bytes, 0) ? 0 : count
    if (count !== lastOffset - baseOffset + 1) this.#producers.gap()
    if (count === 0 && batchProducerId(bytes, 0) < 0) {
      this.#producers.gap(place)
      this.#findings.note({ ...place, what: 'these offsets were lost to damage, and repaired away' })
    }
    try {
      await this.#contents(place, bytes)
      const marker = batchIsControl(bytes, 0) ? await readMarker(bytes, 0) : undefined
      this.#producers.batch(path, bytes, 0, position, marker)
    } catch (error) {
      this.#findings.problem({ ...place, what: errorMessage(error) })
      if (errorCode(error) === 'CORRUPT_MESSAGE')
        return { ...place, end: position + size, reason: errorMessage(error), isBatch: true }
    }
    return undefined
  }

  async #contents(place: { path: string; position: number; lastOffset: number }, bytes: Buffer): Promise<void> {
    if (batchCount(bytes, 0) === 0) return
    const records = await batchRecords(bytes, 0)
    let largest = -1
    let before = batchBaseOffset(bytes, 0) - 1
    for (let i = 0; i < records.count; i++) {
      const offset = records.offset(i)
      largest = Math.max(largest, records.timestamp(i))
      if (offset <= before || offset > place.lastOffset)
        throw new Error(`record ${i} of the batch has offset ${offset} behind ${before}`)
      before = offset
      const key = records.key(i)
      if (key === null || batchIsControl(bytes, 0)) continue
      const problem = decodeInternal(this.#folder.topic, key, records.value(i))?.problem
      if (problem !== undefined) throw new Error(`the record at offset ${offset} does not decode: ${problem}`)
      if (this.#folder.topic === OFFSETS_TOPIC) this.#noteOffset(key, records.value(i))
    }
    if (!batchIsLogAppendTime(bytes, 0) && largest !== batchMaxTimestamp(bytes, 0))
      throw new Error(
        `the batch says that its largest time is ${batchMaxTimestamp(bytes, 0)}, its records say ${largest}`,
      )
  }

  /** Neither under the checksum nor of meaning to readers, and one altered epoch makes many look wrong: told once. */
  #noteLeaderEpoch(place: { path: string; position: number; firstOffset: number; lastOffset: number }, epoch: number) {
    if (epoch < this.#leaderEpoch && !this.#toldLeaderEpoch) {
      this.#toldLeaderEpoch = true
      this.#findings.note({ ...place, what: `a batch has leader epoch ${epoch} behind one of ${this.#leaderEpoch}` })
    }
    this.#leaderEpoch = Math.max(this.#leaderEpoch, epoch)
  }

  #noteOffset(key: Buffer, value: Buffer | null): void {
    const position = decodeOffsetKey(key)
    if (position === undefined) return
    const id = JSON.stringify(position)
    if (value === null) this.#groupOffsets.delete(id)
    else this.#groupOffsets.set(id, { ...position, offset: decodeOffsetValue(value).offset })
  }

  #bad(path: string, range: BadBytes, atEnd: boolean): void {
    this.#producers.gap(range)
    const { position, firstOffset, lastOffset, reason } = range
    const size = range.end - position
    const { recoveryPoint } = this.#options
    const finding = { path, position, firstOffset, lastOffset }
    if (atEnd && recoveryPoint !== undefined && firstOffset >= recoveryPoint) {
      const what = `${size} bytes at the end are no whole batch (${reason}); they were never synced, and the next start cuts them`
      this.#findings.note({ ...finding, what })
      this.#torn.add(range)
    } else this.#findings.problem({ ...finding, what: `${size} bytes are damaged: ${reason}` })
    if (lastOffset !== undefined) this.#nextOffset = Math.max(this.#nextOffset, lastOffset + 1)
  }

  /** Offsets that are in no batch: compaction, or a tail that was cut as never acknowledged; or they were lost. */
  #gap(path: string, position: number, baseOffset: number, betweenSegments: boolean): void {
    this.#producers.gap()
    if (this.#options.compacted === true) return
    const range = { firstOffset: this.#nextOffset, lastOffset: baseOffset - 1 }
    if (betweenSegments && this.#options.compacted === false) {
      this.#findings.problem({ path, position, ...range, what: 'the segments before end too early: one is missing' })
      return
    }
    this.#gaps++
    this.#offsetsInGaps += baseOffset - this.#nextOffset
  }

  async #snapshotAt(offset: number): Promise<void> {
    const path = snapshotPath(this.#folder.directory, offset)
    const bytes = await readWhole(this.#cache.files, path)
    if (bytes === undefined) return
    const states = decodeSnapshot(bytes, offset)
    if (states === undefined)
      this.#findings.problem({ path, what: 'not a whole snapshot of the producers; it is made anew from the log' })
    else if (offset >= this.#nextOffset) this.#producers.snapshot(path, states)
  }

  #leftovers(): void {
    const { directory, names } = this.#folder
    for (const name of names) {
      if (/\.(deleted|cleaned|swap|tmp)$/.test(name))
        this.#findings.note({
          path: `${directory}/${name}`,
          what: 'left over from work that was cut off; the next start tidies it up',
        })
    }
  }

  #tellGapsAndTransactions(): void {
    const path = this.#folder.directory
    if (this.#gaps > 0) {
      const what = `${this.#offsetsInGaps} offsets in ${this.#gaps} gaps are in no batch: compacted away, or cut as never acknowledged`
      this.#findings.note({ path, what })
    }
    for (const { producerId, epoch, firstOffset } of this.#producers.openTransactions()) {
      const what = `the transaction of producer ${producerId}, epoch ${epoch}, is open`
      this.#findings.note({ path, firstOffset, lastOffset: this.#nextOffset - 1, what })
    }
  }
}
