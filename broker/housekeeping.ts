import { type Clock, errorCode, type Files, type Logger, type Random, sleep } from '../base/index.ts'
import { Cleaner } from './cleaner.ts'
import type { GroupOffsets } from './groups.ts'
import { type PartitionOffset, writeOffsetCheckpoint } from './offset-checkpoint.ts'
import type { Partition } from './partition.ts'
import { RetentionClock } from './retention-clock.ts'
import { RetentionPass } from './retention-pass.ts'
import type { TopicStore } from './topic-store.ts'

const TICK_MS = 1000
const RECOVERY_POINTS_MS = 60_000
const RECOVERY_POINTS_BYTES = 64 << 20
/** What a start may have to read of a partition whose producers were not written down lately. */
const SNAPSHOT_BYTES = 4 << 20

export interface HousekeepingParts {
  readonly directory: string
  readonly files: Files
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly topics: TopicStore
  readonly offsets: GroupOffsets
  readonly reserveBytes: number
  readonly retentionCheckMs: number
  readonly cleaner: {
    readonly backoffMs: number
    readonly mapBytesMax: number
    /** -1: no limit. */
    readonly bytesPerSecond: number
  }
  /** Writes the snapshots of the internal topics. */
  readonly snapshot: () => Promise<unknown>
  /** Likewise, and rejects where that failed: compaction takes away what a start would need without them. */
  readonly beforeCompaction: () => Promise<void>
  /** Makes sure that a start writes nothing into what compaction puts in the place of segments. */
  readonly beforeSwap: (partition: Partition) => Promise<void>
}

/**
 * What is done beside reading and writing: room on the disk, retention and recovery points, one thing at a time, and
 * compaction beside them.
 */
export class Housekeeping {
  readonly #parts: HousekeepingParts
  readonly retention: RetentionPass
  readonly #stop = new AbortController()
  /** Bytes that had been appended to a partition when its producers were written down. */
  readonly #snapshotAt = new WeakMap<Partition, number>()
  #retentionClock: RetentionClock
  #cleaner: Cleaner | undefined
  #hasRoom = true
  #running: Promise<void> | undefined
  #pointsWritten: Promise<void> = Promise.resolve()
  /** That the file may speak of; undefined until it was written. */
  #topicsWithPoints: ReadonlySet<string> | undefined
  #retentionAt = 0
  #recoveryAt: number
  #recoveredBytes = 0

