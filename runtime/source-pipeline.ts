import {
  type ConnectRecord,
  decodeHeaders,
  errorMessage,
  type Header,
  jsonOf,
  type PackedHeader,
  type PackedPart,
  type PackedRecords,
  PackedWriter,
  parseJson,
  type Schema,
  type SourcePart,
  stringifyJson,
  type Transform,
} from './api/index.ts'
import type { Append } from './append-fitting.ts'
import { type BadRecords, type Original, originalAt, type Stage } from './bad-records.ts'
import type { SourceConfig } from './config/types.ts'
import type { Partitioner } from './partitioner.ts'
import { type TopicConverters, takesPackedJson } from './topic-converters.ts'
import type { Topics } from './topics.ts'

/** Records of one topic on their way, in the order of first appearance. */
interface Outgoing {
  readonly topic: string
  readonly partition: number | undefined
  readonly orderKey: string | undefined
  readonly converters: TopicConverters
  readonly writer: PackedWriter
}

/** One poll's records, ready to append. */
export interface Encoded {
  readonly appends: readonly Append[]
  /** Records that a transform dropped. */
  readonly filtered: number
}

export function countOf(part: SourcePart): number {
  return part.kind === 'packed' ? part.packed.count : part.records.length
}

/** What one poll brought → transforms → converters → partitions. Packed parts nobody needs to look into pass untouched. */
export class SourcePipeline {
  readonly #source: SourceConfig
  readonly #topics: Topics
  readonly #transform: Transform | undefined
  readonly #badRecords: BadRecords
  readonly #partitioner: Partitioner
  readonly #converters = new Map<string, TopicConverters>()
  #filtered = 0

  constructor(parts: {
    source: SourceConfig
    topics: Topics
    transform: Transform | undefined
    badRecords: BadRecords
    partitioner: Partitioner
  }) {
    this.#source = parts.source
    this.#topics = parts.topics
    this.#transform = parts.transform
    this.#badRecords = parts.badRecords
    this.#partitioner = parts.partitioner
  }

  /** Throws for a bad record where the policy is to fail. */
  async encode(parts: readonly SourcePart[]): Promise<Encoded> {
    const appends: Append[] = []
    this.#filtered = 0
    for (const part of parts) {
      if (part.kind === 'packed' && this.#passes(part)) {
        await this.#place(part.packed, part.topic, part.partition, part.orderKey, appends)
        continue
      }
      for (const out of this.#encodeRecords(part)) {
        const records = out.writer.build()
        await this.#place(records, out.topic, out.partition, out.orderKey, appends)
      }
    }
    return { appends, filtered: this.#filtered }
  }

  /** `TaskContext.packsJson`. */
  packsJson(topic: string): boolean {
    return this.#transform === undefined && takesPackedJson(this.#convertersOf(topic))
  }

  #passes({ topic, encoding }: PackedPart): boolean {
    if (encoding === 'json') return this.packsJson(topic)
    return this.#transform === undefined && this.#convertersOf(topic).value.encoding === 'bytes'
  }

