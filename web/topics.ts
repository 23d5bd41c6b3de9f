import { KtsError } from '../runtime/api/index.ts'
import type { Broker } from './worker-view.ts'

/** What `topics list` shows of one topic. */
export interface TopicSummary {
  readonly name: string
  readonly partitions: number
  readonly internal: boolean
  /** Offsets between the log's start and end, over all partitions: at least the number of readable records. */
  readonly offsets: number
  /** -1 where the engine cannot tell. */
  readonly bytes: number
}

export interface TopicDetail extends TopicSummary {
  readonly id: string
  readonly configs: Readonly<Record<string, string>>
  readonly partitionDetails: readonly PartitionDetail[]
  readonly groups: readonly GroupProgress[]
}

export interface PartitionDetail {
  readonly partition: number
  readonly logStartOffset: number
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly bytes: number
  /** Offsets that retention deleted before a configured sink had committed them, since the start. */
  readonly unconsumedDeleted?: number
}

/** How far a group has come in one partition. */
export interface GroupProgress {
  readonly group: string
  readonly partition: number
  readonly offset: number
  /** Offsets it has not committed yet. */
  readonly lag: number
}

type Description = NonNullable<Awaited<ReturnType<Broker['topic']>>>

/** Every topic, in order of name. */
export async function listTopics(broker: Broker): Promise<readonly TopicSummary[]> {
  const summaries: TopicSummary[] = []
  for (const topic of await broker.topics()) summaries.push(summary(topic, await partitionsOf(broker, topic)))
  return summaries
}

/** Rejects with UNKNOWN_TOPIC_OR_PARTITION, naming what there is. */
export async function describeTopic(broker: Broker, name: string): Promise<TopicDetail> {
  const topic = await existingTopic(broker, name)
  const partitionDetails = await partitionsOf(broker, topic)
  return {
    ...summary(topic, partitionDetails),
    id: topic.id,
    configs: topic.configs,
    partitionDetails,
    groups: await progressIn(broker, name, partitionDetails),
  }
}

export async function existingTopic(broker: Broker, name: string): Promise<Description> {
  const topic = await broker.topic(name)
  if (topic !== undefined) return topic
  const others = (await broker.topics()).filter(other => !other.internal).map(other => other.name)
  const known = others.length === 0 ? 'the log has no topics yet' : `there is: ${others.slice(0, 20).join(', ')}`
  throw new KtsError('UNKNOWN_TOPIC_OR_PARTITION', `no topic ${JSON.stringify(name)}; ${known}`)
}

async function partitionsOf(broker: Broker, topic: Description): Promise<readonly PartitionDetail[]> {
  const details: PartitionDetail[] = []
  for (let partition = 0; partition < topic.partitions; partition++) {
    details.push({ partition, ...(await broker.partition(topic.name, partition)) })
  }
  return details
}

function summary(topic: Description, partitions: readonly PartitionDetail[]): TopicSummary {
  const known = partitions.every(partition => partition.bytes >= 0)
  return {
    name: topic.name,
    partitions: topic.partitions,
    internal: topic.internal,
    offsets: partitions.reduce((sum, partition) => sum + partition.highWatermark - partition.logStartOffset, 0),
    bytes: known ? partitions.reduce((sum, partition) => sum + partition.bytes, 0) : -1,
  }
}

async function progressIn(broker: Broker, topic: string, partitions: readonly PartitionDetail[]) {
  const progress: GroupProgress[] = []
  for (const group of await broker.groups()) {
    for (const committed of await broker.committed(group)) {
      const end = partitions[committed.partition]?.highWatermark
      if (committed.topic !== topic || end === undefined) continue
      const { partition, offset } = committed
      progress.push({ group, partition, offset, lag: Math.max(0, end - offset) })
    }
  }
  return progress
}
