import {
  type API,
  type Connection,
  ConnectionPool,
  type Broker as Node,
  createPartitionsV3,
  createTopicsV7,
  deleteRecordsV2,
  deleteTopicsV6,
  describeConfigsV4,
  describeLogDirsV4,
  findCoordinatorV6,
  incrementalAlterConfigsV1,
  listOffsetsV9,
  metadataV12,
} from '@platformatic/kafka'
import { KtsError } from '../../base/index.ts'

type TopicMetadata = Awaited<ReturnType<typeof metadataV12.api.async>>['topics'][number]

export const EARLIEST = -2n
export const LATEST = -1n

/** Kafka's errors that mean "not yet": asked again until `RETRY_MS` are over. */
const RETRIABLE: readonly string[] = [
  'COORDINATOR_LOAD_IN_PROGRESS',
  'COORDINATOR_NOT_AVAILABLE',
  'NOT_COORDINATOR',
  'CONCURRENT_TRANSACTIONS',
  'UNSTABLE_OFFSET_COMMIT',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_OR_FOLLOWER',
  'UNKNOWN_TOPIC_ID',
]
const RETRY_MS = 15_000
const PAUSE_MS = 10

/** Kafka's error names as the port has them. */
const CODES: Readonly<Record<string, string>> = {
  UNKNOWN_TOPIC_OR_PARTITION: 'UNKNOWN_TOPIC_OR_PARTITION',
  INVALID_TOPIC_EXCEPTION: 'INVALID_TOPIC',
  INVALID_CONFIG: 'INVALID_CONFIG',
  MESSAGE_TOO_LARGE: 'MESSAGE_TOO_LARGE',
  RECORD_LIST_TOO_LARGE: 'MESSAGE_TOO_LARGE',
  OFFSET_OUT_OF_RANGE: 'OFFSET_OUT_OF_RANGE',
  CORRUPT_MESSAGE: 'CORRUPT_MESSAGE',
  INVALID_RECORD: 'INVALID_RECORD',
  INVALID_TIMESTAMP: 'INVALID_RECORD',
  INVALID_PRODUCER_EPOCH: 'FENCED',
  PRODUCER_FENCED: 'FENCED',
  INVALID_PRODUCER_ID_MAPPING: 'FENCED',
  UNKNOWN_MEMBER_ID: 'FENCED',
  STALE_MEMBER_EPOCH: 'FENCED',
  FENCED_MEMBER_EPOCH: 'FENCED',
  FENCED_INSTANCE_ID: 'FENCED',
  ILLEGAL_GENERATION: 'FENCED',
  INVALID_TXN_STATE: 'TRANSACTION_TIMED_OUT',
  KAFKA_STORAGE_ERROR: 'STORAGE_FAILED',
}

/** What the client's errors carry of the protocol's: the first error of an answer. */
function kafkaErrorName(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const { apiId, errors, cause } = error as Error & { apiId?: string; errors?: unknown[] }
  // The last one: a partition's own error stands behind those of its records, which have no name.
  return apiId ?? kafkaErrorName(errors?.at(-1)) ?? kafkaErrorName(cause)
}

export function isKafkaError(error: unknown, ...names: string[]): boolean {
  return error instanceof KtsError && names.includes(String(error.details?.kafka))
}

/**
 * A Kafka cluster as requests and answers, through the protocol layer of the client library: its producer and consumer
 * decide too much by themselves (docs/ARCHITECTURE.md, "The port on a Kafka cluster").
 */
export class Cluster {
  readonly #bootstrap: Node
  readonly #pool = new ConnectionPool('kts-connect-test', { requestTimeout: 30_000 })
  readonly #topics = new Map<string, TopicMetadata>()
  readonly #nodes = new Map<number, Node>()
  readonly #coordinators = new Map<string, Node>()
  #open = true

  constructor(bootstrap: Node) {
    this.#bootstrap = bootstrap
  }

  /** Asks one node and waits through what is only a matter of time. Rejects with a KtsError of the port's codes. */
  async call<A extends unknown[], R>(node: Node, api: API<A, R>, ...args: A): Promise<R> {
    return await this.request(node, connection => api.async(connection, ...args))
  }

