import { errorCode, type Random, randomInt } from '../../../base/index.ts'
import type { Broker, Checkpoint, GroupOffset, Transaction, Writer } from '../../../broker/index.ts'
import { digestOf, lastOf, type TopicPlan } from './audit.ts'
import { AT_LEAST_ONCE, groupOf, type Tell } from './events.ts'
import { foundRecords, makeRecords } from './records.ts'

/** Small limits, so that a short run rolls, deletes and compacts often. */
export const TOPICS: readonly TopicPlan[] = [
  {
    name: 'plain',
    partitions: 2,
    configs: { 'segment.bytes': '3000', 'retention.ms': String(7 * 86_400_000) },
    records: 'kept',
  },
  {
    name: 'packed',
    partitions: 1,
    configs: {
      'segment.bytes': '2000',
      'retention.ms': '-1',
      'compression.type': 'snappy',
      'index.interval.bytes': '200',
    },
    records: 'kept',
  },
  {
    name: 'short',
    partitions: 1,
    configs: { 'segment.bytes': '1500', 'retention.ms': '-1', 'retention.bytes': '6000' },
    records: 'retained',
  },
  {
    name: 'keyed',
    partitions: 1,
    configs: {
      'cleanup.policy': 'compact',
      'segment.bytes': '1500',
      'min.cleanable.dirty.ratio': '0.01',
      'delete.retention.ms': '60000',
    },
    records: 'compacted',
  },
]

/** For children, whose files are read by a reader that knows gzip alone. (Its threads would make seeds differ.) */
export const GZIP_TOPICS: readonly TopicPlan[] = TOPICS.map(topic =>
  'compression.type' in topic.configs ? { ...topic, configs: { ...topic.configs, 'compression.type': 'gzip' } } : topic,
)

export interface WorkloadParts {
  readonly broker: Broker
  readonly random: Random
  readonly tell: Tell
  readonly topics: readonly TopicPlan[]
  /** Transactions of each writer. */
  readonly transactions: number
  /** The number of a writer's next transaction. */
  readonly next: (writer: string) => number
  /** Lets time pass: the broker's own work is done meanwhile. */
  readonly advance: (ms: number) => Promise<void>
  readonly writers?: readonly string[]
  /** A transaction that met a full disk is tried so often again, each time after some time has passed. */
  readonly patience?: number
}

export const WRITERS: readonly string[] = ['w0', 'w1', 'w2', AT_LEAST_ONCE]

/**
 * Several writers, a reader and somebody who deletes, at the same time on one broker. Resolves when all are done, or with
 * the first error that ended one of them: the others end then too.
 */
export async function runWorkload(parts: WorkloadParts): Promise<unknown> {
  const state = { failure: undefined as unknown, writing: 0 }
  const guard = async (work: Promise<void>) => {
    await work.catch(error => {
      state.failure ??= error
    })
  }
  const over = () => state.failure !== undefined
  const writers = (parts.writers ?? WRITERS).map(async name => {
    state.writing++
    await new Loop(parts, name, over).run()
    state.writing--
  })
  const done = () => over() || state.writing === 0
  await Promise.all([...writers.map(guard), guard(readOn(parts, done)), guard(deleteOn(parts, done))])
  return state.failure
}

/** Creates the topics of the plan that are missing. */
export async function ensureTopics(broker: Broker, topics: readonly TopicPlan[]): Promise<void> {
  for (const { name, partitions, configs } of topics) await broker.ensureTopic({ name, partitions, configs })
  await broker.holdFor([])
}

/** One writer with its transactions. */
class Loop {
  readonly #parts: WorkloadParts
  readonly #name: string
  readonly #over: () => boolean
  readonly #atomic: boolean
  readonly #topics: readonly TopicPlan[]
  #writer: Writer | undefined

  constructor(parts: WorkloadParts, name: string, over: () => boolean) {
    this.#parts = parts
    this.#name = name
    this.#over = over
    this.#atomic = name !== AT_LEAST_ONCE
    // What of a key's records is the newest is only known of transactions.
    this.#topics = parts.topics.filter(topic => this.#atomic || topic.records !== 'compacted')
  }

  async run(): Promise<void> {
    const { transactions, patience = 0, random } = this.#parts
    await this.#reopen()
    let refused = 0
    for (let i = 0; i < transactions && !this.#over(); ) {
      const name = `${this.#name}.${this.#parts.next(this.#name)}`
      this.#parts.tell({ kind: 'begin', transaction: name, atomic: this.#atomic })
      try {
        await this.#transaction(name)
        i++
        // The others have their turn, and so have timers.
        if (random.next() < 0.3) await this.#parts.advance(0)
      } catch (error) {
        if (!(await this.#failed(name, error)) || refused++ >= patience) throw error
        await this.#parts.advance(2000)
      }
    }
    await this.#writer!.close()
  }

  async #reopen(): Promise<void> {
    this.#writer = await this.#parts.broker.writer(this.#name, { transactional: this.#atomic })
  }

  async #transaction(name: string): Promise<void> {
    const { random, tell } = this.#parts
    const transaction = await this.#writer!.begin()
    for (let i = randomInt(random, 5); i > 0; i--) await this.#append(name, transaction)
    const fate = random.next()
    if (fate < 0.15) await transaction.abort()
    // Left open and fenced: the next writer of the id aborts it.
    else if (fate < 0.2) await this.#reopen()
    else {
      this.#checkpoint(name, transaction)
      await transaction.commit()
      tell({ kind: 'ended', transaction: name, how: 'committed' })
      return
    }
    tell({ kind: 'ended', transaction: name, how: 'aborted' })
  }

