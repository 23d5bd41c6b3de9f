import { assert, type Clock, KtsError, PackedRecords, randomId, SeededRandom, systemClock } from '../../base/index.ts'
import { canonicalJson } from '../../broker/canonical-json.ts'
import { GroupMembers, partitionKey } from '../../broker/group-members.ts'
import type { PartitionLog, PartitionRead } from '../../broker/partition-log.ts'
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
  Transaction,
  Writer,
  WriterOptions,
} from '../../broker/port.ts'
import { readPartition } from '../../broker/read-partition.ts'
import { GroupReader, outOfRange } from '../../broker/reader.ts'
import { checkTopicName } from '../../broker/topic-name.ts'

interface MemoryTopic {
  description: TopicDescription
  readonly logs: MemoryLog[]
}

/**
 * The reference of the broker's port: everything in memory, every rule as plainly as it can be said. The contract suite
 * was written against it, and tests of the runtime run on it.
 */
export class MemoryBroker implements Broker {
  readonly engine = 'memory'
  readonly #clock: Clock
  readonly #partitions: number
  readonly #random = new SeededRandom(1)
  readonly #topics = new Map<string, MemoryTopic>()
  readonly #writers = new Map<string, MemoryWriter>()
  readonly #readers = new Set<GroupReader>()
  readonly #offsets = new Map<string, Map<string, GroupOffset>>()
  readonly #checkpoints = new Map<string, Map<string, Checkpoint>>()
  readonly #members = new GroupMembers(() => [...this.#topics.values()].map(t => t.description))
  #accepts = true
  #open = true

  constructor(options: { readonly clock?: Clock; readonly partitions?: number } = {}) {
    this.#clock = options.clock ?? systemClock
    this.#partitions = options.partitions ?? 1
  }

