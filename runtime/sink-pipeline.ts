import type { LogRecords } from '../broker/index.ts'
import type { PackedRecords, SinkBatch, SinkRecord, Transform } from './api/index.ts'
import { type BadRecords, type Original, originalAt, type Stage } from './bad-records.ts'
import type { ConnectorCounters } from './counters.ts'
import { unpackHeaders } from './source-pipeline.ts'
import type { TopicConverters } from './topics.ts'

/** A batch that knows, after the put, how many of its records the task took. */
export interface CountedBatch extends SinkBatch {
  taken(): number
}

/** Log records → converters → transforms, as the batches a sink task takes. Without transforms nothing is decoded. */
export class SinkPipeline {
  readonly #transform: Transform | undefined
  readonly #badRecords: BadRecords
  readonly #counters: ConnectorCounters

  constructor(parts: { transform: Transform | undefined; badRecords: BadRecords; counters: ConnectorCounters }) {
    this.#transform = parts.transform
    this.#badRecords = parts.badRecords
    this.#counters = parts.counters
  }

  batch(read: LogRecords, converters: TopicConverters): CountedBatch {
    this.#counters.recordsRead += read.records.count
    this.#counters.bytesRead += read.records.size
    if (this.#transform === undefined) return new LogBatch(read, converters, () => this.#decode(read, converters))
    const records = this.#decode(read, converters)
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
    }
  }

  /** Records that convert and pass the transforms; the others are left to the policy for bad records. */
  #decode(read: LogRecords, converters: TopicConverters): SinkRecord[] {
    const kept: SinkRecord[] = []
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
        if (out === undefined) this.#counters.recordsFiltered++
        else kept.push(out)
      } catch (error) {
        this.#badRecords.take(error, stage, originalOf(read, i))
      }
    }
    return kept
  }
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
  readonly #decode: () => SinkRecord[]
  #records: readonly SinkRecord[] | undefined

  constructor(read: LogRecords, converters: TopicConverters, decode: () => SinkRecord[]) {
    this.topic = read.topic
    this.partition = read.partition
    this.count = read.records.count
    this.packed = read.records
    this.encoding = converters.value.encoding
    this.nextOffset = read.nextOffset
    this.#decode = decode
  }

  records(): readonly SinkRecord[] {
    this.#records ??= this.#decode()
    return this.#records
  }

  taken(): number {
    return this.#records?.length ?? this.count
  }
}