  async request<R>(node: Node, ask: (connection: Connection) => Promise<R>): Promise<R> {
    const deadline = Date.now() + RETRY_MS
    for (;;) {
      if (!this.#open) throw new KtsError('CLOSED', 'the broker is closed')
      try {
        return await ask(await this.#pool.get(node))
      } catch (error) {
        const name = kafkaErrorName(error) ?? ''
        if (!this.#open) throw new KtsError('CLOSED', 'the broker is closed', { cause: error })
        if (!RETRIABLE.includes(name) || Date.now() > deadline) throw asKtsError(error, name)
      }
      await pause()
    }
  }

  get bootstrap(): Node {
    return this.#bootstrap
  }

  async coordinator(kind: 'group' | 'transaction', key: string): Promise<Node> {
    const cacheKey = `${kind} ${key}`
    let node = this.#coordinators.get(cacheKey)
    if (node === undefined) {
      const answer = await this.call(this.#bootstrap, findCoordinatorV6.api, kind === 'group' ? 0 : 1, [key])
      node = answer.coordinators[0]!
      this.#coordinators.set(cacheKey, node)
    }
    return node
  }

  /** All topics, fresh from the cluster. */
  async topics(): Promise<readonly TopicMetadata[]> {
    const { topics, brokers } = await this.call(this.#bootstrap, metadataV12.api, null, false, false)
    for (const { nodeId, host, port } of brokers) this.#nodes.set(nodeId, { host, port })
    this.#topics.clear()
    for (const topic of topics) if (typeof topic.name === 'string') this.#topics.set(topic.name, topic)
    return topics
  }

  async topic(name: string): Promise<TopicMetadata | undefined> {
    if (!this.#topics.has(name)) await this.topics()
    return this.#topics.get(name)
  }

  /** Rejects with UNKNOWN_TOPIC_OR_PARTITION. */
  async leader(topic: string, partition: number): Promise<{ readonly node: Node; readonly topicId: string }> {
    for (const fresh of [false, true]) {
      if (fresh) await this.topics()
      const metadata = await this.topic(topic)
      const one = metadata?.partitions.find(p => p.partitionIndex === partition)
      const node = one === undefined ? undefined : this.#nodes.get(one.leaderId)
      if (node !== undefined) return { node, topicId: metadata!.topicId }
    }
    throw new KtsError('UNKNOWN_TOPIC_OR_PARTITION', `there is no partition ${topic}-${partition}`)
  }

  /** An answer of the controller is ahead of what the brokers know: waits until they do. */
  async until(done: (topics: ReadonlyMap<string, TopicMetadata>) => boolean): Promise<void> {
    const deadline = Date.now() + RETRY_MS
    for (;;) {
      await this.topics()
      if (done(this.#topics)) return
      if (Date.now() > deadline) throw new KtsError('INTERNAL', 'the cluster does not show its own change of a topic')
      await pause()
    }
  }

  /** The offset of a time, or by EARLIEST and LATEST; -1 when there is none. */
  async listOffset(topic: string, partition: number, timestamp: bigint, isolation = 0): Promise<number> {
    const { node } = await this.leader(topic, partition)
    const partitions = [{ partitionIndex: partition, currentLeaderEpoch: -1, timestamp }]
    const answer = await this.call(node, listOffsetsV9.api, -1, isolation, [{ name: topic, partitions }])
    return Number(answer.topics[0]!.partitions[0]!.offset)
  }

  async createTopic(name: string, partitions: number, configs: Readonly<Record<string, string>>): Promise<void> {
    const topic = {
      name,
      numPartitions: partitions,
      replicationFactor: -1,
      assignments: [],
      configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
    }
    await this.call(this.#bootstrap, createTopicsV7.api, [topic], 30_000, false)
    await this.until(topics => topics.get(name)?.partitions.every(p => p.leaderId >= 0) === true)
  }

  async growTopic(name: string, count: number): Promise<void> {
    await this.call(this.#bootstrap, createPartitionsV3.api, [{ name, count, assignments: null }], 30_000, false)
    await this.until(topics => topics.get(name)?.partitions.filter(p => p.leaderId >= 0).length === count)
  }

  /** Settings of the topic itself, without defaults. */
  async topicConfigs(name: string): Promise<Record<string, string>> {
    const resource = { resourceType: 2 as const, resourceName: name, configurationKeys: null }
    const answer = await this.call(this.#bootstrap, describeConfigsV4.api, [resource], false, false)
    const own = answer.results[0]!.configs.filter(config => config.configSource === 1)
    return Object.fromEntries(own.map(({ name: key, value }) => [key, value ?? '']))
  }

  async setTopicConfigs(name: string, wanted: Readonly<Record<string, string>>): Promise<void> {
    const had = await this.topicConfigs(name)
    const gone = Object.keys(had).filter(key => !(key in wanted))
    const configs = [
      ...Object.entries(wanted)
        .filter(([key, value]) => had[key] !== value)
        .map(([key, value]) => ({ name: key, configOperation: 0 as const, value })),
      ...gone.map(key => ({ name: key, configOperation: 1 as const })),
    ]
    if (configs.length === 0) return
    const resource = { resourceType: 2 as const, resourceName: name, configs }
    await this.call(this.#bootstrap, incrementalAlterConfigsV1.api, [resource], false)
    const deadline = Date.now() + RETRY_MS
    while (JSON.stringify(sorted(await this.topicConfigs(name))) !== JSON.stringify(sorted(wanted))) {
      if (Date.now() > deadline) throw new KtsError('INTERNAL', `the cluster does not show the new settings of ${name}`)
      await pause()
    }
  }

  async deleteTopic(name: string): Promise<void> {
    await this.call(this.#bootstrap, deleteTopicsV6.api, [{ name }], 30_000)
    await this.until(topics => !topics.has(name))
  }

  async deleteRecords(topic: string, partition: number, offset: number): Promise<number> {
    const { node } = await this.leader(topic, partition)
    const partitions = [{ partitionIndex: partition, offset: BigInt(offset) }]
    const answer = await this.call(node, deleteRecordsV2.api, [{ name: topic, partitions }], 30_000)
    return Number(answer.topics[0]!.partitions[0]!.lowWatermark)
  }

  /** Bytes of the leader's replica. */
  async partitionBytes(topic: string, partition: number): Promise<number> {
    const { node } = await this.leader(topic, partition)
    const { results } = await this.call(node, describeLogDirsV4.api, [{ name: topic, partitions: [partition] }])
    const replicas = results.flatMap(({ topics }) => topics).flatMap(({ partitions }) => partitions)
    return Number(replicas[0]?.partitionSize ?? -1)
  }

  async close(): Promise<void> {
    this.#open = false
    await this.#pool.close()
  }
}

export function pause(ms = PAUSE_MS): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

function sorted(configs: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(configs).sort(([a], [b]) => (a < b ? -1 : 1))
}

function asKtsError(error: unknown, name: string): KtsError {
  const what = name === '' ? String(error) : name
  return new KtsError(CODES[name] ?? 'INTERNAL', `Kafka answers ${what}`, { cause: error, details: { kafka: name } })
}
