import type { LogRecords } from '../broker/index.ts'
import type { PackedRecords, SinkBatch, SinkRecord, Transform } from './api/index.ts'
import { type Original, originalAt, type Stage } from './bad-records.ts'
import { unpackHeaders } from './source-pipeline.ts'
import type { TopicConverters } from './topic-converters.ts'

/** Hears of a record that a stage cannot take; throws when it must fail the task. */
export type OnBad = (error: unknown, stage: Stage, read: LogRecords, record: number) => void

/** A batch that knows, after the put, what became of its records. */
export interface CountedBatch extends SinkBatch {
  /** Handed to the task. */
  taken(): number
  /** Dropped by a transform. */
  filtered(): number
  /** Behind the last record that was handed to the task; behind it lie only bad and filtered ones, markers and gaps. */
  end(): number
}

interface Decoded {
  readonly records: readonly SinkRecord[]
  readonly filtered: number
}

/** Log records → converters → transforms, as the batches a sink task takes. Without transforms nothing is decoded. */
export class SinkPipeline {
  readonly #transform: Transform | undefined

  constructor(transform: Transform | undefined) {
    this.#transform = transform
  }

  batch(read: LogRecords, converters: TopicConverters, onBad: OnBad): CountedBatch {
    const decode = () => this.#decode(read, converters, onBad)
    if (this.#transform === undefined) return new LogBatch(read, converters, decode)
    const { records, filtered } = decode()
    const { topic, partition, nextOffset } = read
    const count = records.length
    return {
      topic,
      partition,
      nextOffset,
      count,
      packed: undefined,
      encoding: 'other',
      records: () => records,
      taken: () => count,
      filtered: () => filtered,
      end: () => endOf(records),
    }
  }

  /** Records that convert and pass the transforms; the others are left to the policy for bad records. */
  #decode(read: LogRecords, converters: TopicConverters, onBad: OnBad): Decoded {
    const kept: SinkRecord[] = []
    let filtered = 0
    const { records } = read
    for (let i = 0; i < records.count; i++) {
      let stage: Stage = 'KEY_CONVERTER'
      try {
        const key = converters.key.decode(records.key(i))
        stage = 'VALUE_CONVERTER'
        const value = converters.value.decode(records.value(i))
        const timestamp = records.timestamp(i)
        const record: SinkRecord = {
          topic: read.topic,
          partition: read.partition,
          key: key.value,
          keySchema: key.schema,
          value: value.value,
          valueSchema: value.schema,
          headers: unpackHeaders(records.headerBlock(i)),
          timestamp: timestamp === -1 ? undefined : timestamp,
          origin: { topic: read.topic, partition: read.partition, offset: records.offset(i) },
        }
        stage = 'TRANSFORMATION'
        const out = this.#transform === undefined ? record : this.#transform(record)
        if (out === undefined) filtered++
        else kept.push(out)
      } catch (error) {
        onBad(error, stage, read, i)
      }
    }
    return { records: kept, filtered }
  }
}

function endOf(records: readonly SinkRecord[]): number {
  return (records.at(-1)?.origin.offset ?? -1) + 1
}

/** The record as it lies in the log, for a dead letter. */
export function originalOf({ records, topic, partition }: LogRecords, i: number): Original {
  return originalAt(records, i, { topic, partition, offset: records.offset(i) })
}

/** Packed until a task asks for records. */
class LogBatch implements CountedBatch {
  readonly topic: string
  readonly partition: number
  readonly count: number
  readonly packed: PackedRecords
  readonly encoding: SinkBatch['encoding']
  readonly nextOffset: number
  readonly #decode: () => Decoded
  #decoded: Decoded | undefined

  constructor(read: LogRecords, converters: TopicConverters, decode: () => Decoded) {
    this.topic = read.topic
    this.partition = read.partition
    this.count = read.records.count
    this.packed = read.records
    this.encoding = converters.value.encoding
    this.nextOffset = read.nextOffset
    this.#decode = decode
  }

  records(): readonly SinkRecord[] {
    this.#decoded ??= this.#decode()
    return this.#decoded.records
  }

  taken(): number {
    return this.#decoded?.records.length ?? this.count
  }

  filtered(): number {
    return this.#decoded?.filtered ?? 0
  }

  end(): number {
    return this.#decoded === undefined ? this.packed.offset(this.count - 1) + 1 : endOf(this.#decoded.records)
  }
}
