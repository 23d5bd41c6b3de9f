import { encodeHeaders } from './headers.ts'
import { type PackedHeader, PackedRecords } from './packed.ts'

/** Builds a PackedRecords record by record, copying into one growing buffer. For what does not lie packed already. */
export class PackedWriter {
  #bytes: Buffer
  #length = 0
  #count = 0
  #capacity = 64
  #valueStarts = new Int32Array(this.#capacity)
  #valueEnds = new Int32Array(this.#capacity)
  #timestamps = new Float64Array(this.#capacity)
  #keyStarts: Int32Array | undefined
  #keyEnds: Int32Array | undefined
  #headerStarts: Int32Array | undefined
  #headerEnds: Int32Array | undefined

  constructor(bytesHint = 4096) {
    this.#bytes = Buffer.allocUnsafe(Math.max(64, bytesHint))
  }

  get count(): number {
    return this.#count
  }

  /** Bytes of keys, values and headers so far. */
  get bytes(): number {
    return this.#length
  }

  /** Adds a record whose parts are at hand. Headers that are absent or empty cost nothing. */
  add(
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: readonly PackedHeader[] | undefined,
    timestamp: number,
  ): void {
    if (key !== null) {
      this.append(key)
      this.endKey()
    }
    if (value !== null) this.append(value)
    this.endRecord(value !== null, headers, timestamp)
  }

  /** Streams bytes of the current record: the key's until `endKey`, then the value's until `endRecord`. */
  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  appendUtf8(text: string): void {
    // 3 bytes are the most that one UTF-16 unit takes in UTF-8.
    this.#reserve(text.length * 3)
    this.#length += this.#bytes.write(text, this.#length, 'utf8')
  }

  /** What was appended since the last record is the key of the current one. */
  endKey(): void {
    this.#grow()
    if (this.#keyStarts === undefined || this.#keyEnds === undefined) {
      this.#keyStarts = new Int32Array(this.#capacity).fill(-1)
      this.#keyEnds = new Int32Array(this.#capacity).fill(-1)
    }
    this.#keyStarts[this.#count] = this.#end
    this.#keyEnds[this.#count] = this.#length
    this.#end = this.#length
  }

  /** What was appended since the key is the value; `hasValue` false makes it null. */
  endRecord(hasValue: boolean, headers: readonly PackedHeader[] | undefined, timestamp: number): void {
    this.#grow()
    this.#valueStarts[this.#count] = hasValue ? this.#end : -1
    this.#valueEnds[this.#count] = this.#length
    this.#timestamps[this.#count] = timestamp
    this.#end = this.#length
    if (headers !== undefined && headers.length > 0) this.#header(encodeHeaders(headers))
    this.#count++
  }

  /** Drops what was appended to a record that turned out bad. */
  discard(): void {
    const before = this.#count === 0 ? 0 : this.#ends()
    this.#length = before
    this.#end = before
    if (this.#keyStarts !== undefined && this.#count < this.#capacity) this.#keyStarts[this.#count] = -1
  }

  /** The records so far, as views; the writer must not be used afterwards. */
  build(): PackedRecords {
    const n = this.#count
    return new PackedRecords({
      count: n,
      bytes: this.#bytes.subarray(0, this.#length),
      valueStarts: this.#valueStarts.subarray(0, n),
      valueEnds: this.#valueEnds.subarray(0, n),
      keyStarts: this.#keyStarts?.subarray(0, n),
      keyEnds: this.#keyEnds?.subarray(0, n),
      headerStarts: this.#headerStarts?.subarray(0, n),
      headerEnds: this.#headerEnds?.subarray(0, n),
      timestamps: this.#timestamps.subarray(0, n),
    })
  }

  /** Where the current part began. */
  #end = 0

  /** End of the last whole record: its headers come last where it has any. */
  #ends(): number {
    const last = this.#count - 1
    const headerEnd = this.#headerEnds?.[last] ?? -1
    return Math.max(this.#valueEnds[last]!, headerEnd)
  }

  #header(block: Buffer): void {
    if (this.#headerStarts === undefined || this.#headerEnds === undefined) {
      this.#headerStarts = new Int32Array(this.#capacity).fill(-1)
      this.#headerEnds = new Int32Array(this.#capacity).fill(-1)
    }
    this.append(block)
    this.#headerStarts[this.#count] = this.#length - block.length
    this.#headerEnds[this.#count] = this.#length
    this.#end = this.#length
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + bytes))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }

  #grow(): void {
    if (this.#count < this.#capacity) return
    this.#capacity *= 2
    const grown = <A extends Int32Array | Float64Array>(array: A, into: A): A => {
      into.set(array)
      return into
    }
    const absent = () => new Int32Array(this.#capacity).fill(-1)
    this.#valueStarts = grown(this.#valueStarts, new Int32Array(this.#capacity))
    this.#valueEnds = grown(this.#valueEnds, new Int32Array(this.#capacity))
    this.#timestamps = grown(this.#timestamps, new Float64Array(this.#capacity))
    if (this.#keyStarts !== undefined) this.#keyStarts = grown(this.#keyStarts, absent())
    if (this.#keyEnds !== undefined) this.#keyEnds = grown(this.#keyEnds, absent())
    if (this.#headerStarts !== undefined) this.#headerStarts = grown(this.#headerStarts, absent())
    if (this.#headerEnds !== undefined) this.#headerEnds = grown(this.#headerEnds, absent())
  }
}

/** Packs records at hand: for tests, tools and internal topics. Timestamps default to -1, "now" to the log. */
export function packRecords(
  records: readonly {
    readonly key?: Uint8Array | string | null
    readonly value?: Uint8Array | string | null
    readonly headers?: readonly PackedHeader[]
    readonly timestamp?: number
  }[],
): PackedRecords {
  const writer = new PackedWriter()
  const bytes = (part: Uint8Array | string | null | undefined) =>
    part === undefined || part === null ? null : typeof part === 'string' ? Buffer.from(part) : part
  for (const r of records) writer.add(bytes(r.key), bytes(r.value), r.headers, r.timestamp ?? -1)
  return writer.build()
}
