import {
  type Clock,
  errorCode,
  errorMessage,
  type Files,
  KtsError,
  type Logger,
  type Random,
  sleep,
} from '../base/index.ts'
import { Compaction, DamagedSegment } from './compaction.ts'
import { replaceSegments, SegmentsGone } from './compaction-swap.ts'
import type { FileCache } from './file-cache.ts'
import { isPartitionOf, partitionKey } from './group-members.ts'
import { readOffsetCheckpoint, writeOffsetCheckpoint } from './offset-checkpoint.ts'
import type { Partition } from './partition.ts'
import type { Segment } from './segment.ts'
import type { Topic, TopicStore } from './topic-store.ts'

export interface CleanerParts {
  readonly directory: string
  readonly files: Files
  readonly clock: Clock
  readonly logger: Logger
  readonly cache: FileCache
  readonly topics: Pick<TopicStore, 'all' | 'has' | 'folderOf'>
  /** Kafka's log.cleaner.dedupe.buffer.size. */
  readonly mapBytesMax: number
  readonly random: Random
  /** Kafka's log.cleaner.io.max.bytes.per.second; bytes read and bytes written count alike. */
  readonly bytesPerSecond: number
  /** Kafka's log.cleaner.backoff.ms: how long to wait when there is nothing to do. */
  readonly backoffMs: number
  /** The time that deletions are counted in, milliseconds since the epoch. */
  readonly now: () => number
  /** First offset that somebody may still want as it is; undefined while that is not known. */
  readonly heldAt: (topic: Topic, partition: Partition) => number | undefined
  /** Makes sure that a start needs nothing of what may go from the broker's own topics. */
  readonly beforeInternal: () => Promise<void>
  /** Makes sure that a start writes nothing into what takes the place of segments. */
  readonly beforeSwap: (partition: Partition) => Promise<void>
}

/** What is to be cleaned of a partition. */
interface Dirty {
  readonly topic: Topic
  readonly log: Partition
  /** From the log's start to where cleaning has to end. */
  readonly segments: readonly Segment[]
  readonly offsetEnd: number
  readonly dirtyFrom: number
  /** Share of the bytes that no pass has seen. */
  readonly ratio: number
  readonly overdue: boolean
}

/**
 * Compacts the partitions of topics that say so, one at a time and the dirtiest first, beside everything else. How far it
 * has come stands in Kafka's `cleaner-offset-checkpoint`; when that is lost, all is looked at again.
 */
export class Cleaner {
  readonly #parts: CleanerParts
  readonly #stop = new AbortController()
  readonly #damaged = new WeakSet<Segment>()
  readonly #checkpoint = new Map<string, number>()
  /** Partitions whose last pass failed are left alone until then, by the monotonic clock. */
  readonly #restUntil = new Map<string, number>()
  #running: Promise<void> | undefined

