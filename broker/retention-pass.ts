import type { Logger } from '../base/index.ts'
import { wants } from './group-assignment.ts'
import { partitionKey } from './group-members.ts'
import type { GroupOffsets } from './groups.ts'
import type { Partition } from './partition.ts'
import type { Consumer } from './port.ts'
import { decideRetention } from './retention.ts'
import type { Topic, TopicStore } from './topic-store.ts'

export interface RetentionParts {
  readonly logger: Logger
  readonly topics: TopicStore
  readonly offsets: GroupOffsets
  /** Milliseconds since the epoch; see RetentionClock. */
  readonly now: () => number
}

/** Deletes old segments, and knows what has to wait for whom. */
export class RetentionPass {
  readonly #parts: RetentionParts
  /** Undefined until the worker has named its sinks: before that nothing may be deleted. */
  #consumers: readonly Consumer[] | undefined
  readonly #unconsumed = new Map<string, number>()

  constructor(parts: RetentionParts) {
    this.#parts = parts
  }

  /** The sinks have been named. */
  get isReady(): boolean {
    return this.#consumers !== undefined
  }

  /** Replaces the set of consumers that are waited for. */
  holdFor(consumers: readonly Consumer[]): void {
    this.#consumers = [...consumers]
  }

  /** Offsets that were deleted before a configured sink had committed them, since the start. */
  unconsumedDeleted(topic: string, partition: number): number {
    return this.#unconsumed.get(partitionKey(topic, partition)) ?? 0
  }

  /**
   * First offset that somebody may still want as it is: Infinity for nobody, undefined while the sinks are not named. With
   * `retention.unconsumed: delete` nobody is waited for.
   */
  heldAt(topic: Topic, { partition }: Partition): number | undefined {
    if (this.#consumers === undefined) return undefined
    if (topic.settings.retentionUnconsumed === 'delete') return Number.POSITIVE_INFINITY
    return this.#committedBy(this.#groupsOf(topic), topic.name, partition)
  }

  async run(): Promise<void> {
    for (const topic of this.#parts.topics.all()) {
      if (topic.internal) continue
      const groups = this.#groupsOf(topic)
      for (const partition of topic.partitions) await this.#retain(topic, partition, groups)
    }
  }

  #groupsOf(topic: Topic): string[] {
    return (this.#consumers ?? []).filter(c => wants(c, topic)).map(c => c.group)
  }

  /** A group that has never committed may yet want everything. */
  #committedBy(groups: readonly string[], topic: string, partition: number): number {
    return Math.min(...groups.map(group => this.#parts.offsets.offset(group, topic, partition) ?? 0))
  }

  async #retain(topic: Topic, partition: Partition, groups: readonly string[]): Promise<void> {
    const { logger, now } = this.#parts
    const place = partitionKey(topic.name, partition.partition)
    const heldAt = this.#committedBy(groups, topic.name, partition.partition)
    const { deleteBefore, unconsumed, rollFirst } = decideRetention(partition.segments(), topic.settings, heldAt, now())
    // What deleteRecords has hidden goes as well, whatever the policy.
    const before = Math.max(deleteBefore, partition.logStartOffset)
    const first = partition.segments()[0]!
    if (before <= first.baseOffset || (before < first.nextOffset && !rollFirst)) return
    if (unconsumed !== undefined) {
      this.#unconsumed.set(place, (this.#unconsumed.get(place) ?? 0) + unconsumed.to - unconsumed.from)
      logger.error(
        { partition: place, ...unconsumed, groups },
        'retention deletes records that a sink has not committed (retention.unconsumed: delete)',
      )
    }
    if (rollFirst) await partition.roll()
    await partition.deleteBefore(before)
    logger.info({ partition: place, logStartOffset: partition.logStartOffset }, 'old segments deleted')
  }
}
