/**
 * Records as ranges over one buffer: how records travel when nobody needs an object per record. A tailer makes one from
 * what it read, the log stores and returns them, a text sink copies the ranges out. Struct of arrays, so the inner loops
 * touch numbers only.
 *
 * Shared arrays and bytes must not be changed after construction.
 */
export class PackedRecords {
  /** Number of records. */
  readonly count: number
  /** Holds every key, value and header block. */
  readonly bytes: Buffer
  /** Value i is `bytes[valueStarts[i], valueEnds[i])`; a start of -1 is null. May be longer than `count`. */
  readonly valueStarts: Int32Array
  readonly valueEnds: Int32Array
  /** Keys likewise; undefined when every key is null. */
  readonly keyStarts: Int32Array | undefined
  readonly keyEnds: Int32Array | undefined
  /**
   * Header blocks in Kafka's record encoding (varint count, then varint-prefixed name and value; a value length of -1 is
   * null); undefined when no record has any.
   */
  readonly headerStarts: Int32Array | undefined
  readonly headerEnds: Int32Array | undefined
  /** Milliseconds since the epoch: one for all, or one for each. -1 is "none". */
  readonly timestamps: number | Float64Array
  /** Offset of record i is `baseOffset + (offsetDeltas?.[i] ?? i)`; -1 before the log has given offsets. */
  readonly baseOffset: number
  /** Undefined where offsets are dense. */
  readonly offsetDeltas: Int32Array | undefined

  constructor(fields: PackedFields) {
    this.count = fields.count
    this.bytes = fields.bytes
    this.valueStarts = fields.valueStarts
    this.valueEnds = fields.valueEnds
    this.keyStarts = fields.keyStarts
    this.keyEnds = fields.keyEnds
    this.headerStarts = fields.headerStarts
    this.headerEnds = fields.headerEnds
    this.timestamps = fields.timestamps
    this.baseOffset = fields.baseOffset ?? -1
    this.offsetDeltas = fields.offsetDeltas
  }

  /** A view, not a copy. */
  value(i: number): Buffer | null {
    const start = this.valueStarts[i]!
    return start < 0 ? null : this.bytes.subarray(start, this.valueEnds[i])
  }

  /** A view, not a copy. */
  key(i: number): Buffer | null {
    if (this.keyStarts === undefined) return null
    const start = this.keyStarts[i]!
    return start < 0 ? null : this.bytes.subarray(start, this.keyEnds![i])
  }

  /** The header block in Kafka's encoding, or undefined when there is none. A view, not a copy. */
  headerBlock(i: number): Buffer | undefined {
    if (this.headerStarts === undefined) return undefined
    const start = this.headerStarts[i]!
    return start < 0 ? undefined : this.bytes.subarray(start, this.headerEnds![i])
  }

  timestamp(i: number): number {
    return typeof this.timestamps === 'number' ? this.timestamps : this.timestamps[i]!
  }

  offset(i: number): number {
    return this.baseOffset + (this.offsetDeltas === undefined ? i : this.offsetDeltas[i]!)
  }

  /** Bytes of keys, values and headers together: the measure of every bound on memory. */
  get size(): number {
    if (this.#size < 0) this.#size = this.#sum()
    return this.#size
  }

  /** Records [from, to) over the same bytes. */
  slice(from: number, to: number): PackedRecords {
    if (from === 0 && to === this.count) return this
    return new PackedRecords({
      count: to - from,
      bytes: this.bytes,
      valueStarts: this.valueStarts.subarray(from, to),
      valueEnds: this.valueEnds.subarray(from, to),
      keyStarts: this.keyStarts?.subarray(from, to),
      keyEnds: this.keyEnds?.subarray(from, to),
      headerStarts: this.headerStarts?.subarray(from, to),
      headerEnds: this.headerEnds?.subarray(from, to),
      timestamps: typeof this.timestamps === 'number' ? this.timestamps : this.timestamps.subarray(from, to),
      baseOffset: this.baseOffset < 0 || this.offsetDeltas !== undefined ? this.baseOffset : this.baseOffset + from,
      offsetDeltas: this.offsetDeltas?.subarray(from, to),
    })
  }

  #size = -1

  #sum(): number {
    let size = 0
    for (let i = 0; i < this.count; i++) {
      if (this.valueStarts[i]! >= 0) size += this.valueEnds[i]! - this.valueStarts[i]!
      if (this.keyStarts !== undefined && this.keyStarts[i]! >= 0) size += this.keyEnds![i]! - this.keyStarts[i]!
      if (this.headerStarts !== undefined && this.headerStarts[i]! >= 0) {
        size += this.headerEnds![i]! - this.headerStarts[i]!
      }
    }
    return size
  }
}

export interface PackedFields {
  readonly count: number
  readonly bytes: Buffer
  readonly valueStarts: Int32Array
  readonly valueEnds: Int32Array
  readonly keyStarts?: Int32Array | undefined
  readonly keyEnds?: Int32Array | undefined
  readonly headerStarts?: Int32Array | undefined
  readonly headerEnds?: Int32Array | undefined
  readonly timestamps: number | Float64Array
  readonly baseOffset?: number
  readonly offsetDeltas?: Int32Array | undefined
}

/** One header of a record; duplicates of a name are allowed and their order is kept. */
export interface PackedHeader {
  readonly key: string
  readonly value: Uint8Array | null
}