  static async open(parts: CleanerParts): Promise<Cleaner> {
    const cleaner = new Cleaner(parts)
    const found = await readOffsetCheckpoint(parts.files, cleaner.#checkpointPath)
    for (const [key, offset] of found ?? []) cleaner.#checkpoint.set(key, offset)
    return cleaner
  }

  private constructor(parts: CleanerParts) {
    this.#parts = parts
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Resolves when nothing is under way; a pass ends at its next step and leaves what it has not finished. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  /** Cleans the dirtiest partition. False when none is dirty enough. */
  async cleanDirtiest(): Promise<boolean> {
    const candidates: Dirty[] = []
    for (const topic of this.#parts.topics.all()) {
      if (!topic.settings.compacts) continue
      for (const partition of topic.partitions) {
        const dirty = await this.#dirtOf(topic, partition)
        if (dirty !== undefined) candidates.push(dirty)
      }
    }
    const due = candidates.filter(d => d.overdue || d.ratio > d.topic.settings.minCleanableDirtyRatio)
    due.sort((a, b) => b.ratio - a.ratio)
    const dirtiest = due[0]
    if (dirtiest === undefined) return false
    await this.#clean(dirtiest)
    return true
  }

  /** Of a topic that is not there, durably: one that takes its name has not been cleaned. */
  async forgetTopic(topic: string): Promise<void> {
    const keys = [...this.#checkpoint.keys()].filter(key => isPartitionOf(key, topic))
    for (const key of keys) this.#checkpoint.delete(key)
    if (keys.length > 0) await this.#writeCheckpoint()
  }

  async #run(): Promise<void> {
    const { clock, backoffMs, logger } = this.#parts
    while (await sleep(clock, backoffMs, this.#stop.signal)) {
      try {
        while (!this.#stop.signal.aborted && (await this.cleanDirtiest())) {}
      } catch (error) {
        logger.error({ err: error, code: errorCode(error) }, 'compaction failed and will be tried again')
      }
    }
  }

  async #dirtOf(topic: Topic, log: Partition): Promise<Dirty | undefined> {
    const key = partitionKey(topic.name, log.partition)
    const { clock, now } = this.#parts
    if ((this.#restUntil.get(key) ?? 0) > clock.monotonic()) return undefined
    const heldAt = topic.internal ? Number.POSITIVE_INFINITY : this.#parts.heldAt(topic, log)
    if (heldAt === undefined) return undefined
    const all = await log.exclusively(async segments => [...segments])
    const { minCompactionLagMs, maxCompactionLagMs } = topic.settings
    const limit = Math.min(heldAt, log.lastStableOffset, ...log.openTransactions().map(t => t.firstOffset))
    const lagged = (s: Segment) =>
      minCompactionLagMs > 0 && now() - Math.max(s.largestTimestamp, s.lastAppendTime) < minCompactionLagMs
    const start = all[0]!.baseOffset
    const known = this.#checkpoint.get(key) ?? start
    const dirtyFrom = known < start || known > log.nextOffset ? start : known
    let end = 0
    while (end < all.length - 1 && all[end + 1]!.baseOffset <= limit) {
      if (all[end + 1]!.baseOffset > dirtyFrom && lagged(all[end]!)) break
      end++
    }
    const segments = all.slice(0, end)
    const offsetEnd = all[end]!.baseOffset
    const dirty = segments.filter((_, i) => (all[i + 1]?.baseOffset ?? offsetEnd) > dirtyFrom)
    if (dirty.length === 0) return undefined
    const bytes = (list: readonly Segment[]) => list.reduce((sum, s) => sum + s.bytes, 0)
    const oldest = Math.min(...dirty.map(s => s.firstTimestamp).filter(t => t >= 0))
    const total = bytes(segments)
    return {
      topic,
      log,
      segments,
      offsetEnd,
      dirtyFrom,
      ratio: total === 0 ? 0 : bytes(dirty) / total,
      overdue: now() - oldest > maxCompactionLagMs,
    }
  }

  async #clean(dirty: Dirty): Promise<void> {
    const { logger, clock, backoffMs, beforeInternal, beforeSwap } = this.#parts
    const { topic, log } = dirty
    const key = partitionKey(topic.name, log.partition)
    try {
      if (topic.internal) await beforeInternal()
      await beforeSwap(log)
      const from = clock.monotonic()
      const result = await this.#compaction(dirty).run()
      this.#checkpoint.set(key, result.cleanedTo)
      await this.#writeCheckpoint()
      logger.info({ partition: key, ...result, ms: Math.round(clock.monotonic() - from) }, 'partition compacted')
    } catch (error) {
      if (this.#stop.signal.aborted) return
      if (error instanceof DamagedSegment) {
        this.#damaged.add(error.segment)
        logger.error({ partition: key, file: error.segment.store.path }, 'compaction leaves a damaged segment as it is')
        return
      }
      // Retention or a deletion came first: the next look finds what is left.
      if (error instanceof SegmentsGone || !this.#parts.topics.has(log)) return
      this.#restUntil.set(key, clock.monotonic() + 60 * backoffMs)
      logger.error({ partition: key, err: error }, `compaction failed and will be tried again: ${errorMessage(error)}`)
    }
  }

  #compaction({ topic, log, segments, offsetEnd, dirtyFrom }: Dirty): Compaction {
    const { files, cache, now, mapBytesMax, random } = this.#parts
    const { deleteRetentionMs, segmentBytes, indexIntervalBytes } = topic.settings
    const directory = this.#parts.topics.folderOf(log)
    return new Compaction({
      directory,
      cache,
      segments,
      offsetEnd,
      dirtyFrom,
      aborted: log.abortedTransactions(),
      producerBatches: log.lastBatchOffsets(),
      producerEpochs: log.producerEpochs(),
      now: now(),
      deleteRetentionMs,
      segmentBytes,
      indexIntervalBytes,
      mapBytesMax,
      random,
      damaged: this.#damaged,
      pace: bytes => this.#pace(bytes),
      swap: (old, cleaned) =>
        log.exclusively(all => replaceSegments({ files, cache, directory, now: now() }, all, old, cleaned)),
    })
  }

  /** Spreads reading and writing over time. Rejects with CLOSED once the cleaner is to stop. */
  async #pace(bytes: number): Promise<void> {
    const { bytesPerSecond, clock } = this.#parts
    const waitMs = (bytes / bytesPerSecond) * 1000
    if (waitMs >= 1) await sleep(clock, waitMs, this.#stop.signal)
    if (this.#stop.signal.aborted) throw new KtsError('CLOSED', 'the broker is closing')
  }

  async #writeCheckpoint(): Promise<void> {
    const { files, topics } = this.#parts
    const offsets = topics.all().flatMap(({ name, partitions }) =>
      partitions.flatMap(({ partition }) => {
        const offset = this.#checkpoint.get(partitionKey(name, partition))
        return offset === undefined ? [] : [{ topic: name, partition, offset }]
      }),
    )
    await writeOffsetCheckpoint(files, this.#checkpointPath, offsets)
  }

  get #checkpointPath(): string {
    return `${this.#parts.directory}/cleaner-offset-checkpoint`
  }
}
