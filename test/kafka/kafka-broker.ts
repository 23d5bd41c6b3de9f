import {
  deleteGroupsV2,
  describeConfigsV4,
  type Broker as Node,
  listGroupsV5,
  offsetFetchV9,
} from '@platformatic/kafka'
import { KtsError, type PackedRecords, packRecords } from '../../base/index.ts'
import { Checkpoints, checkpointRecords } from '../../broker/checkpoints.ts'
import type {
  Broker,
  Checkpoint,
  Consumer,
  GroupMember,
  GroupOffset,
  PartitionDescription,
  Reader,
  ReadOptions,
  ReadResult,
  Subscription,
  TopicDescription,
  TopicSpec,
  Writer,
  WriterOptions,
} from '../../broker/index.ts'
import { logRecords, outOfRange } from '../../broker/reader.ts'
import { checkTopicName } from '../../broker/topic-name.ts'
import { Cluster, EARLIEST, LATEST, pause } from './cluster.ts'
import { fetchPartition } from './cluster-fetch.ts'
import { ClusterReader } from './cluster-reader.ts'
import { ClusterWriter } from './cluster-writer.ts'

const CHECKPOINTS_TOPIC = 'connect-offsets'
const PAUSE_MS = 10
const FORGET_MS = 15_000

/**
 * The broker's port on a Kafka cluster: a spike that shows whether the port fits, not a product. Topics, groups and
 * transactional ids carry a prefix, so that many share a cluster and each is as if new.
 */
export class KafkaBroker implements Broker {
  readonly engine = 'kafka'
  readonly cluster: Cluster
  readonly #prefix: string
  readonly #readers = new Set<ClusterReader>()
  readonly #writers = new Set<ClusterWriter>()
  readonly #maxMessageBytes = new Map<string, number>()
  #open = true

  /** Makes the checkpoints' topic when it is missing. */
  static async open(bootstrap: Node, prefix: string): Promise<KafkaBroker> {
    const broker = new KafkaBroker(bootstrap, prefix)
    const topic = broker.name(CHECKPOINTS_TOPIC)
    if ((await broker.cluster.topic(topic)) === undefined)
      await broker.cluster.createTopic(topic, 1, { 'cleanup.policy': 'compact' })
    return broker
  }

  private constructor(bootstrap: Node, prefix: string) {
    this.cluster = new Cluster(bootstrap)
    this.#prefix = prefix
  }

  readonly name = (of: string): string => this.#prefix + of

