import {
  addOffsetsToTxnV4,
  addPartitionsToTxnV3,
  describeTransactionsV0,
  endTxnV4,
  initProducerIdV4,
  type Broker as Node,
  offsetCommitV9,
  txnOffsetCommitV4,
} from '@platformatic/kafka'
import { assert, type CodecName, KtsError, type PackedRecords } from '../../base/index.ts'
import type { Checkpoint, GroupMember, GroupOffset, Transaction, Writer, WriterOptions } from '../../broker/index.ts'
import { type BatchProducer, sequenceAfter } from '../../broker/batch.ts'
import { type Cluster, isKafkaError, pause } from './cluster.ts'
import { produce } from './cluster-produce.ts'

const TIMEOUT_MS = 60_000
const TIMEOUT_MAX_MS = 900_000

/** What a writer asks of its engine. */
export interface WriterHost {
  readonly cluster: Cluster
  /** The name in the cluster. */
  name(of: string): string
  /** The records that keep these entries, and where. */
  checkpointRecords(entries: readonly Checkpoint[]): { readonly topic: string; readonly records: PackedRecords }
  maxMessageBytes(topic: string): Promise<number>
  /** Throws FENCED for what a reader of this engine does not hold: a cluster checks the member, not its partitions. */
  checkMember(group: GroupMember, offsets: readonly GroupOffset[]): Promise<void>
  /** Throws CLOSED. */
  checkOpen(): void
}

/** One transactional producer: a producer id and epoch of the cluster for as long as nobody takes the writer's id. */
export class ClusterWriter implements Writer {
  readonly id: string
  readonly host: WriterHost
  readonly transactional: boolean
  readonly transactionalId: string
  readonly codec: CodecName
  /** The next sequence by partition. */
  readonly #sequences = new Map<string, number>()
  readonly #timeoutMs: number
  producerId = -1n
  producerEpoch = -1
  coordinator: Node
  #failure: KtsError | undefined
  #transaction: ClusterTransaction | undefined

