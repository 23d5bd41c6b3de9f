import { errorCode, type PackedRecords, type Random } from '../base/index.ts'
import {
  batchBaseOffset,
  batchCount,
  batchIsControl,
  batchLastOffset,
  batchLastOffsetDelta,
  batchProducerEpoch,
  batchProducerId,
} from './batch.ts'
import { batchRecords } from './batch-records.ts'
import { deleteHorizon, emptyBatch, rewriteBatch } from './compaction-batch.ts'
import { CompactionKeys } from './compaction-keys.ts'
import { CompactionOutput } from './compaction-output.ts'
import { CompactionReader } from './compaction-reader.ts'
import { CompactionTransactions } from './compaction-transactions.ts'
import type { FileCache } from './file-cache.ts'
import type { AbortedTransaction } from './producers.ts'
import { RELATIVE_OFFSET_MAX, type Segment } from './segment.ts'

/** One pass over the old segments of one partition. Times in milliseconds since the epoch. */
export interface CompactionPlan {
  readonly directory: string
  readonly cache: FileCache
  /** From the log's start up to `offsetEnd`, in order; none of them takes appends. */
  readonly segments: readonly Segment[]
  /** Where the segment behind them begins. */
  readonly offsetEnd: number
  /** Up to here an earlier pass has cleaned. */
  readonly dirtyFrom: number
  /** In the order of their markers. */
  readonly aborted: readonly AbortedTransaction[]
  /** Last offsets of the batches that say how far a live producer has come: they stay, if only as empty ones. */
  readonly producerBatches: ReadonlySet<number>
  /** Of each live producer: the marker that tells its epoch stays too. */
  readonly producerEpochs: ReadonlyMap<number, number>
  readonly now: number
  readonly deleteRetentionMs: number
  readonly segmentBytes: number
  readonly indexIntervalBytes: number
  readonly mapBytesMax: number
  /** For the secret of the hashes. */
  readonly random: Random
  /** Found earlier; they stay as they are. */
  readonly damaged: WeakSet<Segment>
  /** Told before bytes are read or written; a rejection ends the pass. */
  readonly pace: (bytes: number) => Promise<void>
  /** Puts a cleaned segment in the place of `old`. */
  readonly swap: (old: readonly Segment[], cleaned: Segment) => Promise<void>
}

export interface CompactionResult {
  /** Every record below is the newest of its key, or newer than all that have been looked at. */
  readonly cleanedTo: number
  readonly bytesBefore: number
  readonly bytesAfter: number
}

interface LearntKeys {
  readonly keys: CompactionKeys
  /** All below are known. */
  readonly end: number
}

/** A segment does not hold what it should: what it has said so far cannot be believed, and the pass is to begin anew. */
export class DamagedSegment extends Error {
  readonly segment: Segment

  constructor(segment: Segment) {
    super(`${segment.store.path} is damaged and is left as it is by compaction`)
    this.segment = segment
  }
}

/**
 * What Kafka's cleaner does (org.apache.kafka.storage.internals.log.Cleaner, KIP-534): learns the last offset of every key
 * in the dirty part, as far as the memory goes; then writes the segments anew, without records that a later one of the same
 * key has replaced, without aborted ones, and without deletions and markers whose time has come. A damaged segment is left
 * as it is, and nothing behind it forgets a deletion: what was deleted may lie in the damage.
 */
export class Compaction {
  readonly #plan: CompactionPlan
  #window: Buffer | undefined

  constructor(plan: CompactionPlan) {
    this.#plan = plan
  }

