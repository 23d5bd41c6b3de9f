import {
  type Clock,
  defineOptions,
  defineSource,
  type JsonObject,
  KtsError,
  type OptionValues,
  type SourceBatch,
  type SourceCheckpoint,
  type SourceTask,
  sleep,
  type TaskContext,
} from '../../runtime/api/index.ts'
import { packNumbered } from './numbered.ts'

const BATCH_BYTES = 256 << 10
const BATCH_RECORDS_MAX = 4096
/** How long a limited source gathers what it may write, so that it writes batches and not single records. */
const PACE_MS = 10

const OPTIONS = defineOptions({
  topics: {
    type: 'list',
    nonEmpty: true,
    aliases: ['topic'],
    doc: 'Topics to write to.',
    importance: 'high',
    validate: topics => (new Set(topics).size < topics.length ? 'each topic once' : undefined),
  },
  partitions: {
    type: 'integer',
    default: 1,
    min: 1,
    max: 10_000,
    doc: 'Partitions of each topic that get records, from 0 on; each has numbers of its own. The topic must have as many.',
  },
  id: {
    type: 'string',
    default: null,
    doc: 'Stands in every record, so that a sink tells sources apart. Default: the name of the connector.',
  },
  throughput: {
    type: 'number',
    default: -1,
    min: -1,
    doc: 'Records per second of each task; -1: as many as can be.',
  },
  'max.messages': {
    type: 'integer',
    default: -1,
    min: -1,
    doc: 'Records for each partition of each topic, earlier runs included; then the source has finished. -1: without end.',
  },
  'transaction.records': {
    type: 'integer',
    default: -1,
    min: -1,
    doc: 'Records that each partition of the topics of a task gets in one transaction: all of them or none. Works with every `transaction.boundary`. -1: no transactions of its own.',
    validate: records => (records === 0 ? 'at least 1, or -1' : undefined),
  },
  'transaction.abort.every': {
    type: 'integer',
    default: -1,
    min: -1,
    doc: 'Each so many transactions one is written, aborted and written again. Needs `transaction.records` and `transaction.boundary: connector`. -1: none.',
    validate: every => (every === 0 ? 'at least 1, or -1' : undefined),
  },
  'payload.bytes': {
    type: 'bytes',
    default: 100,
    min: 0,
    max: 1 << 20,
    doc: 'Padding in each record, in bytes.',
  },
})

type Options = OptionValues<typeof OPTIONS>

/** Numbers 0, 1, 2, … for one partition of one topic. */
interface Stream {
  readonly topic: string
  readonly partition: number
  readonly source: string
  readonly checkpoint: JsonObject
  next: number
}

/** A transaction: the numbers it goes from and to in each of its streams. */
interface Round {
  readonly starts: ReadonlyMap<Stream, number>
  readonly ends: ReadonlyMap<Stream, number>
}

/** Numbered records, as Kafka's VerifiableProducer writes them, for tests of a whole pipeline. */
export const verifiableSource = defineSource({
  kind: 'source',
  name: 'verifiable',
  aliases: ['org.apache.kafka.connect.tools.VerifiableSourceConnector'],
  version: '1',
  doc: 'Writes numbered records with a check sum, and goes on with the numbers after a restart. The verifiable sink tells whether all of them arrived, once, whole and in order.',
  options: OPTIONS,
  defaultConverter: 'bytes',
  canDefineTransactionBoundaries: options => options['transaction.records'] > 0,
  problems: options =>
    options['transaction.abort.every'] > 0 && options['transaction.records'] < 0
      ? [{ option: 'transaction.abort.every', message: 'expected transaction.records beside it, got nothing' }]
      : [],
  topics: options => options.topics,
  plan(options, tasksMax) {
    const tasks = Math.min(tasksMax, options.topics.length)
    return Array.from({ length: tasks }, (_, task) => ({
      ...options,
      topics: options.topics.filter((_, i) => i % tasks === task),
    }))
  },
  open: async (options, checkpoints, context) => new VerifiableSourceTask(options, checkpoints, context),
})

class VerifiableSourceTask implements SourceTask {
  readonly #options: Options
  readonly #clock: Clock
  readonly #streams: readonly Stream[]
  #turn = 0
  #round: Round | undefined
  #rounds = 0
  /** Monotonic time up to which the throughput has been used. */
  #usedUntil: number

