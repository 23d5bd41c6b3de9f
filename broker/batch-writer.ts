import { type Codec, KtsError, type PackedRecords, varintSize, varlongSize, writeVarlong } from '../base/index.ts'
import { BATCH_HEADER_BYTES, type BatchProducer, writeBatchHeader } from './batch.ts'

/** Length varint, attributes, timestamp delta, offset delta, key and value length at their longest. */
const RECORD_OVERHEAD_MAX = 5 + 1 + 10 + 5 + 5 + 5

/** Below this a loop is quicker than the call of `copy`. */
const COPY_BY_LOOP_MAX = 24

export interface EncodedBatch {
  /** To be written one after the other; views of the writer's buffer, valid until its next use. */
  readonly buffers: readonly Uint8Array[]
  readonly bytes: number
  readonly count: number
  readonly maxTimestamp: number
}

/**
 * Builds one batch at a time in a buffer that is used again and again: `start`, `add` until something is left over,
 * `finish`. One pass, nothing allocated per record.
 */
export class BatchWriter {
  #bytes: Buffer
  #at = BATCH_HEADER_BYTES
  #limit = 0
  #count = 0
  #baseTimestamp = -1
  #maxTimestamp = -1
  #now = 0

  /** `bytes` is the buffer to build in; a record too large for it gets one of its own. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get count(): number {
    return this.#count
  }

  /** Begins a batch of at most `sizeMax` bytes before compression. `now` stands in for timestamps of -1. */
  start(sizeMax: number, now: number): void {
    this.#limit = Math.min(sizeMax, this.#bytes.length)
    this.#at = BATCH_HEADER_BYTES
    this.#count = 0
    this.#maxTimestamp = -1
    this.#now = now
  }

