import type { Transaction } from '../broker/index.ts'
import {
  type Clock,
  decodeHeaders,
  errorCode,
  errorMessage,
  KtsError,
  type Logger,
  type PackedHeader,
  type PackedRecords,
  PackedWriter,
  RecordError,
} from './api/index.ts'
import { appendFitting } from './append-fitting.ts'
import type { ConnectorCounters } from './counters.ts'

/** Connect's stages, as its dead-letter headers name them. */
export type Stage = 'TRANSFORMATION' | 'KEY_CONVERTER' | 'VALUE_CONVERTER' | 'KAFKA_PRODUCE' | 'TASK_PUT'

/** The record as it came, before any stage touched it. */
export interface Original {
  readonly topic: string
  readonly partition: number | undefined
  readonly offset: number | undefined
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly PackedHeader[]
  readonly timestamp: number
}

/** Record `i` of a batch as it lies there. */
export function originalAt(
  records: PackedRecords,
  i: number,
  place: Pick<Original, 'topic' | 'partition' | 'offset'>,
): Original {
  const block = records.headerBlock(i)
  return {
    ...place,
    key: records.key(i),
    value: records.value(i),
    headers: block === undefined ? [] : decodeHeaders(block),
    timestamp: records.timestamp(i),
  }
}

export interface BadRecordOptions {
  readonly connector: string
  readonly task: number
  readonly tolerance: 'none' | 'all'
  readonly deadLetterTopic: string | undefined
  readonly contextHeaders: boolean
  readonly logEnabled: boolean
  readonly log: Logger
  readonly clock: Clock
  readonly counters: ConnectorCounters
}

/** Bad records since the last `drain`: they are counted when the transaction that passes them is durable. */
export interface Drained {
  readonly letters: PackedRecords | undefined
  readonly skipped: number
}

const LOG_INTERVAL_MS = 1000

/**
 * What happens to a record that a stage cannot take: fail the task, skip it, or keep it in the dead-letter topic with its
 * original bytes and the reason (KIP-298, here for sources too). Dead letters join the transaction that passes them.
 */
export class BadRecords {
  readonly #options: BadRecordOptions
  #letters = new PackedWriter()
  #skipped = 0
  #loggedAt = Number.NEGATIVE_INFINITY
  #lostLoggedAt = Number.NEGATIVE_INFINITY
  #unlogged = 0

  constructor(options: BadRecordOptions) {
    this.#options = options
  }

  /** Of the dead letters gathered since the last `drain`. */
  get bytes(): number {
    return this.#letters.bytes
  }

  /** Of the same: how many records. */
  get pending(): number {
    return this.#letters.count + this.#skipped
  }

  /** Says what becomes of the record, throws when it must fail the task. */
  take(error: unknown, stage: Stage, original: Original): 'skip' | 'dead-letter' {
    const { tolerance, deadLetterTopic, counters } = this.#options
    counters.errors++
    const wanted = error instanceof RecordError ? error.onError : undefined
    const onError = wanted ?? (tolerance === 'none' ? 'fail' : deadLetterTopic === undefined ? 'skip' : 'dead-letter')
    if (onError === 'fail') throw this.#failure(error, stage, original)
    this.#note(error, stage, describe(original))
    if (onError === 'skip') {
      this.#skipped++
      return 'skip'
    }
    if (deadLetterTopic === undefined) {
      throw new KtsError(
        'CONFIG_INVALID',
        `${this.#options.connector}: a record is to be dead-lettered, and errors.deadletterqueue.topic.name is not set; name a topic`,
        { cause: error },
      )
    }
    const headers = this.#options.contextHeaders
      ? [...original.headers, ...this.#context(error, stage, original)]
      : original.headers
    this.#letters.add(original.key, original.value, headers, original.timestamp)
    return 'dead-letter'
  }

  /** Bad records gathered since the last call, for the transaction about to commit. */
  drain(): Drained {
    const skipped = this.#skipped
    this.#skipped = 0
    if (this.#letters.count === 0) return { letters: undefined, skipped }
    const letters = this.#letters.build()
    this.#letters = new PackedWriter()
    return { letters, skipped }
  }

  /**
   * Adds what `drain` answered to a transaction, and answers what is to be counted when that is durable. A letter that its
   * topic does not take is skipped where that is tolerated.
   */
  async append(
    transaction: Transaction,
    { letters, skipped }: Drained,
  ): Promise<{ deadLettered: number; skipped: number }> {
    const { deadLetterTopic, tolerance } = this.#options
    const counts = { deadLettered: letters?.count ?? 0, skipped }
    if (letters === undefined || deadLetterTopic === undefined) return counts
    await appendFitting(transaction, { topic: deadLetterTopic, partition: 0, records: letters }, error => {
      if (tolerance === 'none') throw error
      counts.deadLettered--
      counts.skipped++
      this.#lost(error, deadLetterTopic)
    })
    return counts
  }

  #failure(error: unknown, stage: Stage, original: Original): KtsError {
    return new KtsError(
      'RECORD_INVALID',
      `${describe(original)} fails in ${stage}: ${errorMessage(error)}. ` +
        'Set errors.tolerance: all to go on, with errors.deadletterqueue.topic.name to keep such records.',
      { cause: error },
    )
  }

  /** Gone for good, so this is told beside the record's own line. */
  #lost(error: unknown, topic: string): void {
    const { connector, task, log, clock } = this.#options
    const now = clock.monotonic()
    if (now - this.#lostLoggedAt < LOG_INTERVAL_MS) return
    this.#lostLoggedAt = now
    log.error(
      { connector, task, topic },
      `a dead letter does not fit into ${topic}, and its record is lost: ${errorMessage(error)}; give ${topic} a larger max.message.bytes (topics: in the pipeline file)`,
    )
  }

  #note(error: unknown, stage: Stage, what: string): void {
    if (!this.#options.logEnabled) return
    const now = this.#options.clock.monotonic()
    if (now - this.#loggedAt < LOG_INTERVAL_MS) {
      this.#unlogged++
      return
    }
    const { connector, task, log } = this.#options
    log.warn(
      { connector, task, stage, ...(this.#unlogged > 0 && { alsoSince: this.#unlogged }) },
      `bad record: ${what}: ${errorMessage(error)}`,
    )
    this.#loggedAt = now
    this.#unlogged = 0
  }

  #context(error: unknown, stage: Stage, original: Original): PackedHeader[] {
    const { connector, task } = this.#options
    const facts: Record<string, string | undefined> = {
      topic: original.topic,
      partition: original.partition?.toString(),
      offset: original.offset?.toString(),
      'connector.name': connector,
      'task.id': String(task),
      stage,
      'exception.class.name': errorCode(error),
      'exception.message': errorMessage(error),
    }
    return Object.entries(facts)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => ({ key: `__connect.errors.${name}`, value: Buffer.from(value!) }))
  }
}

function describe({ topic, partition, offset }: Original): string {
  if (offset === undefined) return `a record for topic ${topic}`
  return `record ${topic}-${partition}@${offset}`
}
