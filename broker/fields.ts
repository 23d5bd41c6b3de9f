import { KtsError } from '../base/index.ts'

/**
 * Fields of Kafka's message schemas, one after the other: big-endian integers, strings with an int16 length, and in
 * flexible versions "compact" ones, whose length + 1 is an unsigned varint (0 is null).
 */
export class FieldReader {
  readonly #bytes: Buffer
  /** Named in errors. */
  readonly #place: string
  #at = 0

  constructor(bytes: Buffer, place: string) {
    this.#bytes = bytes
    this.#place = place
  }

  int8(): number {
    return this.#bytes.readInt8(this.#take(1))
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#take(2))
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#take(4))
  }

  int64(): number {
    const value = Number(this.#bytes.readBigInt64BE(this.#take(8)))
    if (!Number.isSafeInteger(value)) throw this.#damaged(`${value} is beyond 2^53`)
    return value
  }

  unsignedVarint(): number {
    let value = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#bytes.readUInt8(this.#take(1))
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    throw this.#damaged('a length is above 256 MiB')
  }

  string(): string {
    return this.#text(this.int16())
  }

  compactString(): string {
    return this.#text(this.unsignedVarint() - 1)
  }

  /** `size` bytes as they are; a view. */
  raw(size: number): Buffer {
    const start = this.#take(size)
    return this.#bytes.subarray(start, start + size)
  }

  /** Tagged fields by tag; views. */
  tagged(): ReadonlyMap<number, Buffer> {
    const fields = new Map<number, Buffer>()
    for (let left = this.unsignedVarint(); left > 0; left--) {
      const tag = this.unsignedVarint()
      fields.set(tag, this.raw(this.unsignedVarint()))
    }
    return fields
  }

  #text(length: number): string {
    if (length < 0) throw this.#damaged('a string that must be there is null')
    return this.raw(length).toString('utf8')
  }

  #take(length: number): number {
    const start = this.#at
    if (start + length > this.#bytes.length) throw this.#damaged('a record ends in the middle of a field')
    this.#at += length
    return start
  }

  #damaged(what: string): KtsError {
    return new KtsError('CORRUPT_MESSAGE', `${this.#place}: ${what}`)
  }
}

/** Writes what FieldReader reads. */
export class FieldWriter {
  #bytes = Buffer.allocUnsafe(128)
  #size = 0

  int8(value: number): this {
    const at = this.#take(1)
    this.#bytes.writeInt8(value, at)
    return this
  }

  int16(value: number): this {
    const at = this.#take(2)
    this.#bytes.writeInt16BE(value, at)
    return this
  }

  int32(value: number): this {
    const at = this.#take(4)
    this.#bytes.writeInt32BE(value, at)
    return this
  }

  /** Of a safe integer: in two halves, since a BigInt for each field of each commit is a good part of its work. */
  int64(value: number): this {
    const at = this.#take(8)
    this.#bytes.writeInt32BE(Math.floor(value / 2 ** 32), at)
    this.#bytes.writeUInt32BE(value >>> 0, at + 4)
    return this
  }

  unsignedVarint(value: number): this {
    for (let rest = value; ; rest >>>= 7) {
      const at = this.#take(1)
      this.#bytes[at] = rest < 0x80 ? rest : (rest & 0x7f) | 0x80
      if (rest < 0x80) return this
    }
  }

  /** Throws INVALID_CONFIG for one that an int16 length cannot say. */
  string(text: string): this {
    const bytes = Buffer.byteLength(text)
    if (bytes > 0x7fff) throw new KtsError('INVALID_CONFIG', `expected at most 32767 bytes of UTF-8, got ${bytes}`)
    return this.int16(bytes).#text(text, bytes)
  }

  compactString(text: string): this {
    const bytes = Buffer.byteLength(text)
    return this.unsignedVarint(bytes + 1).#text(text, bytes)
  }

  /** In order of their tags. */
  tagged(fields: readonly (readonly [tag: number, value: Buffer])[]): this {
    this.unsignedVarint(fields.length)
    for (const [tag, value] of fields) this.unsignedVarint(tag).unsignedVarint(value.length).raw(value)
    return this
  }

  raw(bytes: Buffer): this {
    const at = this.#take(bytes.length)
    bytes.copy(this.#bytes, at)
    return this
  }

  build(): Buffer {
    return this.#bytes.subarray(0, this.#size)
  }

  #text(text: string, bytes: number): this {
    const at = this.#take(bytes)
    this.#bytes.write(text, at)
    return this
  }

  #take(size: number): number {
    const at = this.#size
    this.#size += size
    if (this.#size > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#size))
      this.#bytes.copy(larger, 0, 0, at)
      this.#bytes = larger
    }
    return at
  }
}