  /**
   * Adds records from `from` on while they fit, and answers the first that did not (`records.count` when all did). The
   * first record of a batch always fits.
   */
  add(records: PackedRecords, from: number): number {
    const { valueStarts, valueEnds, keyStarts, keyEnds, headerStarts, headerEnds, timestamps } = records
    const source = records.bytes
    // Once for all: to ask a Buffer for it costs as much as a small copy.
    const memory = source.buffer
    let into = this.#bytes
    let at = this.#at
    // Headers are often one block for all: then those of the record before are copied.
    let lastHeaders = -1
    let lastHeadersAt = 0
    let lastHeadersSize = 0
    let i = from
    for (; i < records.count; i++) {
      const keyStart = keyStarts === undefined ? -1 : keyStarts[i]!
      const keySize = keyStart < 0 ? 0 : keyEnds![i]! - keyStart
      const valueStart = valueStarts[i]!
      const valueSize = valueStart < 0 ? 0 : valueEnds[i]! - valueStart
      const headerStart = headerStarts === undefined ? -1 : headerStarts[i]!
      const headerSize = headerStart < 0 ? 1 : headerEnds![i]! - headerStart
      let timestamp = typeof timestamps === 'number' ? timestamps : timestamps[i]!
      if (timestamp === -1) timestamp = this.#now
      if (this.#count === 0) {
        into = this.#roomFor(RECORD_OVERHEAD_MAX + keySize + valueSize + headerSize)
        this.#baseTimestamp = timestamp
      }
      const delta = timestamp - this.#baseTimestamp
      const keyVarint = keyStart < 0 ? 1 : varintSize(keySize)
      const valueVarint = valueStart < 0 ? 1 : varintSize(valueSize)
      const head = 1 + (delta === 0 ? 1 : varlongSize(delta)) + varintSize(this.#count) + keyVarint + valueVarint
      const length = head + keySize + valueSize + headerSize
      if (this.#count > 0 && at + varintSize(length) + length > this.#limit) break
      at = putLength(into, at, length)
      into[at++] = 0
      if (delta === 0) into[at++] = 0
      else at = writeVarlong(into, at, delta)
      at = putLength(into, at, this.#count)
      if (keyStart < 0) into[at++] = 1
      else {
        at = putLength(into, at, keySize)
        at = put(into, at, source, memory, keyStart, keySize)
      }
      if (valueStart < 0) into[at++] = 1
      else {
        at = putLength(into, at, valueSize)
        at = put(into, at, source, memory, valueStart, valueSize)
      }
      if (headerStart < 0) into[at++] = 0
      else {
        if (headerStart === lastHeaders && headerSize === lastHeadersSize) {
          into.copyWithin(at, lastHeadersAt, lastHeadersAt + headerSize)
        } else put(into, at, source, memory, headerStart, headerSize)
        lastHeaders = headerStart
        lastHeadersSize = headerSize
        lastHeadersAt = at
        at += headerSize
      }
      if (timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp
      this.#count++
    }
    this.#at = at
    return i
  }

  /** Completes the batch. With `appendTime` every record's time is that (Kafka keeps the writer's deltas beneath it). */
  async finish(
    baseOffset: number,
    leaderEpoch: number,
    codec: Codec,
    appendTime?: number,
    producer?: BatchProducer,
  ): Promise<EncodedBatch> {
    const maxTimestamp = appendTime ?? this.#maxTimestamp
    const header = {
      baseOffset,
      leaderEpoch,
      codecId: codec.id,
      logAppendTime: appendTime !== undefined,
      baseTimestamp: this.#baseTimestamp,
      maxTimestamp,
      count: this.#count,
      producer,
    }
    const bytes = this.#bytes
    const size = this.#at
    if (codec.id === 0) {
      writeBatchHeader(bytes, 0, header, size - BATCH_HEADER_BYTES)
      return { buffers: [bytes.subarray(0, size)], bytes: size, count: this.#count, maxTimestamp }
    }
    const packed = await codec.compress(bytes.subarray(BATCH_HEADER_BYTES, size))
    writeBatchHeader(bytes, 0, header, 0, packed)
    const buffers = [bytes.subarray(0, BATCH_HEADER_BYTES), packed]
    return { buffers, bytes: BATCH_HEADER_BYTES + packed.length, count: this.#count, maxTimestamp }
  }

  #roomFor(firstRecordSize: number): Buffer {
    const size = BATCH_HEADER_BYTES + firstRecordSize
    if (size > this.#bytes.length) this.#bytes = Buffer.allocUnsafeSlow(size)
    return this.#bytes
  }
}

/** Zigzag varint of a length, which is never negative. */
function putLength(into: Buffer, at: number, length: number): number {
  if (length < 0x40) {
    into[at] = length << 1
    return at + 1
  }
  if (length < 0x2000) {
    into[at] = ((length << 1) & 0x7f) | 0x80
    into[at + 1] = length >> 6
    return at + 2
  }
  return writeVarlong(into, at, length)
}

function put(into: Buffer, at: number, source: Buffer, memory: ArrayBufferLike, start: number, size: number): number {
  if (size > COPY_BY_LOOP_MAX) into.set(new Uint8Array(memory, source.byteOffset + start, size), at)
  else for (let i = 0; i < size; i++) into[at + i] = source[start + i]!
  return at + size
}

/** Rejects records that alone would make a batch of more than `sizeMax` bytes before compression. */
export function checkRecordSizes(records: PackedRecords, sizeMax: number, place: string): void {
  const overhead = BATCH_HEADER_BYTES + RECORD_OVERHEAD_MAX + 1
  if (records.size + overhead <= sizeMax) return
  for (let i = 0; i < records.count; i++) {
    const size = recordBatchSize(records, i)
    if (size <= sizeMax) continue
    throw new KtsError(
      'MESSAGE_TOO_LARGE',
      `${place}: record ${i} of the batch makes ${size} bytes, more than max.message.bytes ${sizeMax}; raise it or send the record to a dead-letter topic`,
      { details: { record: i, bytes: size, maxMessageBytes: sizeMax } },
    )
  }
}

/** Bytes of a batch that holds record `i` alone. */
function recordBatchSize(records: PackedRecords, i: number): number {
  const keyStart = records.keyStarts?.[i] ?? -1
  const keySize = keyStart < 0 ? 0 : records.keyEnds![i]! - keyStart
  const valueStart = records.valueStarts[i]!
  const valueSize = valueStart < 0 ? 0 : records.valueEnds[i]! - valueStart
  const headerStart = records.headerStarts?.[i] ?? -1
  const headerSize = headerStart < 0 ? 1 : records.headerEnds![i]! - headerStart
  // Attributes, timestamp delta 0 and offset delta 0 take a byte each.
  const length = 3 + varintSize(keySize) + keySize + varintSize(valueSize) + valueSize + headerSize
  return BATCH_HEADER_BYTES + varintSize(length) + length
}