  /** Rejects with DamagedSegment, and with what `pace` and `swap` do; groups of segments that are done by then stay done. */
  async run(): Promise<CompactionResult> {
    const learnt = await this.#learnKeys()
    let bytesBefore = 0
    let bytesAfter = 0
    const transactions = new CompactionTransactions(this.#plan.aborted)
    for (const group of this.#groups(learnt.end)) {
      const before = group.reduce((sum, segment) => sum + segment.bytes, 0)
      bytesBefore += before
      bytesAfter += await this.#clean(group, learnt, transactions)
    }
    return { cleanedTo: learnt.end, bytesBefore, bytesAfter }
  }

  async #learnKeys(): Promise<LearntKeys> {
    const { dirtyFrom, offsetEnd, mapBytesMax, random, aborted } = this.#plan
    const keys = new CompactionKeys(dirtyFrom, offsetEnd, mapBytesMax, random)
    const transactions = new CompactionTransactions(aborted)
    for (const [i, segment] of this.#plan.segments.entries()) {
      if (this.#endOf(i) <= dirtyFrom || this.#isDamaged(segment)) continue
      const full = await this.#learnFrom(segment, i, keys, transactions)
      if (full !== undefined) return { keys, end: full }
    }
    return { keys, end: offsetEnd }
  }

  /** Answers the first offset for which there was no room, if any. */
  async #learnFrom(segment: Segment, i: number, keys: CompactionKeys, transactions: CompactionTransactions) {
    const reader = this.#reader(segment, i)
    for (;;) {
      const found = await reader.next()
      if (found === 'end') break
      if (found === 'damaged') throw new DamagedSegment(segment)
      const { bytes, at } = reader
      if (batchLastOffset(bytes, at) < keys.from || batchIsControl(bytes, at)) continue
      if (transactions.isObsolete(bytes, at, undefined)) continue
      const full = keys.learn(await recordsOf(segment, bytes, at))
      if (full !== undefined) return full
    }
    this.#window = reader.bytes
    return undefined
  }

  /** Neighbours that fit into one segment together. */
  #groups(end: number): Segment[][] {
    const { segments, segmentBytes } = this.#plan
    const groups: Segment[][] = []
    let group: Segment[] = []
    let bytes = 0
    for (const [i, segment] of segments.entries()) {
      if (segment.baseOffset >= end) break
      const spans = this.#endOf(i) - 1 - (group[0] ?? segment).baseOffset
      const fits = bytes + segment.bytes <= segmentBytes && spans <= RELATIVE_OFFSET_MAX
      if (group.length > 0 && (!fits || this.#isDamaged(segment))) {
        groups.push(group)
        group = []
        bytes = 0
      }
      if (this.#isDamaged(segment)) continue
      group.push(segment)
      bytes += segment.bytes
    }
    if (group.length > 0) groups.push(group)
    return groups
  }

  /** Answers the bytes that are left of the group. */
  async #clean(group: readonly Segment[], learnt: LearntKeys, transactions: CompactionTransactions): Promise<number> {
    const { directory, cache, indexIntervalBytes, now, swap, pace } = this.#plan
    const output = await CompactionOutput.create(
      { directory, cache, indexIntervalBytes, now, pace },
      group[0]!.baseOffset,
    )
    try {
      for (const segment of group) {
        const isLast = segment === group.at(-1)
        await this.#cleanSegment(segment, isLast, learnt, transactions, output)
      }
      const before = group.reduce((sum, segment) => sum + segment.bytes, 0)
      if (group.length === 1 && output.bytes === before && !output.changed) {
        await output.discard()
        return before
      }
      const forgets = this.#forgets(group[0]!)
      const aborted = group.flatMap(({ aborted: { entries } }) => entries)
      await swap(
        group,
        await output.finish(
          group,
          aborted.filter(t => !forgets || transactions.hasSeen(t)),
        ),
      )
      return output.bytes
    } catch (error) {
      await output.discard().catch(() => undefined)
      throw error
    }
  }