  readonly #counts = new Map<string, number>()

  async #append(name: string, transaction: Transaction): Promise<void> {
    const { random, tell } = this.#parts
    const topic = this.#topics[randomInt(random, this.#topics.length)]!
    const partition = randomInt(random, topic.partitions)
    const place = `${name} ${topic.name} ${partition}`
    const from = this.#counts.get(place) ?? 0
    const count = 1 + randomInt(random, random.next() < 0.1 ? 20 : 4)
    this.#counts.set(place, from + count)
    tell({ kind: 'add', transaction: name, topic: topic.name, partition, count })
    await transaction.append(topic.name, partition, makeRecords(name, topic.name, partition, from, from + count))
  }

  #checkpoint(name: string, transaction: Transaction): void {
    const { random, tell, topics } = this.#parts
    const number = Number(name.slice(name.lastIndexOf('.') + 1))
    const checkpoints: Omit<Checkpoint, 'connector'>[] = [
      { partition: { last: true }, value: { transaction: name } },
      { partition: { file: randomInt(random, 4) }, value: random.next() < 0.2 ? null : { at: number } },
    ]
    const offsets: GroupOffset[] = []
    if (this.#atomic && random.next() < 0.5) {
      const { name: topic, partitions } = topics[randomInt(random, topics.length)]!
      offsets.push({ topic, partition: randomInt(random, partitions), offset: number, metadata: name })
    }
    tell({ kind: 'commit', transaction: name, checkpoints, offsets })
    transaction.checkpoint(checkpoints.map(entry => ({ connector: this.#name, ...entry })))
    transaction.offsets({ group: groupOf(this.#name), member: 'tool', generation: -1 }, offsets)
  }

  /** Whether the writer may go on; what became of the transaction is told. */
  async #failed(name: string, error: unknown): Promise<boolean> {
    const { broker, tell } = this.#parts
    const code = errorCode(error)
    if (code !== 'COMMIT_UNKNOWN') {
      tell({ kind: 'ended', transaction: name, how: 'aborted' })
      if (code === 'DISK_FULL') await this.#reopen()
      return code === 'DISK_FULL'
    }
    tell({ kind: 'ended', transaction: name, how: 'unknown' })
    await this.#reopen()
    const checkpoints = await broker.checkpoints(this.#name)
    const values = new Map(checkpoints.map(c => [JSON.stringify(c.partition), JSON.stringify(c.value)]))
    tell({ kind: 'ended', transaction: name, how: lastOf(values) === name ? 'committed' : 'aborted' })
    return true
  }
}

async function readOn(parts: WorkloadParts, done: () => boolean): Promise<void> {
  const { broker, random, topics, tell, advance } = parts
  while (!done()) {
    const topic = topics[randomInt(random, topics.length)]!
    const partition = randomInt(random, topic.partitions)
    const at = await broker.partition(topic.name, partition)
    const offset = at.logStartOffset + randomInt(random, at.highWatermark - at.logStartOffset + 1)
    const isolation = random.next() < 0.5 ? 'read_committed' : 'read_uncommitted'
    try {
      const read = await broker.read(topic.name, partition, offset, { isolation, bytesMax: 2000, waitMs: 0 })
      const records = read.batches.flatMap(b => foundRecords(topic.name, partition, b.records))
      tell({
        kind: 'read',
        topic: topic.name,
        partition,
        committed: isolation === 'read_committed',
        records: records.map(record => [record.offset, digestOf(record)] as const),
        logStartOffset: read.logStartOffset,
        highWatermark: read.highWatermark,
      })
    } catch (error) {
      // Its start may have moved meanwhile.
      if (errorCode(error) !== 'OFFSET_OUT_OF_RANGE') throw error
      if (offset >= (await broker.partition(topic.name, partition)).logStartOffset) throw error
    }
    await advance(randomInt(random, 5) === 0 ? 16_000 : 0)
  }
}

/** Now and then somebody deletes the oldest records of a topic that otherwise keeps them. */
async function deleteOn({ broker, random, topics, tell, advance }: WorkloadParts, done: () => boolean): Promise<void> {
  const kept = topics.filter(topic => topic.records === 'kept')
  while (!done()) {
    await advance(randomInt(random, 3) * 1000)
    const topic = kept[randomInt(random, kept.length)]!
    const partition = randomInt(random, topic.partitions)
    const { logStartOffset, lastStableOffset } = await broker.partition(topic.name, partition)
    if (random.next() < 0.6 || lastStableOffset === logStartOffset) continue
    const offset = logStartOffset + randomInt(random, Math.ceil((lastStableOffset - logStartOffset) / 2) + 1)
    tell({ kind: 'delete', topic: topic.name, partition, offset })
    const start = await broker.deleteRecords(topic.name, partition, offset)
    tell({ kind: 'deleted', topic: topic.name, partition, logStartOffset: start })
  }
}
