import {
  BufferPool,
  type Clock,
  type ConnectRecord,
  PackedRecords,
  type SourcePart,
} from '../../../runtime/api/index.ts'
import { JsonBytes } from '../json-bytes.ts'

// A batch is about a megabyte, of the stream half of it; room for the change that goes past it. Several small ones share a buffer.
const BUFFER_BYTES = 3 << 19
// As many as a source may have under way (source.buffer.bytes, and as much in a commit): memory that is not used again is
// paid for in collections.
const BUFFERS_FREE_MAX = 20
/**
 * What the log takes at once, with room for the event that goes past it: of more the log makes a batch and a small one that
 * costs it nearly as much.
 */
const FULL_BYTES = 1008 << 10
/** Of a record in the log, beside key, value and headers: about. */
const RECORD_BYTES = 16
const FULL_RECORDS = 20_000

/**
 * Events of one poll, by topic in the order of their making. Packed ones lie in one buffer for all topics, with the
 * positions of each topic apart. The batch is used again after `take`.
 */
export class EventBatch {
  readonly #pool = new BufferPool(BUFFER_BYTES, BUFFERS_FREE_MAX)
  readonly #lanes = new Map<string, PackedLane | RecordLane>()
  /** Those that hold something, in the order in which they were begun. */
  readonly #used: (PackedLane | RecordLane)[] = []
  #json = new JsonBytes(this.#pool.take())
  /** Where the batch begins in `json`: others may lie before. */
  #from = 0
  /** Packed parts of a buffer that were taken and not given back. */
  readonly #out = new WeakMap<ArrayBufferLike, number>()
  #headersAt = -1
  #recordBytes = 0
  #count = 0
  #now: number | undefined

  /** What the events take in the log, about, before compression. */
  get bytes(): number {
    return this.#json.length - this.#from + this.#recordBytes
  }

  get count(): number {
    return this.#count
  }

  /** Enough for one poll. */
  get full(): boolean {
    return this.#loggedBytes >= FULL_BYTES || this.#count >= FULL_RECORDS
  }

  /**
   * Enough for one poll of a stream: while the log encodes a batch nobody looks at the socket, and a unix socket holds no
   * more than half a millisecond of small changes.
   */
  get halfFull(): boolean {
    return this.#loggedBytes >= FULL_BYTES / 2 || this.#count >= FULL_RECORDS / 2
  }