  readonly ownName = (name: string): string | undefined => {
    if (!name.startsWith(this.#prefix) || name === this.name(CHECKPOINTS_TOPIC)) return undefined
    return name.slice(this.#prefix.length)
  }

  async ensureTopic(spec: TopicSpec): Promise<TopicDescription> {
    await this.checkTopic(spec)
    const { name, partitions, configs } = spec
    const inCluster = this.name(name)
    await this.cluster.topics()
    const old = await this.cluster.topic(inCluster)
    // -1: the cluster's `num.partitions`.
    if (old === undefined) await this.cluster.createTopic(inCluster, partitions ?? -1, configs)
    else {
      if (partitions !== undefined && partitions > old.partitions.length)
        await this.cluster.growTopic(inCluster, partitions)
      await this.cluster.setTopicConfigs(inCluster, configs)
      this.#maxMessageBytes.delete(inCluster)
    }
    return (await this.topic(name))!
  }

  async checkTopic({ name }: TopicSpec): Promise<void> {
    this.checkOpen()
    checkTopicName(name)
  }

  async topic(name: string): Promise<TopicDescription | undefined> {
    await this.cluster.topics()
    const topic = await this.cluster.topic(this.name(name))
    if (topic === undefined) return undefined
    const id = Buffer.from(topic.topicId.replaceAll('-', ''), 'hex').toString('base64url')
    const configs = await this.cluster.topicConfigs(this.name(name))
    return { name, id, partitions: topic.partitions.length, internal: name === CHECKPOINTS_TOPIC, configs }
  }

  async topics(): Promise<readonly TopicDescription[]> {
    const topics = await this.cluster.topics()
    const names = topics.map(topic => this.ownName(topic.name ?? '')).filter(own => own !== undefined)
    const all = await Promise.all([...names, CHECKPOINTS_TOPIC].sort().map(name => this.topic(name)))
    return all.filter(topic => topic !== undefined)
  }

  async deleteTopic(name: string): Promise<void> {
    await this.cluster.deleteTopic(this.name(name))
    // The group coordinator hears of it later, and forgets the positions then.
    const deadline = Date.now() + FORGET_MS
    while (await this.#anyCommitted(name)) {
      if (Date.now() > deadline) throw new KtsError('INTERNAL', `the positions in ${name} outlive it`)
      await pause()
    }
  }

  async deleteRecords(topic: string, partition: number, offset: number): Promise<number> {
    return await this.cluster.deleteRecords(this.name(topic), partition, offset)
  }

  async partition(topic: string, partition: number): Promise<PartitionDescription> {
    const name = this.name(topic)
    // The stable offset first: it is never above a high watermark that is asked for later.
    const lastStableOffset = await this.cluster.listOffset(name, partition, LATEST, 1)
    const highWatermark = await this.cluster.listOffset(name, partition, LATEST)
    const logStartOffset = await this.cluster.listOffset(name, partition, EARLIEST)
    const bytes = await this.cluster.partitionBytes(name, partition)
    return { logStartOffset, highWatermark, lastStableOffset, bytes }
  }

  async offsetForTime(topic: string, partition: number, timestamp: number): Promise<number | undefined> {
    const name = this.name(topic)
    const found = await this.cluster.listOffset(name, partition, BigInt(timestamp))
    // It may be a marker's, which has a time too: the record is there or behind.
    for (let offset = found; offset >= 0; ) {
      const place = { topic: name, partition, offset }
      const read = await fetchPartition(this.cluster, place, 'read_uncommitted', 1 << 20)
      for (const batch of read?.batches ?? []) {
        for (let i = 0; i < batch.count; i++) if (batch.timestamp(i) >= timestamp) return batch.offset(i)
      }
      if (read === undefined || read.nextOffset === offset) break
      offset = read.nextOffset
    }
    return undefined
  }

  async writer(id: string, options?: WriterOptions): Promise<Writer> {
    this.checkOpen()
    const writer = await ClusterWriter.open(this, id, options)
    this.#writers.add(writer)
    return writer
  }

  async subscribe(subscription: Subscription): Promise<Reader> {
    this.checkOpen()
    const reader: ClusterReader = await ClusterReader.open(this, subscription, () => this.#readers.delete(reader))
    this.#readers.add(reader)
    return reader
  }

  async read(topic: string, partition: number, offset: number, options: ReadOptions): Promise<ReadResult> {
    const deadline = Date.now() + options.waitMs
    let from = offset
    for (;;) {
      this.checkOpen()
      const place = { topic: this.name(topic), partition, offset: from }
      const read = await fetchPartition(this.cluster, place, options.isolation, options.bytesMax)
      const partitionNow = await this.partition(topic, partition)
      const { logStartOffset, highWatermark } = partitionNow
      if (read === undefined) throw outOfRange(topic, partition, from, logStartOffset, highWatermark)
      const release = () => {}
      if (read.batches.length > 0) return { ...partitionNow, batches: logRecords({ topic, partition }, read), release }
      if (read.nextOffset === from) {
        const rest = deadline - Date.now()
        if (rest <= 0 || options.signal?.aborted === true) return { ...partitionNow, batches: [], release }
        await pause(Math.min(PAUSE_MS, rest))
      }
      from = read.nextOffset
    }
  }

  async committed(group: string): Promise<readonly GroupOffset[]> {
    const node = await this.cluster.coordinator('group', this.name(group))
    const asked = { groupId: this.name(group), memberId: null, memberEpoch: -1, topics: null }
    const answer = await this.cluster.call(node, offsetFetchV9.api, [asked], true)
    return answer.groups[0]!.topics.flatMap(topic =>
      topic.partitions.map(({ partitionIndex, committedOffset, metadata }) => ({
        topic: this.ownName(topic.name) ?? topic.name,
        partition: partitionIndex,
        offset: Number(committedOffset),
        metadata: metadata ?? '',
      })),
    )
  }

  async groups(): Promise<readonly string[]> {
    const names = (await this.#groups()).map(({ groupId }) => groupId).filter(name => name.startsWith(this.#prefix))
    const own = names.map(name => name.slice(this.#prefix.length)).sort()
    const committed = await Promise.all(own.map(async group => ({ group, offsets: await this.committed(group) })))
    return committed.filter(({ offsets }) => offsets.length > 0).map(({ group }) => group)
  }

  async forgetGroup(group: string): Promise<void> {
    const name = this.name(group)
    const state = (await this.#groups()).find(one => one.groupId === name)?.groupState.toUpperCase()
    if (state === undefined) return
    if (state !== 'EMPTY') throw new KtsError('FENCED', `group ${group} has members (${state})`)
    await this.cluster.call(await this.cluster.coordinator('group', name), deleteGroupsV2.api, [name])
  }

  async #anyCommitted(topic: string): Promise<boolean> {
    for (const group of await this.groups()) {
      if ((await this.committed(group)).some(offset => offset.topic === topic)) return true
    }
    return false
  }

  async #groups() {
    return (await this.cluster.call(this.cluster.bootstrap, listGroupsV5.api, [], [])).groups
  }

  /** Reads the topic of all checkpoints to its stable end, as Connect does at its start; here at every call. */
  async checkpoints(connector: string): Promise<readonly Checkpoint[]> {
    const view = new Checkpoints()
    const topic = this.name(CHECKPOINTS_TOPIC)
    const end = await this.cluster.listOffset(topic, 0, LATEST, 1)
    for (let offset = await this.cluster.listOffset(topic, 0, EARLIEST); offset < end; ) {
      const read = await fetchPartition(this.cluster, { topic, partition: 0, offset }, 'read_committed', 1 << 20)
      if (read === undefined) throw new KtsError('OFFSET_OUT_OF_RANGE', `${topic}-0 was cut while it was read`)
      for (const batch of read.batches) {
        for (let i = 0; i < batch.count; i++) view.apply(batch.key(i)!, batch.value(i))
      }
      offset = read.nextOffset
    }
    return view.of(connector)
  }

  async holdFor(_consumers: readonly Consumer[]): Promise<void> {
    // A cluster knows no such thing.
  }

  acceptsAppends(): boolean {
    return true
  }

  async close(): Promise<void> {
    if (!this.#open) return
    await Promise.all([...this.#writers].map(writer => writer.close()))
    await Promise.all([...this.#readers].map(reader => reader.close()))
    this.#open = false
    await this.cluster.close()
  }

  /** As a kill leaves it: nothing is ended in good order. */
  async drop(): Promise<void> {
    this.#open = false
    await this.cluster.close()
  }

  checkOpen(): void {
    if (!this.#open) throw new KtsError('CLOSED', 'the broker is closed')
  }

  async checkMember({ member, group, generation }: GroupMember, offsets: readonly GroupOffset[]): Promise<void> {
    if (generation < 0) {
      // The cluster takes a transactional commit without a member at any time.
      const state = (await this.#groups()).find(one => one.groupId === this.name(group))?.groupState
      if (state !== undefined && state !== 'Empty' && state !== 'EMPTY')
        throw new KtsError('FENCED', `group ${group} has members (${state})`)
    }
    for (const reader of this.#readers) {
      if (reader.group.member !== member || reader.group.group !== group) continue
      const lost = offsets.find(({ topic, partition }) => !reader.holds(topic, partition))
      if (lost !== undefined)
        throw new KtsError('FENCED', `${lost.topic}-${lost.partition} is not assigned to ${member} of group ${group}`)
    }
  }

  checkpointRecords(entries: readonly Checkpoint[]): { readonly topic: string; readonly records: PackedRecords } {
    return { topic: this.name(CHECKPOINTS_TOPIC), records: packRecords(checkpointRecords(entries)) }
  }

  async maxMessageBytes(topic: string): Promise<number> {
    let bytes = this.#maxMessageBytes.get(topic)
    if (bytes === undefined) {
      const resource = { resourceType: 2 as const, resourceName: topic, configurationKeys: ['max.message.bytes'] }
      const answer = await this.cluster.call(this.cluster.bootstrap, describeConfigsV4.api, [resource], false, false)
      bytes = Number(answer.results[0]!.configs[0]!.value)
      this.#maxMessageBytes.set(topic, bytes)
    }
    return bytes
  }
}