  constructor(options: Options, checkpoints: readonly SourceCheckpoint[], context: TaskContext) {
    this.#options = options
    this.#clock = context.clock
    this.#usedUntil = context.clock.monotonic()
    if (options['transaction.abort.every'] > 0 && !context.definesTransactions) {
      throw new KtsError(
        'CONFIG_INVALID',
        'transaction.abort.every: expected transaction.boundary: connector beside it, since no other transaction can be aborted',
      )
    }
    const id = options.id ?? context.connector
    this.#streams = options.topics.flatMap(topic =>
      Array.from({ length: options.partitions }, (_, partition) => openStream(id, topic, partition, checkpoints)),
    )
  }

  async poll(signal: AbortSignal): Promise<SourceBatch | 'idle' | 'finished'> {
    const stream = this.#options['transaction.records'] > 0 ? this.#nextOfRound() : this.#nextStream()
    if (stream === undefined) return 'finished'
    const { 'payload.bytes': payloadBytes } = this.#options
    const left = this.#round === undefined ? this.#left(stream) : this.#round.ends.get(stream)! - stream.next
    const most = Math.min(BATCH_RECORDS_MAX, Math.ceil(BATCH_BYTES / (payloadBytes + 64)), left)
    const count = await this.#allowed(most, signal)
    if (count === 0) return 'idle'
    const { topic, partition, source, next } = stream
    stream.next = next + count
    const packed = packNumbered(source, next, stream.next, payloadBytes, this.#clock.now())
    const parts = [{ kind: 'packed', topic, partition, packed }] as const
    if (this.#round !== undefined) return { parts, ...this.#endOfRound(this.#round) }
    return { parts, checkpoints: [checkpointOf(stream)] }
  }

  async close(): Promise<void> {}

  /** The streams in turn; undefined when none has anything left to write. */
  #nextStream(): Stream | undefined {
    for (let i = 0; i < this.#streams.length; i++) {
      const stream = this.#streams[this.#turn++ % this.#streams.length]!
      if (this.#left(stream) > 0) return stream
    }
    return undefined
  }

  /** The next one that this transaction still has to write to; begins a transaction when there is none. */
  #nextOfRound(): Stream | undefined {
    if (this.#round === undefined) {
      const records = this.#options['transaction.records']
      const streams = this.#streams.filter(stream => this.#left(stream) > 0)
      const starts = new Map(streams.map(stream => [stream, stream.next]))
      const ends = new Map(streams.map(stream => [stream, stream.next + Math.min(records, this.#left(stream))]))
      if (streams.length > 0) this.#round = { starts, ends }
    }
    return this.#unwritten()
  }

  #unwritten(): Stream | undefined {
    return this.#streams.find(stream => stream.next < (this.#round?.ends.get(stream) ?? 0))
  }

  /** Positions stand only behind a whole transaction, so that no boundary cuts one. */
  #endOfRound({ starts, ends }: Round): Pick<SourceBatch, 'checkpoints' | 'transaction'> {
    if (this.#unwritten() !== undefined) return { checkpoints: [] }
    this.#round = undefined
    const every = this.#options['transaction.abort.every']
    if (every > 0 && ++this.#rounds % (every + 1) === every) {
      for (const [stream, start] of starts) stream.next = start
      return { checkpoints: [], transaction: 'abort' }
    }
    return { checkpoints: [...ends.keys()].map(checkpointOf), transaction: 'commit' }
  }

  #left(stream: Stream): number {
    const max = this.#options['max.messages']
    return max < 0 ? Number.POSITIVE_INFINITY : max - stream.next
  }

  /** How many of `most` records may be written now; waits for the first, 0 when cut short. */
  async #allowed(most: number, signal: AbortSignal): Promise<number> {
    const { throughput } = this.#options
    if (throughput < 0) return most
    // A throughput of 0 is never due: the task breathes, and writes nothing.
    const recordMs = 1000 / throughput
    const waitMs = Math.min(1000, Math.max(recordMs, PACE_MS) - (this.#clock.monotonic() - this.#usedUntil))
    if (waitMs > 0 && !(await sleep(this.#clock, waitMs, signal))) return 0
    const due = Math.floor((this.#clock.monotonic() - this.#usedUntil) / recordMs)
    const count = Math.min(most, due)
    this.#usedUntil += count === 0 ? 0 : count * recordMs
    return count
  }
}

function checkpointOf({ checkpoint, next }: Stream): SourceCheckpoint {
  return { partition: checkpoint, position: { v: 1, next } }
}

function openStream(id: string, topic: string, partition: number, checkpoints: readonly SourceCheckpoint[]): Stream {
  const checkpoint: JsonObject = { id, topic, partition }
  const found = checkpoints.find(
    c => c.partition.id === id && c.partition.topic === topic && c.partition.partition === partition,
  )
  return { topic, partition, source: `${id}/${topic}/${partition}`, checkpoint, next: nextOf(found) }
}

function nextOf(checkpoint: SourceCheckpoint | undefined): number {
  const position = checkpoint?.position ?? undefined
  if (position === undefined) return 0
  const { v, next } = position
  if (v === 1 && typeof next === 'number' && Number.isSafeInteger(next) && next >= 0) return next
  throw new KtsError(
    'POSITION_LOST',
    'verifiable source: its checkpoint is not one of this version; give the source another id to count anew',
  )
}