  get #loggedBytes(): number {
    return this.bytes + this.#count * RECORD_BYTES
  }

  /** When the events of the batch are made, in milliseconds since 1970: of all of them when the first one is. */
  now(clock: Clock): number {
    this.#now ??= clock.now()
    return this.#now
  }

  /** Where packed keys and values are written to. */
  get json(): JsonBytes {
    return this.#json
  }

  /** Packed events of a topic; of an order key, one part each. */
  packed(topic: string, orderKey: string | undefined): PackedLane {
    const name = `p ${topic} ${orderKey ?? ''}`
    let lane = this.#lanes.get(name) as PackedLane | undefined
    if (lane === undefined) {
      lane = new PackedLane(this, topic, orderKey)
      this.#lanes.set(name, lane)
    }
    return lane
  }

  /** Events of a topic as records. */
  records(topic: string, orderKey: string | undefined): RecordLane {
    const name = `r ${topic} ${orderKey ?? ''}`
    let lane = this.#lanes.get(name) as RecordLane | undefined
    if (lane === undefined) {
      lane = new RecordLane(this, orderKey)
      this.#lanes.set(name, lane)
    }
    return lane
  }

  /** Where the block of headers lies that most packed events of a task share; written once for each buffer. */
  sharedHeaders(block: Buffer): number {
    if (this.#headersAt < 0) {
      this.#headersAt = this.#json.length
      this.#json.raw(block)
    }
    return this.#headersAt
  }

  /** Everything so far; the batch is empty afterwards. */
  take(): SourcePart[] {
    const bytes = this.#json.bytes.subarray(0, this.#json.length)
    const parts = this.#used.map(lane => lane.take(bytes))
    for (const part of parts) if (part.kind === 'packed') this.#partsOut(bytes, 1)
    this.#used.length = 0
    this.#from = this.#json.length
    this.#recordBytes = 0
    this.#count = 0
    this.#now = undefined
    if (this.#json.bytes.length !== BUFFER_BYTES || this.#from > BUFFER_BYTES - FULL_BYTES) this.#nextBuffer()
    return parts
  }

  /** Parts that `take` answered are durable or given up: their memory is used for later batches. */
  giveBack(parts: readonly SourcePart[]): void {
    for (const part of parts) {
      if (part.kind !== 'packed') continue
      const { bytes } = part.packed
      if (this.#partsOut(bytes, -1) === 0 && bytes.buffer !== this.#json.bytes.buffer) this.#pool.give(bytes)
    }
  }

  #nextBuffer(): void {
    const { bytes } = this.#json
    this.#json = new JsonBytes(this.#pool.take())
    this.#from = 0
    this.#headersAt = -1
    if (this.#partsOut(bytes, 0) === 0) this.#pool.give(bytes)
  }

  #partsOut({ buffer }: Buffer, by: number): number {
    const out = (this.#out.get(buffer) ?? 0) + by
    this.#out.set(buffer, out)
    return out
  }

  /** For lanes: one more event; its bytes, where they do not lie in `json`. */
  added(lane: PackedLane | RecordLane, bytes: number): void {
    if (lane.count === 0) this.#used.push(lane)
    this.#count++
    this.#recordBytes += bytes
  }
}

/** Packed events of one topic in a batch, as positions in its buffer. */
export class PackedLane {
  readonly #batch: EventBatch
  readonly #topic: string
  readonly #orderKey: string | undefined
  #count = 0
  #capacity = 64
  #keyStarts = new Int32Array(this.#capacity)
  #keyEnds = new Int32Array(this.#capacity)
  #valueStarts = new Int32Array(this.#capacity)
  #valueEnds = new Int32Array(this.#capacity)
  #headerStarts = new Int32Array(this.#capacity)
  #headerEnds = new Int32Array(this.#capacity)

  constructor(batch: EventBatch, topic: string, orderKey: string | undefined) {
    this.#batch = batch
    this.#topic = topic
    this.#orderKey = orderKey
  }

  get count(): number {
    return this.#count
  }

  /** One event whose parts are written; a start of -1 is null, or no headers. */
  add(
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
    headerStart: number,
    headerEnd: number,
  ): void {
    // Headers are shared, but the log writes them with each record.
    this.#batch.added(this, headerEnd - headerStart)
    if (this.#count === this.#capacity) this.#grow()
    const i = this.#count++
    this.#keyStarts[i] = keyStart
    this.#keyEnds[i] = keyEnd
    this.#valueStarts[i] = valueStart
    this.#valueEnds[i] = valueEnd
    this.#headerStarts[i] = headerStart
    this.#headerEnds[i] = headerEnd
  }

  /** Key and headers of the event that was added last, without value. */
  addTombstone(): void {
    const last = this.#count - 1
    const value = -1
    this.add(
      this.#keyStarts[last]!,
      this.#keyEnds[last]!,
      value,
      value,
      this.#headerStarts[last]!,
      this.#headerEnds[last]!,
    )
  }

  take(bytes: Buffer): SourcePart {
    const count = this.#count
    this.#count = 0
    const packed = new PackedRecords({
      count,
      bytes,
      keyStarts: this.#keyStarts.slice(0, count),
      keyEnds: this.#keyEnds.slice(0, count),
      valueStarts: this.#valueStarts.slice(0, count),
      valueEnds: this.#valueEnds.slice(0, count),
      headerStarts: this.#headerStarts.slice(0, count),
      headerEnds: this.#headerEnds.slice(0, count),
      timestamps: -1,
    })
    return { kind: 'packed', topic: this.#topic, orderKey: this.#orderKey, encoding: 'json', packed }
  }

  #grow(): void {
    this.#capacity *= 2
    const grown = (array: Int32Array) => {
      const larger = new Int32Array(this.#capacity)
      larger.set(array)
      return larger
    }
    this.#keyStarts = grown(this.#keyStarts)
    this.#keyEnds = grown(this.#keyEnds)
    this.#valueStarts = grown(this.#valueStarts)
    this.#valueEnds = grown(this.#valueEnds)
    this.#headerStarts = grown(this.#headerStarts)
    this.#headerEnds = grown(this.#headerEnds)
  }
}

/** Events of one topic in a batch, as records. */
export class RecordLane {
  readonly #batch: EventBatch
  readonly #orderKey: string | undefined
  #records: ConnectRecord[] = []

  constructor(batch: EventBatch, orderKey: string | undefined) {
    this.#batch = batch
    this.#orderKey = orderKey
  }

  get count(): number {
    return this.#records.length
  }

  /** `bytes`: about what it takes in the log. */
  add(record: ConnectRecord, bytes: number): void {
    this.#batch.added(this, bytes)
    this.#records.push(record)
  }

  take(): SourcePart {
    const records = this.#records
    this.#records = []
    return { kind: 'records', orderKey: this.#orderKey, records }
  }
}
