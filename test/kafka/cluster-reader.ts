import { randomUUID } from 'node:crypto'
import { consumerGroupHeartbeatV1, leaveGroupV5, type Broker as Node, offsetFetchV9 } from '@platformatic/kafka'
import { KtsError } from '../../base/index.ts'
import type {
  AssignedPartition,
  GroupMember,
  LogRecords,
  Reader,
  ReaderEvent,
  Subscription,
  TopicPosition,
} from '../../broker/index.ts'
import { logRecords, outOfRange } from '../../broker/reader.ts'
import { type Cluster, EARLIEST, isKafkaError, LATEST, pause } from './cluster.ts'
import { fetchPartition } from './cluster-fetch.ts'

const REBALANCE_TIMEOUT_MS = 60_000
const PAUSE_MS = 20
/** Epochs of a heartbeat that joins, and of one that leaves for good (KIP-848). */
const JOIN = 0
const LEAVE = -1

/** What a reader asks of its engine. */
export interface ReaderHost {
  readonly cluster: Cluster
  name(of: string): string
  /** The port's name of a topic of the cluster, or undefined for one that is not ours. */
  ownName(name: string): string | undefined
  checkOpen(): void
}

interface Position {
  readonly topic: string
  readonly partition: number
  offset: number
  paused: boolean
}

interface Committed {
  readonly offset: number
  readonly metadata: string
}

/**
 * A member of a consumer group (KIP-848): the cluster assigns, the member says by its heartbeats what it holds. The
 * member name is the static instance id, so that a second one of the same name can put the first out.
 */
export class ClusterReader implements Reader {
  readonly #host: ReaderHost
  readonly #subscription: Subscription
  readonly #coordinator: Node
  readonly #memberId = randomUUID()
  readonly #closed: () => void
  readonly #positions = new Map<string, Position>()
  /** Told as revoked; held until the next poll. */
  #leaving: Position[] = []
  #target: readonly { readonly topic: string; readonly partition: number }[] = []
  #epoch = JOIN
  #assigned = false
  #open = true

  static async open(host: ReaderHost, subscription: Subscription, closed: () => void): Promise<ClusterReader> {
    const coordinator = await host.cluster.coordinator('group', host.name(subscription.group))
    const reader = new ClusterReader(host, subscription, coordinator, closed)
    await reader.#join()
    return reader
  }

  private constructor(host: ReaderHost, subscription: Subscription, coordinator: Node, closed: () => void) {
    this.#host = host
    this.#subscription = subscription
    this.#coordinator = coordinator
    this.#closed = closed
  }

