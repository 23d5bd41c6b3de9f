import { KtsError } from '../base/index.ts'
import { FieldReader } from './fields.ts'
import { ENTRY_HEADER_BYTES } from './journal-file.ts'
import type { StateRecord } from './state-snapshot.ts'

/** Whose bytes they are. */
export interface JournalPlace {
  readonly topic: string
  /** 16 bytes in base64url. */
  readonly topicId: string
  readonly partition: number
}

/** Where bytes lie in a partition's log. */
export interface JournalSpan {
  readonly place: JournalPlace
  /** Names the segment. */
  readonly baseOffset: number
  /** In the segment's file. */
  readonly position: number
  readonly bytes: number
}

export interface JournalRange extends Omit<JournalSpan, 'bytes'> {
  readonly content: Buffer
}

/** What became durable at once. */
export interface JournalEntry {
  readonly ranges: readonly JournalRange[]
  /** Of the transaction log. */
  readonly records: readonly StateRecord[]
}

const COUNTS_BYTES = 8
/** Length of the topic's name, topic id, partition, base offset, position, length. */
const SPAN_BYTES = 2 + 16 + 4 + 8 + 8 + 4
const RECORD_BYTES = 8

/** Of the whole entry. */
export function entryBytes(spans: readonly JournalSpan[], records: readonly StateRecord[]): number {
  let bytes = ENTRY_HEADER_BYTES + COUNTS_BYTES
  for (const { place, bytes: length } of spans) bytes += SPAN_BYTES + place.topic.length + length
  for (const { key, value } of records) bytes += RECORD_BYTES + key.length + value!.length
  return bytes
}

/** Writes all but the header and the bytes of the spans, which follow from the answered position on, one behind the other. */
export function writeEntry(into: Buffer, spans: readonly JournalSpan[], records: readonly StateRecord[]): number {
  let at = into.writeUInt32BE(records.length, into.writeUInt32BE(spans.length, ENTRY_HEADER_BYTES))
  for (const { key, value } of records) {
    at = into.writeUInt32BE(value!.length, into.writeUInt32BE(key.length, at))
    at += key.copy(into, at)
    at += value!.copy(into, at)
  }
  for (const { place, baseOffset, position, bytes } of spans) {
    // The names of topics are ASCII.
    at = into.writeUInt16BE(place.topic.length, at)
    at += into.write(place.topic, at, 'latin1')
    at += into.write(place.topicId, at, 'base64url')
    at = into.writeInt32BE(place.partition, at)
    at = into.writeBigInt64BE(BigInt(baseOffset), at)
    at = into.writeBigInt64BE(BigInt(position), at)
    at = into.writeInt32BE(bytes, at)
  }
  return at
}

/** Throws CORRUPT_MESSAGE. Views of `content`, which is without the header. */
export function readEntry(content: Buffer, place: string): JournalEntry {
  const reader = new FieldReader(content, place)
  const length = () => {
    const value = reader.int32()
    if (value >= 0) return value
    throw new KtsError('CORRUPT_MESSAGE', `${place}: an entry of the commit journal has a length of ${value}`)
  }
  const [spanCount, recordCount] = [length(), length()]
  const records: StateRecord[] = []
  for (let i = 0; i < recordCount; i++) {
    const [key, value] = [length(), length()]
    records.push({ key: reader.raw(key), value: reader.raw(value) })
  }
  const spans: JournalSpan[] = []
  for (let i = 0; i < spanCount; i++) {
    const topic = reader.string()
    const topicId = reader.raw(16).toString('base64url')
    const partition = reader.int32()
    const [baseOffset, position, bytes] = [reader.int64(), reader.int64(), length()]
    spans.push({ place: { topic, topicId, partition }, baseOffset, position, bytes })
  }
  const ranges = spans.map(({ bytes, ...span }) => ({ ...span, content: reader.raw(bytes) }))
  return { ranges, records }
}