  async ensureTopic(spec: TopicSpec): Promise<TopicDescription> {
    this.checkOpen()
    checkTopicName(spec.name)
    const old = this.#topics.get(spec.name)
    const count = Math.max(old?.logs.length ?? 0, spec.partitions ?? (old === undefined ? this.#partitions : 0))
    const logs = old?.logs ?? []
    while (logs.length < count) logs.push(new MemoryLog(spec.name, logs.length, this.#clock))
    const id = old?.description.id ?? randomId(this.#random)
    const description = { name: spec.name, id, partitions: count, internal: false, configs: { ...spec.configs } }
    this.#topics.set(spec.name, { description, logs })
    this.#members.topicsChanged()
    return description
  }

  async checkTopic({ name }: TopicSpec): Promise<void> {
    this.checkOpen()
    checkTopicName(name)
  }

  async deleteTopic(name: string): Promise<void> {
    this.checkOpen()
    const topic = this.#topics.get(name)
    if (topic === undefined) throw new KtsError('UNKNOWN_TOPIC_OR_PARTITION', `there is no topic ${name}`)
    this.#topics.delete(name)
    this.#members.topicsChanged()
    for (const offsets of this.#offsets.values())
      for (const [key, offset] of offsets) if (offset.topic === name) offsets.delete(key)
    for (const log of topic.logs) log.end()
  }

  async deleteRecords(topic: string, partition: number, offset: number): Promise<number> {
    this.checkOpen()
    return this.log(topic, partition).deleteBefore(offset)
  }

  async topic(name: string): Promise<TopicDescription | undefined> {
    return this.#topics.get(name)?.description
  }

  async topics(): Promise<readonly TopicDescription[]> {
    return [...this.#topics.values()].map(t => t.description).sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async partition(topic: string, partition: number): Promise<PartitionDescription> {
    return this.log(topic, partition).describe()
  }

  async offsetForTime(topic: string, partition: number, timestamp: number): Promise<number | undefined> {
    return this.log(topic, partition).offsetForTime(timestamp)
  }

  async writer(id: string, options: WriterOptions = {}): Promise<Writer> {
    this.checkOpen()
    const { transactionTimeoutMs = 60_000 } = options
    if (!Number.isInteger(transactionTimeoutMs) || transactionTimeoutMs < 1 || transactionTimeoutMs > 900_000)
      throw new KtsError('INVALID_CONFIG', `writer ${id}: no transaction timeout: ${transactionTimeoutMs}`)
    const writer = new MemoryWriter(this, id, this.#clock, transactionTimeoutMs)
    this.#writers.get(id)?.fence()
    this.#writers.set(id, writer)
    return writer
  }

  async subscribe(subscription: Subscription): Promise<Reader> {
    this.checkOpen()
    const host = {
      clock: this.#clock,
      members: this.#members,
      log: (topic: string, partition: number) => this.log(topic, partition),
      committed: (group: string, topic: string, partition: number) =>
        this.#offsets.get(group)?.get(partitionKey(topic, partition)),
      checkOpen: () => this.checkOpen(),
    }
    const reader: GroupReader = new GroupReader(host, subscription, () => this.#readers.delete(reader))
    this.#readers.add(reader)
    return reader
  }

  async read(topic: string, partition: number, offset: number, options: ReadOptions): Promise<ReadResult> {
    this.checkOpen()
    const log = this.log(topic, partition)
    const read = await readPartition(this.#clock, log, { topic, partition }, offset, options)
    return { ...log.describe(), ...read }
  }

  async committed(group: string): Promise<readonly GroupOffset[]> {
    return [...(this.#offsets.get(group)?.values() ?? [])]
  }

  async groups(): Promise<readonly string[]> {
    return [...this.#offsets.keys()].sort()
  }

  async forgetGroup(group: string): Promise<void> {
    this.#members.admit({ group, member: 'tool', generation: -1 }, [])()
    this.#offsets.delete(group)
  }

  async checkpoints(connector: string): Promise<readonly Checkpoint[]> {
    return [...(this.#checkpoints.get(connector)?.values() ?? [])]
  }

  async holdFor(_consumers: readonly Consumer[]): Promise<void> {
    // Nothing is ever deleted here.
  }

  acceptsAppends(): boolean {
    return this.#accepts
  }

  /** For tests: as if the disk had run below its reserve. */
  setAcceptsAppends(accepts: boolean): void {
    this.#accepts = accepts
  }

  async close(): Promise<void> {
    this.#open = false
    for (const reader of this.#readers) reader.interrupt()
  }

  checkOpen(): void {
    if (!this.#open) throw new KtsError('CLOSED', 'the broker is closed')
  }

  log(topic: string, partition: number): MemoryLog {
    const log = this.#topics.get(topic)?.logs[partition]
    if (log !== undefined) return log
    throw new KtsError('UNKNOWN_TOPIC_OR_PARTITION', `there is no partition ${partitionKey(topic, partition)}`)
  }

  /** For MemoryTransaction: applies all of it in one turn of the event loop. */
  apply(staged: Staged): void {
    this.checkOpen()
    const done = staged.offsets.map(([member, offsets]) => this.#members.admit(member, offsets))
    for (const [log, records] of staged.appends) log.append(records)
    for (const entry of staged.checkpoints) {
      const key = canonicalJson(entry.partition)
      const all = this.#checkpoints.get(entry.connector) ?? new Map<string, Checkpoint>()
      if (entry.value === null) all.delete(key)
      else all.set(key, structuredClone(entry))
      this.#checkpoints.set(entry.connector, all)
    }
    for (const [{ group }, offsets] of staged.offsets) {
      const all = this.#offsets.get(group) ?? new Map<string, GroupOffset>()
      for (const o of offsets) all.set(partitionKey(o.topic, o.partition), { ...o })
      if (all.size > 0) this.#offsets.set(group, all)
    }
    for (const end of done) end()
  }
}

class MemoryLog implements PartitionLog {
  readonly #name: string
  readonly #clock: Clock
  readonly #batches: PackedRecords[] = []
  readonly #listeners = new Set<() => void>()
  logStartOffset = 0
  #ended = false
  highWatermark = 0
  #bytes = 0
  readonly #partition: number

  constructor(topic: string, partition: number, clock: Clock) {
    this.#name = topic
    this.#partition = partition
    this.#clock = clock
  }

  get lastStableOffset(): number {
    return this.highWatermark
  }

  describe(): PartitionDescription {
    const { logStartOffset, highWatermark, lastStableOffset } = this
    return { logStartOffset, highWatermark, lastStableOffset, bytes: this.#bytes }
  }

  append(records: PackedRecords): void {
    if (records.count === 0) return
    const now = this.#clock.now()
    const timestamps = Float64Array.from({ length: records.count }, (_, i) =>
      records.timestamp(i) < 0 ? now : records.timestamp(i),
    )
    // The writer's bytes are its own again after the commit.
    const bytes = Buffer.from(records.bytes)
    const { count, valueStarts, valueEnds, keyStarts, keyEnds, headerStarts, headerEnds } = records
    const own = { valueStarts: valueStarts.slice(), valueEnds: valueEnds.slice(), keyStarts, keyEnds }
    const fields = { count, bytes, ...own, headerStarts, headerEnds, timestamps, baseOffset: this.highWatermark }
    this.#batches.push(new PackedRecords(fields))
    this.#bytes += records.size
    this.highWatermark += count
    for (const listener of this.#listeners) listener()
  }

  /** As of a deleted topic. */
  end(): void {
    this.#ended = true
    for (const listener of this.#listeners) listener()
  }

  deleteBefore(offset: number): number {
    const start = offset === -1 ? this.highWatermark : offset
    if (start < 0 || start > this.highWatermark)
      throw outOfRange(this.#name, this.#partition, start, this.logStartOffset, this.highWatermark)
    this.logStartOffset = Math.max(this.logStartOffset, start)
    return this.logStartOffset
  }

  async read(offset: number, bytesMax: number): Promise<PartitionRead> {
    if (this.#ended) throw new KtsError('UNKNOWN_TOPIC_OR_PARTITION', `there is no topic ${this.#name}`)
    if (offset < this.logStartOffset || offset > this.highWatermark)
      throw outOfRange(this.#name, this.#partition, offset, this.logStartOffset, this.highWatermark)
    const batches: PackedRecords[] = []
    let size = 0
    let nextOffset = offset
    for (const batch of this.#batches) {
      if (batch.offset(batch.count - 1) < offset) continue
      const part = batch.slice(Math.max(0, offset - batch.baseOffset), batch.count)
      if (batches.length > 0 && size + part.size > bytesMax) break
      batches.push(part)
      size += part.size
      nextOffset = batch.baseOffset + batch.count
    }
    return { batches, nextOffset }
  }

  offsetForTime(timestamp: number): number | undefined {
    for (const batch of this.#batches)
      for (let i = 0; i < batch.count; i++)
        if (batch.timestamp(i) >= timestamp && batch.offset(i) >= this.logStartOffset) return batch.offset(i)
    return undefined
  }

  onAdvance(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

interface Staged {
  readonly appends: (readonly [MemoryLog, PackedRecords])[]
  readonly checkpoints: Checkpoint[]
  readonly offsets: (readonly [GroupMember, readonly GroupOffset[]])[]
}

class MemoryWriter implements Writer {
  readonly id: string
  readonly #broker: MemoryBroker
  readonly #clock: Clock
  readonly #timeoutMs: number
  #fence: KtsError | undefined
  #transaction: MemoryTransaction | undefined
  /** When the open transaction got its first records. */
  #openedAt: number | undefined

  constructor(broker: MemoryBroker, id: string, clock: Clock, timeoutMs: number) {
    this.#broker = broker
    this.id = id
    this.#clock = clock
    this.#timeoutMs = timeoutMs
  }

  async begin(): Promise<Transaction> {
    this.check()
    assert(this.#transaction?.open !== true, `writer ${this.id} has one transaction at a time`)
    this.#transaction = new MemoryTransaction(this.#broker, this)
    this.#openedAt = undefined
    return this.#transaction
  }

  fence(): void {
    this.#fence = new KtsError('FENCED', `a newer writer has the id ${this.id}`)
  }

  /** For MemoryTransaction: the time of its first records counts. */
  opened(): void {
    this.#openedAt ??= this.#clock.monotonic()
  }

  check(): void {
    this.#broker.checkOpen()
    const age = this.#openedAt === undefined ? 0 : this.#clock.monotonic() - this.#openedAt
    if (this.#transaction?.open === true && age > this.#timeoutMs)
      this.#fence ??= new KtsError('TRANSACTION_TIMED_OUT', `writer ${this.id}: its transaction was open for ${age} ms`)
    if (this.#fence !== undefined) throw this.#fence
  }

  async close(): Promise<void> {
    await this.#transaction?.abort()
    this.fence()
  }
}

class MemoryTransaction implements Transaction {
  readonly #broker: MemoryBroker
  readonly #writer: MemoryWriter
  #staged: Staged = { appends: [], checkpoints: [], offsets: [] }
  open = true

  constructor(broker: MemoryBroker, writer: MemoryWriter) {
    this.#broker = broker
    this.#writer = writer
  }

  async append(topic: string, partition: number, records: PackedRecords): Promise<void> {
    this.#check()
    const log = this.#broker.log(topic, partition)
    this.#writer.opened()
    this.#staged.appends.push([log, records])
  }

  checkpoint(entries: readonly Checkpoint[]): void {
    this.#check()
    this.#staged.checkpoints.push(...entries)
  }

  offsets(group: GroupMember, offsets: readonly GroupOffset[]): void {
    this.#check()
    this.#staged.offsets.push([group, offsets])
  }

  async commit(): Promise<void> {
    this.#check()
    this.open = false
    this.#broker.apply(this.#staged)
  }

  async abort(): Promise<void> {
    this.open = false
    this.#staged = { appends: [], checkpoints: [], offsets: [] }
  }

  #check(): void {
    this.#writer.check()
    assert(this.open, `the transaction of writer ${this.#writer.id} is over`)
  }
}