  /** InitProducerId: fences earlier writers, ends what they left open. */
  static async open(host: WriterHost, id: string, options: WriterOptions = {}): Promise<ClusterWriter> {
    const transactionalId = host.name(id)
    const coordinator = await host.cluster.coordinator('transaction', transactionalId)
    const writer = new ClusterWriter(host, id, transactionalId, coordinator, options)
    const { api } = initProducerIdV4
    const init = await host.cluster.call(coordinator, api, transactionalId, writer.#timeoutMs, -1n, -1)
    writer.producerId = init.producerId
    writer.producerEpoch = init.producerEpoch
    await writer.settled()
    return writer
  }

  private constructor(
    host: WriterHost,
    id: string,
    transactionalId: string,
    coordinator: Node,
    options: WriterOptions,
  ) {
    this.id = id
    this.host = host
    this.transactionalId = transactionalId
    this.coordinator = coordinator
    this.transactional = options.transactional ?? true
    this.codec = options.compression ?? 'none'
    this.#timeoutMs = options.transactionTimeoutMs ?? TIMEOUT_MS
    const sane = Number.isInteger(this.#timeoutMs) && this.#timeoutMs >= 1 && this.#timeoutMs <= TIMEOUT_MAX_MS
    if (!sane)
      throw new KtsError('INVALID_CONFIG', `transactionTimeoutMs is 1 to ${TIMEOUT_MAX_MS}, got ${this.#timeoutMs}`)
  }

  async begin(): Promise<Transaction> {
    this.check()
    assert(this.#transaction?.open !== true, `writer ${this.id} has one transaction at a time`)
    this.#transaction = new ClusterTransaction(this)
    return this.#transaction
  }

  async close(): Promise<void> {
    await this.#transaction?.end()
    this.#failure ??= new KtsError('FENCED', `the writer ${this.id} is closed`)
  }

  check(): void {
    this.host.checkOpen()
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Runs a step of a transaction; what fenced this writer once holds for good. */
  async step<T>(work: () => Promise<T>): Promise<T> {
    this.check()
    try {
      return await work()
    } catch (error) {
      if (isKafkaError(error, 'PRODUCER_FENCED', 'INVALID_PRODUCER_EPOCH', 'INVALID_PRODUCER_ID_MAPPING'))
        this.#failure = error as KtsError
      throw error
    }
  }

  /** Of a batch behind `before` records of the append under way; undefined where nobody minds repetitions. */
  batchProducer(topic: string, partition: number, before: number): BatchProducer | undefined {
    if (!this.transactional) return undefined
    const baseSequence = sequenceAfter(this.#sequences.get(`${topic}-${partition}`) ?? 0, before)
    return {
      id: Number(this.producerId),
      epoch: this.producerEpoch,
      baseSequence,
      transactional: true,
      control: false,
    }
  }

  advance(topic: string, partition: number, records: number): void {
    const key = `${topic}-${partition}`
    this.#sequences.set(key, sequenceAfter(this.#sequences.get(key) ?? 0, records))
  }

  /** Until the markers are written: EndTxn answers before, and a reader would not see the records yet. */
  async settled(): Promise<void> {
    const { cluster } = this.host
    for (;;) {
      const answer = await cluster.call(this.coordinator, describeTransactionsV0.api, [this.transactionalId])
      if (!/^Prepare/.test(answer.transactionStates[0]!.transactionState)) return
      await pause()
    }
  }
}

class ClusterTransaction implements Transaction {
  readonly #writer: ClusterWriter
  readonly #partitions = new Set<string>()
  readonly #checkpoints: Checkpoint[] = []
  readonly #offsets: (readonly [GroupMember, readonly GroupOffset[]])[] = []
  /** Whether the cluster knows of it: a transaction without anything in it is not one there. */
  #begun = false
  #ending: Promise<void> | undefined
  #turn: Promise<unknown> = Promise.resolve()

  constructor(writer: ClusterWriter) {
    this.#writer = writer
  }

  get open(): boolean {
    return this.#ending === undefined
  }

  append(topic: string, partition: number, records: PackedRecords): Promise<void> {
    return this.#inTurn(async () => {
      this.#check()
      await this.#append(this.#writer.host.name(topic), partition, records)
    })
  }

  checkpoint(entries: readonly Checkpoint[]): void {
    this.#check()
    this.#checkpoints.push(...entries)
  }

  offsets(group: GroupMember, offsets: readonly GroupOffset[]): void {
    this.#check()
    this.#offsets.push([group, offsets])
  }

  async commit(): Promise<void> {
    this.#check()
    this.#ending = this.#inTurn(() => this.#commit())
    await this.#ending
  }

  async abort(): Promise<void> {
    this.#ending ??= this.#inTurn(() => this.#endTransaction(false))
    await this.#ending.catch(() => undefined)
  }

  /** Aborts what is open, waits for what is ending. */
  async end(): Promise<void> {
    await this.abort()
  }

  async #commit(): Promise<void> {
    try {
      const { host } = this.#writer
      for (const [group, offsets] of this.#offsets) await host.checkMember(group, offsets)
      if (this.#checkpoints.length > 0) {
        const { topic, records } = host.checkpointRecords(this.#checkpoints)
        await this.#append(topic, 0, records)
      }
      for (const [group, offsets] of this.#offsets) if (offsets.length > 0) await this.#commitOffsets(group, offsets)
    } catch (error) {
      await this.#endTransaction(false).catch(() => undefined)
      throw error
    }
    await this.#endTransaction(true)
  }

  async #append(topic: string, partition: number, records: PackedRecords): Promise<void> {
    if (records.count === 0) return
    const writer = this.#writer
    const { node } = await writer.host.cluster.leader(topic, partition)
    const maxMessageBytes = await writer.host.maxMessageBytes(topic)
    const options = {
      codec: writer.codec,
      transactionalId: writer.transactional ? writer.transactionalId : null,
      producer: (before: number) => writer.batchProducer(topic, partition, before),
    }
    await writer.step(async () => {
      await this.#addPartition(topic, partition)
      await produce(writer.host.cluster, { node, topic, partition, maxMessageBytes }, records, options)
      writer.advance(topic, partition, records.count)
    })
  }

  async #addPartition(topic: string, partition: number): Promise<void> {
    const { host, transactional, transactionalId, coordinator, producerId, producerEpoch } = this.#writer
    const key = `${topic}-${partition}`
    if (!transactional || this.#partitions.has(key)) return
    const topics = [{ name: topic, partitions: [partition] }]
    const addition = { transactionalId, producerId, producerEpoch, verifyOnly: false, topics }
    await host.cluster.call(coordinator, addPartitionsToTxnV3.api, [addition])
    this.#begun = true
    this.#partitions.add(key)
  }

  async #commitOffsets({ group, member, generation }: GroupMember, offsets: readonly GroupOffset[]): Promise<void> {
    const { host, transactional, transactionalId, coordinator, producerId, producerEpoch } = this.#writer
    const { cluster } = host
    const name = host.name(group)
    const at = await cluster.coordinator('group', name)
    const topics = offsets.map(({ topic, partition, offset, metadata }) => ({
      name: host.name(topic),
      partitions: [
        {
          partitionIndex: partition,
          committedOffset: BigInt(offset),
          committedLeaderEpoch: -1,
          committedMetadata: metadata,
        },
      ],
    }))
    // A tool is nobody's member.
    const memberId = generation < 0 ? '' : member
    await this.#writer.step(async () => {
      if (!transactional)
        return void (await cluster.call(at, offsetCommitV9.api, name, generation, memberId, null, topics))
      const { api } = addOffsetsToTxnV4
      await cluster.call(coordinator, api, transactionalId, producerId, producerEpoch, name)
      this.#begun = true
      const commit = txnOffsetCommitV4.api
      await cluster.call(
        at,
        commit,
        transactionalId,
        name,
        producerId,
        producerEpoch,
        generation,
        memberId,
        null,
        topics,
      )
    })
  }

  async #endTransaction(commit: boolean): Promise<void> {
    const { host, coordinator, transactionalId, producerId, producerEpoch } = this.#writer
    if (!this.#begun) return
    this.#begun = false
    await this.#writer.step(async () => {
      await host.cluster.call(coordinator, endTxnV4.api, transactionalId, producerId, producerEpoch, commit)
      await this.#writer.settled()
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  #check(): void {
    this.#writer.check()
    assert(this.open, `the transaction of writer ${this.#writer.id} is over`)
  }
}