  #convertersOf(topic: string): TopicConverters {
    let converters = this.#converters.get(topic)
    if (converters === undefined) {
      converters = this.#topics.forSource(topic, this.#source)
      this.#converters.set(topic, converters)
    }
    return converters
  }

  async #place(
    records: PackedRecords,
    topic: string,
    partition: number | undefined,
    orderKey: string | undefined,
    appends: Append[],
  ): Promise<void> {
    if (records.count === 0) return
    await this.#topics.ensure(topic, this.#source)
    if (partition !== undefined) {
      appends.push({ topic, partition, records })
      return
    }
    for (const split of this.#partitioner.split(records, this.#topics.partitions(topic)!, orderKey)) {
      appends.push({ topic, ...split })
    }
  }

  #encodeRecords(part: SourcePart): Iterable<Outgoing> {
    const outgoing = new Map<string, Outgoing>()
    const count = countOf(part)
    for (let i = 0; i < count; i++) {
      const record = part.kind === 'packed' ? unpack(part.packed, i, part.topic, part.partition) : part.records[i]!
      this.#encodeRecord(record, part, i, outgoing)
    }
    return outgoing.values()
  }

  #encodeRecord(record: ConnectRecord, part: SourcePart, i: number, outgoing: Map<string, Outgoing>): void {
    let stage: Stage = 'TRANSFORMATION'
    let out: Outgoing | undefined
    try {
      if (part.kind === 'packed' && part.encoding === 'json') parseBoth(record)
      const kept = this.#transform === undefined ? record : this.#transform(record)
      if (kept === undefined) {
        this.#filtered++
        return
      }
      out = this.#outgoing(kept, part.orderKey, outgoing)
      stage = 'KEY_CONVERTER'
      const { converters, writer } = out
      if (converters.key.encode(kept.key, kept.keySchema, writer)) writer.endKey()
      stage = 'VALUE_CONVERTER'
      const hasValue = converters.value.encode(kept.value, kept.valueSchema, writer)
      writer.endRecord(hasValue, packHeaders(kept.headers), kept.timestamp ?? -1)
    } catch (error) {
      out?.writer.discard()
      this.#badRecords.take(error, stage, originalOf(part, i, record))
    }
  }

  #outgoing(record: ConnectRecord, orderKey: string | undefined, all: Map<string, Outgoing>): Outgoing {
    const name = record.partition === undefined ? record.topic : `${record.topic} ${record.partition}`
    let out = all.get(name)
    if (out === undefined) {
      const { topic, partition } = record
      out = { topic, partition, orderKey, converters: this.#convertersOf(topic), writer: new PackedWriter(1 << 16) }
      all.set(name, out)
    }
    return out
  }
}

/** Record `i` as an object: key and value are views of the batch. */
export function unpack(packed: PackedRecords, i: number, topic: string, partition: number | undefined): ConnectRecord {
  const timestamp = packed.timestamp(i)
  return {
    topic,
    partition,
    key: packed.key(i),
    keySchema: undefined,
    value: packed.value(i),
    valueSchema: undefined,
    headers: unpackHeaders(packed.headerBlock(i)),
    timestamp: timestamp === -1 ? undefined : timestamp,
  }
}

/** Of a record whose key and value are JSON text: as if it had never been packed. */
function parseBoth(record: ConnectRecord): void {
  record.key = parsed(record.key)
  record.value = parsed(record.value)
}

function parsed(json: unknown): unknown {
  return json instanceof Uint8Array
    ? parseJson(Buffer.from(json.buffer, json.byteOffset, json.length).toString())
    : null
}

export function unpackHeaders(block: Uint8Array | undefined): Header[] | undefined {
  if (block === undefined) return undefined
  return decodeHeaders(block).map(({ key, value }) => ({ key, value, schema: undefined }))
}

/** Headers as Connect's SimpleHeaderConverter writes them: text as it is, anything else as JSON. */
export function packHeaders(headers: readonly Header[] | undefined): PackedHeader[] | undefined {
  return headers?.map(({ key, value, schema }) => ({ key, value: headerBytes(value, schema) }))
}

function headerBytes(value: unknown, schema: Schema | undefined): Uint8Array | null {
  if (value === null || value === undefined) return null
  if (value instanceof Uint8Array) return value
  // A struct without its schema has no names.
  if (schema !== undefined && typeof value === 'object') return Buffer.from(jsonOf(schema, value))
  return Buffer.from(typeof value === 'string' ? value : stringifyJson(value))
}

function originalOf(part: SourcePart, i: number, record: ConnectRecord): Original {
  if (part.kind === 'packed') {
    return originalAt(part.packed, i, { topic: part.topic, partition: part.partition, offset: undefined })
  }
  return {
    topic: record.topic,
    partition: record.partition,
    offset: undefined,
    key: lossy(record.key),
    value: lossy(record.value),
    headers: packHeaders(record.headers) ?? [],
    timestamp: record.timestamp ?? -1,
  }
}

/** The bytes of a value whose converter failed: JSON as far as it goes, else what it says of itself. */
function lossy(value: unknown): Uint8Array | null {
  try {
    return headerBytes(value, undefined)
  } catch (error) {
    return Buffer.from(`${String(value)} (${errorMessage(error)})`)
  }
}
