import { codecById, KtsError, PackedRecords, VarintReader } from '../base/index.ts'
import {
  BATCH_HEADER_BYTES,
  batchBaseOffset,
  batchBaseTimestamp,
  batchCodecId,
  batchCount,
  batchIsLogAppendTime,
  batchMaxTimestamp,
  batchSize,
} from './batch.ts'

/** A record takes 7 bytes at least, so a hostile count cannot make large arrays. */
const RECORD_BYTES_MIN = 7

/**
 * What a batch may unpack to. Kafka limits only the packed size, and producers fill batches by a guess of the ratio, so a
 * small one may honestly hold a lot; beyond that, memory is taken in proportion to what was stored.
 */
const UNPACKED_ALWAYS = 64 << 20
const UNPACKED_RATIO = 64
const UNPACKED_MAX = 512 << 20

export function unpackedBytesMax(packedBytes: number): number {
  return Math.max(UNPACKED_ALWAYS, Math.min(packedBytes * UNPACKED_RATIO, UNPACKED_MAX))
}

/**
 * The records of the batch at `at` as ranges over `bytes` itself, or over what it unpacks to. The checksum is the
 * caller's. Throws CORRUPT_MESSAGE when the records do not parse, UNSUPPORTED_COMPRESSION_TYPE for a codec that Kafka lacks.
 */
export async function batchRecords(bytes: Buffer, at: number): Promise<PackedRecords> {
  const from = at + BATCH_HEADER_BYTES
  const end = at + batchSize(bytes, at)
  const codecId = batchCodecId(bytes, at)
  if (codecId === 0 || from === end) return parseRecords(bytes, at, bytes, from, end)
  const codec = await codecById(codecId)
  const unpacked = await codec.decompress(bytes.subarray(from, end), unpackedBytesMax(end - from))
  return parseRecords(bytes, at, unpacked, 0, unpacked.length)
}

function parseRecords(header: Buffer, at: number, bytes: Buffer, from: number, end: number): PackedRecords {
  const count = batchCount(header, at)
  const baseTimestamp = batchBaseTimestamp(header, at)
  if (count * RECORD_BYTES_MIN > end - from) throw malformed(`${count} records in ${end - from} bytes`)
  const fields = new RecordFields(count)
  const reader = new VarintReader(bytes, from)
  try {
    for (let i = 0; i < count; i++) fields.read(i, reader, end)
  } catch (cause) {
    if (cause instanceof RangeError) throw malformed(cause.message)
    throw cause
  }
  if (reader.position !== end) throw malformed(`${end - reader.position} bytes behind the last record`)
  const timestamps = batchIsLogAppendTime(header, at) ? batchMaxTimestamp(header, at) : fields.timestamps(baseTimestamp)
  return fields.build(bytes, batchBaseOffset(header, at), timestamps)
}

/** Positions of the records of one batch while they are read; arrays that most batches do not need come when needed. */
class RecordFields {
  readonly #count: number
  readonly #valueStarts: Int32Array
  readonly #valueEnds: Int32Array
  #keyStarts: Int32Array | undefined
  #keyEnds: Int32Array | undefined
  #headerStarts: Int32Array | undefined
  #headerEnds: Int32Array | undefined
  #offsetDeltas: Int32Array | undefined
  #timestampDeltas: Float64Array | undefined

  constructor(count: number) {
    this.#count = count
    this.#valueStarts = new Int32Array(count)
    this.#valueEnds = new Int32Array(count)
  }

  /** Throws RangeError for what does not fit in front of `batchEnd`. */
  read(i: number, reader: VarintReader, batchEnd: number): void {
    const bytes = reader.bytes
    const length = readInt(reader)
    const end = reader.position + length
    if (length < RECORD_BYTES_MIN - 1 || end > batchEnd) throw new RangeError(`record ${i} is ${length} bytes long`)
    // Attributes: no bit has a meaning yet.
    reader.position++
    if (bytes[reader.position] === 0) reader.position++
    else this.#timestamp(i, reader.long())
    const offsetDelta = readInt(reader)
    if (offsetDelta !== i || this.#offsetDeltas !== undefined) this.#offset(i, offsetDelta)
    const keySize = readInt(reader)
    if (keySize >= 0) this.#key(i, reader.position, keySize)
    else if (this.#keyStarts !== undefined) this.#keyStarts[i] = -1
    reader.position += Math.max(0, keySize)
    if (reader.position > end) throw new RangeError(`the key of record ${i} is ${keySize} bytes long`)
    const valueSize = readInt(reader)
    const start = reader.position
    this.#valueStarts[i] = valueSize < 0 ? -1 : start
    this.#valueEnds[i] = start + valueSize
    reader.position = start + Math.max(0, valueSize)
    if (reader.position >= end) throw new RangeError(`the value of record ${i} is ${valueSize} bytes long`)
    if (reader.position + 1 < end) this.#headers(i, reader.position, end)
    else if (bytes[reader.position] !== 0) throw new RangeError(`the headers of record ${i} are cut`)
    reader.position = end
  }

  /** One for all, or one for each. */
  timestamps(base: number): number | Float64Array {
    const deltas = this.#timestampDeltas
    if (deltas === undefined) return base
    for (let i = 0; i < deltas.length; i++) deltas[i] = deltas[i]! + base
    return deltas
  }

  build(bytes: Buffer, baseOffset: number, timestamps: number | Float64Array): PackedRecords {
    return new PackedRecords({
      count: this.#count,
      bytes,
      valueStarts: this.#valueStarts,
      valueEnds: this.#valueEnds,
      keyStarts: this.#keyStarts,
      keyEnds: this.#keyEnds,
      headerStarts: this.#headerStarts,
      headerEnds: this.#headerEnds,
      timestamps,
      baseOffset,
      offsetDeltas: this.#offsetDeltas,
    })
  }

  #timestamp(i: number, delta: number): void {
    this.#timestampDeltas ??= new Float64Array(this.#count)
    this.#timestampDeltas[i] = delta
  }

  #offset(i: number, delta: number): void {
    this.#offsetDeltas ??= Int32Array.from({ length: this.#count }, (_, k) => k)
    this.#offsetDeltas[i] = delta
  }

  #key(i: number, start: number, size: number): void {
    if (this.#keyStarts === undefined || this.#keyEnds === undefined) {
      this.#keyStarts = new Int32Array(this.#count).fill(-1)
      this.#keyEnds = new Int32Array(this.#count).fill(-1)
    }
    this.#keyStarts[i] = start
    this.#keyEnds[i] = start + size
  }

  #headers(i: number, start: number, end: number): void {
    if (this.#headerStarts === undefined || this.#headerEnds === undefined) {
      this.#headerStarts = new Int32Array(this.#count).fill(-1)
      this.#headerEnds = new Int32Array(this.#count).fill(-1)
    }
    this.#headerStarts[i] = start
    this.#headerEnds[i] = end
  }
}

/** One and two bytes are nearly all there is. */
function readInt(reader: VarintReader): number {
  const bytes = reader.bytes
  const at = reader.position
  const first = bytes[at]
  if (first === undefined) throw new RangeError('record past the end')
  if (first < 0x80) {
    reader.position = at + 1
    return (first >>> 1) ^ -(first & 1)
  }
  const second = bytes[at + 1]
  if (second !== undefined && second < 0x80) {
    reader.position = at + 2
    const zigzag = (first & 0x7f) | (second << 7)
    return (zigzag >>> 1) ^ -(zigzag & 1)
  }
  return reader.int()
}

function malformed(what: string): KtsError {
  return new KtsError('CORRUPT_MESSAGE', `the records of the batch do not parse: ${what}`)
}