  get group(): GroupMember {
    const generation = this.#assigned ? this.#epoch : JOIN
    return { group: this.#subscription.group, member: this.#memberId, generation }
  }

  holds(topic: string, partition: number): boolean {
    return this.#positions.has(`${topic}-${partition}`)
  }

  async poll(waitMs: number, signal: AbortSignal): Promise<ReaderEvent> {
    try {
      return await this.#poll(waitMs, signal)
    } catch (error) {
      // What a request is told while the reader leaves is no news.
      throw this.#open ? error : this.#closedError()
    }
  }

  async #poll(waitMs: number, signal: AbortSignal): Promise<ReaderEvent> {
    const deadline = Date.now() + waitMs
    for (;;) {
      if (!this.#open) throw this.#closedError()
      this.#host.checkOpen()
      for (const { topic, partition } of this.#leaving.splice(0)) this.#positions.delete(`${topic}-${partition}`)
      await this.#heartbeat(this.#epoch)
      const change = await this.#nextChange()
      if (change !== undefined) return change
      const batches = await this.#fetch()
      if (batches.length > 0) return { kind: 'records', batches, release: () => {} }
      const rest = deadline - Date.now()
      if (rest <= 0 || signal.aborted) return { kind: 'idle' }
      await pause(Math.min(PAUSE_MS, rest))
    }
  }

  position(topic: string, partition: number): number {
    return this.#position(topic, partition).offset
  }

  seek(topic: string, partition: number, offset: number): void {
    this.#position(topic, partition).offset = offset
  }

  pause(topic: string, partition: number): void {
    this.#position(topic, partition).paused = true
  }

  resume(topic: string, partition: number): void {
    this.#position(topic, partition).paused = false
  }

  async close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    this.#positions.clear()
    this.#closed()
    await this.#heartbeat(LEAVE).catch(() => undefined)
  }

  async #join(): Promise<void> {
    try {
      await this.#heartbeat(JOIN)
    } catch (error) {
      if (!isKafkaError(error, 'UNRELEASED_INSTANCE_ID')) throw error
      const { cluster, name } = this.#host
      const member = { memberId: '', groupInstanceId: this.#subscription.member, reason: 'replaced' }
      await cluster.call(this.#coordinator, leaveGroupV5.api, name(this.#subscription.group), [member])
      await this.#heartbeat(JOIN)
    }
  }

  /** Says what is held, and takes the assignment as it should become. */
  async #heartbeat(epoch: number): Promise<void> {
    const { cluster, name, ownName } = this.#host
    const topics = await cluster.topics()
    const ids = new Map(topics.map(topic => [topic.topicId, ownName(topic.name ?? '')]))
    const held = topics
      .map(({ topicId }) => {
        const mine = [...this.#positions.values()].filter(p => p.topic === ids.get(topicId))
        return { topicId, partitions: mine.map(p => p.partition) }
      })
      .filter(({ partitions }) => partitions.length > 0)
    const { group, member } = this.#subscription
    const wanted = this.#topics([...ids.values()].filter(own => own !== undefined)).map(name)
    const { api } = consumerGroupHeartbeatV1
    const head = [name(group), this.#memberId, epoch, member, null, REBALANCE_TIMEOUT_MS] as const
    const answer = await cluster.call(this.#coordinator, api, ...head, wanted, null, null, held)
    this.#epoch = answer.memberEpoch
    if (answer.assignment === null) return
    this.#target = answer.assignment.topicPartitions.flatMap(({ topicId, partitions }) =>
      partitions.map(partition => ({ topic: ids.get(topicId) ?? '', partition })),
    )
  }

  #topics(existing: readonly string[]): readonly string[] {
    const { topics, topicsRegex } = this.#subscription
    if (topicsRegex === undefined) return topics
    const whole = new RegExp(`^(?:${topicsRegex.source})$`, topicsRegex.flags)
    return [...new Set([...topics, ...existing.filter(topic => whole.test(topic))])]
  }

  async #nextChange(): Promise<ReaderEvent | undefined> {
    const wanted = new Set(this.#target.map(({ topic, partition }) => `${topic}-${partition}`))
    const lost = [...this.#positions].filter(([key]) => !wanted.has(key)).map(([, position]) => position)
    if (lost.length > 0) {
      this.#leaving = lost
      const partitions = lost.map(({ topic, partition, offset }): TopicPosition => ({ topic, partition, offset }))
      return { kind: 'revoked', partitions }
    }
    const added = this.#target.filter(({ topic, partition }) => !this.holds(topic, partition))
    if (added.length === 0) return undefined
    const committed = await this.#committed()
    const partitions: AssignedPartition[] = []
    for (const { topic, partition } of [...added].sort(byTopicPartition)) {
      const { offset, metadata } = committed.get(`${topic}-${partition}`) ?? {
        offset: await this.#initial(topic, partition),
        metadata: '',
      }
      this.#positions.set(`${topic}-${partition}`, { topic, partition, offset, paused: false })
      partitions.push({ topic, partition, offset, metadata })
    }
    this.#assigned = true
    return { kind: 'assigned', partitions }
  }

  async #committed(): Promise<Map<string, Committed>> {
    const { cluster, name, ownName } = this.#host
    const group = {
      groupId: name(this.#subscription.group),
      memberId: this.#memberId,
      memberEpoch: this.#epoch,
      topics: null,
    }
    const answer = await cluster.call(this.#coordinator, offsetFetchV9.api, [group], true)
    return new Map(
      answer.groups[0]!.topics.flatMap(topic =>
        topic.partitions.map(({ partitionIndex, committedOffset, metadata }): [string, Committed] => [
          `${ownName(topic.name)}-${partitionIndex}`,
          { offset: Number(committedOffset), metadata: metadata ?? '' },
        ]),
      ),
    )
  }

  async #initial(topic: string, partition: number): Promise<number> {
    const { cluster, name } = this.#host
    const end = this.#subscription.reset === 'earliest' ? EARLIEST : LATEST
    return await cluster.listOffset(name(topic), partition, end)
  }

  async #fetch(): Promise<LogRecords[]> {
    const { bytesMax, partitionBytesMax, isolation } = this.#subscription
    const out: LogRecords[] = []
    let room = bytesMax
    for (const [key, position] of [...this.#positions]) {
      if (room <= 0) break
      if (position.paused) continue
      const { topic, partition, offset } = position
      const place = { topic: this.#host.name(topic), partition, offset }
      const read = await fetchPartition(this.#host.cluster, place, isolation, Math.min(room, partitionBytesMax))
      if (read === undefined) {
        if (out.length > 0) return out
        throw await this.#outOfRange(position)
      }
      position.offset = read.nextOffset
      if (read.batches.length === 0) continue
      // Behind the others: a partition that always has more must not starve them.
      this.#positions.delete(key)
      this.#positions.set(key, position)
      room -= read.batches.reduce((bytes, batch) => bytes + batch.size, 0)
      out.push(...logRecords({ topic, partition }, read))
    }
    return out
  }

  async #outOfRange({ topic, partition, offset }: Position): Promise<KtsError> {
    const { cluster, name } = this.#host
    const start = await cluster.listOffset(name(topic), partition, EARLIEST)
    return outOfRange(topic, partition, offset, start, await cluster.listOffset(name(topic), partition, LATEST))
  }

  #closedError(): KtsError {
    return new KtsError('CLOSED', `the reader ${this.#subscription.member} is closed`)
  }

  #position(topic: string, partition: number): Position {
    const position = this.#positions.get(`${topic}-${partition}`)
    if (position !== undefined) return position
    throw new KtsError(
      'UNKNOWN_TOPIC_OR_PARTITION',
      `${topic}-${partition} is not assigned to member ${this.#subscription.member} of group ${this.#subscription.group}`,
    )
  }
}

function byTopicPartition(a: { topic: string; partition: number }, b: { topic: string; partition: number }): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1
  return a.partition - b.partition
}
