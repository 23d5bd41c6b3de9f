import { type Clock, errorCode, type Files, type Logger, sleep } from '../base/index.ts'
import { wants } from './group-assignment.ts'
import { partitionKey } from './group-members.ts'
import type { GroupOffsets } from './groups.ts'
import { type PartitionOffset, writeOffsetCheckpoint } from './offset-checkpoint.ts'
import type { Partition } from './partition.ts'
import type { Consumer } from './port.ts'
import { decideRetention } from './retention.ts'
import { RetentionClock } from './retention-clock.ts'
import type { Topic, TopicStore } from './topic-store.ts'

const TICK_MS = 1000
const RECOVERY_POINTS_MS = 60_000
const RECOVERY_POINTS_BYTES = 64 << 20

export interface HousekeepingParts {
  readonly directory: string
  readonly files: Files
  readonly clock: Clock
  readonly logger: Logger
  readonly topics: TopicStore
  readonly offsets: GroupOffsets
  readonly reserveBytes: number
  readonly retentionCheckMs: number
  /** Writes the snapshots of the internal topics. */
  readonly snapshot: () => Promise<unknown>
}

/** What is done beside reading and writing: room on the disk, retention, recovery points. One thing at a time. */
export class Housekeeping {
  readonly #parts: HousekeepingParts
  readonly #retentionClock: RetentionClock
  readonly #stop = new AbortController()
  /** Undefined until the worker has named its sinks: before that nothing may be deleted. */
  #consumers: readonly Consumer[] | undefined
  #hasRoom = true
  #running: Promise<void> | undefined
  #pointsWritten: Promise<void> = Promise.resolve()
  #retentionAt = 0
  #recoveryAt: number
  #recoveredBytes = 0

  constructor(parts: HousekeepingParts) {
    this.#parts = parts
    this.#retentionClock = new RetentionClock(parts.clock)
    this.#recoveryAt = parts.clock.monotonic() + RECOVERY_POINTS_MS
  }

  /** False below the reserve, and from a full disk until there is room again. */
  get hasRoom(): boolean {
    return this.#hasRoom
  }

  /** Replaces the set of consumers that retention waits for. */
  holdFor(consumers: readonly Consumer[]): void {
    this.#consumers = [...consumers]
  }

  async start(): Promise<void> {
    await this.#lookForRoom()
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  /** A write found the disk full: sources pause before the next look at it. */
  diskFull(): void {
    this.#hasRoom = false
  }

  /** Kafka's recovery-point-offset-checkpoint: everything below is durable, and a start need not check it. */
  writeRecoveryPoints(): Promise<void> {
    // One at a time: each replaces the file.
    const writing = this.#pointsWritten.then(() => this.#writeRecoveryPoints())
    this.#pointsWritten = writing.catch(() => undefined)
    return writing
  }

  async #writeRecoveryPoints(): Promise<void> {
    const { files, directory, topics } = this.#parts
    const points: PartitionOffset[] = []
    for (const { name, partitions } of topics.all()) {
      for (const { partition, recoveryPoint } of partitions)
        points.push({ topic: name, partition, offset: recoveryPoint })
    }
    await writeOffsetCheckpoint(files, `${directory}/recovery-point-offset-checkpoint`, points)
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
    if (this.#consumers !== undefined && now >= this.#retentionAt) {
      this.#retentionAt = now + retentionCheckMs
      for (const topic of topics.all()) if (!topic.internal) await this.#retain(topic, this.#consumers)
    }
    const written = topics.all().reduce((sum, t) => sum + t.partitions.reduce((s, p) => s + p.bytesAppended, 0), 0)
    if (now < this.#recoveryAt && written - this.#recoveredBytes < RECOVERY_POINTS_BYTES) return
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

  async #retain(topic: Topic, consumers: readonly Consumer[]): Promise<void> {
    const groups = consumers.filter(c => wants(c, topic)).map(c => c.group)
    for (const partition of topic.partitions) await this.#retainPartition(topic, partition, groups)
  }

  async #retainPartition(topic: Topic, partition: Partition, groups: readonly string[]): Promise<void> {
    const { logger, offsets } = this.#parts
    const place = partitionKey(topic.name, partition.partition)
    // A group that has never committed may yet want everything.
    const heldAt = Math.min(...groups.map(g => offsets.offset(g, topic.name, partition.partition) ?? 0))
    const { deleteBefore, unconsumed } = decideRetention(
      partition.segments(),
      topic.settings,
      heldAt,
      this.#retentionClock.now(),
    )
    if (deleteBefore <= partition.logStartOffset) return
    if (unconsumed !== undefined)
      logger.error(
        { partition: place, ...unconsumed, groups },
        'retention deletes records that a sink has not committed (retention.unconsumed: delete)',
      )
    await partition.deleteBefore(deleteBefore)
    logger.info({ partition: place, logStartOffset: partition.logStartOffset }, 'old segments deleted')
  }
}