  constructor(parts: HousekeepingParts) {
    this.#parts = parts
    this.#retentionClock = new RetentionClock(parts.clock)
    this.#recoveryAt = parts.clock.monotonic() + RECOVERY_POINTS_MS
    const { logger, topics, offsets } = parts
    this.retention = new RetentionPass({ logger, topics, offsets, now: () => this.#retentionClock.now() })
  }

  /** False below the reserve, and from a full disk until there is room again. */
  get hasRoom(): boolean {
    return this.#hasRoom
  }

  async start(): Promise<void> {
    const { clock, files } = this.#parts
    this.#retentionClock = await RetentionClock.open(clock, files, this.#clockPath)
    await this.#lookForRoom()
    this.#cleaner = await this.#openCleaner()
    this.#cleaner.start()
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#cleaner?.stop()
    await this.#running
  }

  /** A write found the disk full: sources pause before the next look at it. */
  diskFull(): void {
    this.#hasRoom = false
  }

  /** Kafka's recovery-point-offset-checkpoint: everything below is durable, and a start need not check it. */
  async writeRecoveryPoints(): Promise<void> {
    await this.#writePointsInTurn()
    await this.#parts.topics.writeLogStarts()
  }

  /** Of a topic that is not there, durably. To be called while no topic is created or deleted. */
  async forgetTopic(topic: string): Promise<void> {
    await this.#cleaner?.forgetTopic(topic)
    if (this.#topicsWithPoints?.has(topic) !== false) await this.#writePointsInTurn()
  }

  /** One at a time: each replaces the file. */
  #writePointsInTurn(): Promise<void> {
    const writing = this.#pointsWritten.then(() => this.#writePoints())
    this.#pointsWritten = writing.catch(() => undefined)
    return writing
  }

  async #writePoints(): Promise<void> {
    const { files, directory, topics } = this.#parts
    const points: PartitionOffset[] = []
    for (const { name, partitions } of topics.all()) {
      for (const { partition, recoveryPoint } of partitions)
        points.push({ topic: name, partition, offset: recoveryPoint })
    }
    this.#topicsWithPoints = undefined
    await writeOffsetCheckpoint(files, `${directory}/recovery-point-offset-checkpoint`, points)
    this.#topicsWithPoints = new Set(points.map(point => point.topic))
    await this.#retentionClock.save(files, this.#clockPath)
  }

  /** Without these a start would read from the last full segment on to know the producers. */
  async #snapshotProducers(bytesMin: number): Promise<void> {
    for (const { partitions } of this.#parts.topics.all()) {
      for (const partition of partitions) {
        const { bytesAppended } = partition
        if (bytesAppended - (this.#snapshotAt.get(partition) ?? 0) < bytesMin) continue
        // It only makes a start slower, and who writes is told what is wrong with the partition.
        await partition.snapshotProducers().catch(() => undefined)
        this.#snapshotAt.set(partition, bytesAppended)
      }
    }
  }

  #openCleaner(): Promise<Cleaner> {
    const { directory, files, clock, random, logger, topics, cleaner, beforeCompaction, beforeSwap } = this.#parts
    const { backoffMs, mapBytesMax, bytesPerSecond } = cleaner
    return Cleaner.open({
      directory,
      files,
      clock,
      logger,
      cache: topics.cache,
      topics,
      mapBytesMax,
      random,
      bytesPerSecond: bytesPerSecond < 0 ? Number.POSITIVE_INFINITY : bytesPerSecond,
      backoffMs,
      now: () => this.#retentionClock.now(),
      heldAt: (topic, partition) => this.retention.heldAt(topic, partition),
      beforeInternal: beforeCompaction,
      beforeSwap,
    })
  }

  get #clockPath(): string {
    return `${this.#parts.directory}/meta/retention-clock`
  }

  async #run(): Promise<void> {
    const { clock, logger } = this.#parts
    while (await sleep(clock, TICK_MS, this.#stop.signal)) {
      try {
        await this.#tick()
      } catch (error) {
        logger.error({ err: error, code: errorCode(error) }, 'housekeeping of the log failed and will be tried again')
      }
    }
  }

  async #tick(): Promise<void> {
    const { clock, retentionCheckMs, topics, snapshot } = this.#parts
    await this.#lookForRoom()
    this.#retentionClock.now()
    const now = clock.monotonic()
    if (this.retention.isReady && now >= this.#retentionAt) {
      this.#retentionAt = now + retentionCheckMs
      await this.retention.run()
    }
    const written = topics.all().reduce((sum, t) => sum + t.partitions.reduce((s, p) => s + p.bytesAppended, 0), 0)
    if (now < this.#recoveryAt && written - this.#recoveredBytes < RECOVERY_POINTS_BYTES) return
    await this.#snapshotProducers(now < this.#recoveryAt ? SNAPSHOT_BYTES : 1)
    this.#recoveryAt = now + RECOVERY_POINTS_MS
    this.#recoveredBytes = written
    await this.writeRecoveryPoints()
    await snapshot()
  }

  async #lookForRoom(): Promise<void> {
    const { files, directory, reserveBytes, logger } = this.#parts
    const freeBytes = await files.freeBytes(directory)
    const hasRoom = freeBytes >= reserveBytes
    if (hasRoom !== this.#hasRoom) {
      const facts = { directory, freeBytes, reserveBytes }
      if (hasRoom) logger.info(facts, 'the disk has room again: appends go on')
      else logger.warn(facts, 'the disk is below log.disk.reserve.bytes: sources pause until there is room')
    }
    this.#hasRoom = hasRoom
  }
}