  async #cleanSegment(
    segment: Segment,
    isLast: boolean,
    learnt: LearntKeys,
    transactions: CompactionTransactions,
    output: CompactionOutput,
  ): Promise<void> {
    const reader = this.#reader(segment, this.#plan.segments.indexOf(segment))
    const forgets = this.#forgets(segment)
    for (;;) {
      const found = await reader.next()
      if (found === 'end') break
      if (found === 'damaged') throw new DamagedSegment(segment)
      const { bytes, at } = reader
      const stays = this.#mustStay(bytes, at, learnt) || (isLast && reader.isLast)
      if (batchIsControl(bytes, at)) await this.#cleanMarker(segment, bytes, at, stays, forgets, transactions, output)
      else if (transactions.isObsolete(bytes, at, undefined)) await drop(bytes, at, stays, output)
      else if (batchBaseOffset(bytes, at) >= learnt.end) await output.copy(bytes, at)
      else await this.#cleanBatch(segment, bytes, at, stays, forgets, learnt, output)
    }
    this.#window = reader.bytes
  }

  async #cleanMarker(
    segment: Segment,
    bytes: Buffer,
    at: number,
    stays: boolean,
    forgets: boolean,
    transactions: CompactionTransactions,
    output: CompactionOutput,
  ): Promise<void> {
    const records = await recordsOf(segment, bytes, at)
    const obsolete = transactions.isObsolete(bytes, at, records)
    const horizon = deleteHorizon(bytes, at)
    if (obsolete && ((horizon !== undefined && horizon <= this.#plan.now && forgets) || records.count === 0)) {
      await drop(bytes, at, stays, output)
    } else if (obsolete && horizon === undefined) {
      await this.#rewrite(bytes, at, records, new Uint8Array(records.count).fill(1), this.#newHorizon, output)
    } else await output.copy(bytes, at)
  }

  async #cleanBatch(
    segment: Segment,
    bytes: Buffer,
    at: number,
    stays: boolean,
    forgets: boolean,
    learnt: LearntKeys,
    output: CompactionOutput,
  ): Promise<void> {
    const { keys, end } = learnt
    const last = batchLastOffset(bytes, at)
    const isDense = batchCount(bytes, at) === batchLastOffsetDelta(bytes, at) + 1
    if (isDense && last < end && keys.isObsolete(batchBaseOffset(bytes, at), last))
      return drop(bytes, at, stays, output)
    const records = await recordsOf(segment, bytes, at)
    const horizon = deleteHorizon(bytes, at)
    const deletionsGo = forgets && horizon !== undefined && horizon <= this.#plan.now
    const { kept, count, deletions } = keys.keep(records, end, deletionsGo)
    if (count === 0) return drop(bytes, at, stays, output)
    const needsHorizon = deletions && horizon === undefined
    if (count === records.count && !needsHorizon) return output.copy(bytes, at)
    await this.#rewrite(bytes, at, records, kept, needsHorizon ? this.#newHorizon : horizon, output)
  }

  async #rewrite(
    bytes: Buffer,
    at: number,
    records: PackedRecords,
    kept: Uint8Array,
    horizon: number | undefined,
    output: CompactionOutput,
  ): Promise<void> {
    await output.add(await rewriteBatch(bytes, at, records, kept, horizon), batchLastOffset(bytes, at))
  }

  get #newHorizon(): number {
    return this.#plan.now + this.#plan.deleteRetentionMs
  }

  /** Where a producer stands, and the end of what was cleaned, is read off a batch even when it holds nothing else. */
  #mustStay(bytes: Buffer, at: number, learnt: LearntKeys): boolean {
    const lastOffset = batchLastOffset(bytes, at)
    if (lastOffset + 1 === learnt.end) return true
    const producer = batchProducerId(bytes, at)
    if (producer < 0) return false
    if (batchIsControl(bytes, at)) return this.#plan.producerEpochs.get(producer) === batchProducerEpoch(bytes, at)
    return this.#plan.producerBatches.has(lastOffset)
  }

  /** Deletions and markers may go: what they are about is not hidden in damage. */
  #forgets(segment: Segment): boolean {
    return !this.#plan.segments.some(s => s.baseOffset < segment.baseOffset && this.#isDamaged(s))
  }

  #reader(segment: Segment, i: number): CompactionReader {
    const reader = new CompactionReader(segment, this.#endOf(i), this.#plan.pace, this.#window)
    this.#window = undefined
    return reader
  }

  #endOf(i: number): number {
    return this.#plan.segments[i + 1]?.baseOffset ?? this.#plan.offsetEnd
  }

  #isDamaged(segment: Segment): boolean {
    return segment.holes.length > 0 || this.#plan.damaged.has(segment)
  }
}

async function drop(bytes: Buffer, at: number, stays: boolean, output: CompactionOutput): Promise<void> {
  if (!stays) output.changed = true
  else if (batchCount(bytes, at) === 0) await output.copy(bytes, at)
  else await output.add(emptyBatch(bytes, at), batchLastOffset(bytes, at))
}

async function recordsOf(segment: Segment, bytes: Buffer, at: number): Promise<PackedRecords> {
  try {
    return await batchRecords(bytes, at)
  } catch (error) {
    if (errorCode(error) === 'CORRUPT_MESSAGE') throw new DamagedSegment(segment)
    throw error
  }
}
