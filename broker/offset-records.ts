import { KtsError } from '../base/index.ts'
import type { GroupOffset } from './port.ts'

/**
 * Records of `__consumer_offsets` in Kafka's encoding (clients' message schemas OffsetCommitKey and OffsetCommitValue).
 * We write key version 1 and value version 3, which every Kafka since 2.1 reads; we read value versions 0 to 4.
 */
export interface OffsetKey {
  readonly group: string
  readonly topic: string
  readonly partition: number
}

export function encodeOffsetKey({ group, topic, partition }: OffsetKey): Buffer {
  const out = Buffer.alloc(2 + 2 + Buffer.byteLength(group) + 2 + Buffer.byteLength(topic) + 4)
  out.writeInt16BE(1, 0)
  const at = writeString(out, 2, group)
  out.writeInt32BE(partition, writeString(out, at, topic))
  return out
}

/** Undefined for the other kinds of records that Kafka keeps in this topic (group metadata, KIP-848 state). */
export function decodeOffsetKey(key: Buffer): OffsetKey | undefined {
  const reader = new FieldReader(key)
  const version = reader.int16()
  if (version !== 0 && version !== 1) return undefined
  return { group: reader.string(), topic: reader.string(), partition: reader.int32() }
}

export function encodeOffsetValue(offset: number, metadata: string, committedAt: number): Buffer {
  const out = Buffer.alloc(2 + 8 + 4 + 2 + Buffer.byteLength(metadata) + 8)
  out.writeInt16BE(3, 0)
  out.writeBigInt64BE(BigInt(offset), 2)
  out.writeInt32BE(-1, 10)
  out.writeBigInt64BE(BigInt(committedAt), writeString(out, 14, metadata))
  return out
}

export function decodeOffsetValue(value: Buffer): Pick<GroupOffset, 'offset' | 'metadata'> {
  const reader = new FieldReader(value)
  const version = reader.int16()
  if (version < 0 || version > 4) {
    throw new KtsError(
      'CORRUPT_MESSAGE',
      `__consumer_offsets: expected an offset value of version 0 to 4, got ${version}; it was written by a newer Kafka`,
    )
  }
  const offset = reader.int64()
  if (version >= 3) reader.int32()
  return { offset, metadata: version === 4 ? reader.compactString() : reader.string() }
}

function writeString(out: Buffer, at: number, text: string): number {
  const length = out.write(text, at + 2, 'utf8')
  // Kafka's string is an int16 length, so anything longer cannot be said.
  if (length > 0x7fff) throw new KtsError('INVALID_CONFIG', `expected at most 32767 bytes of UTF-8, got ${length}`)
  out.writeInt16BE(length, at)
  return at + 2 + length
}

/** Reads fields one after the other and refuses to run past the end. */
class FieldReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#take(2))
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#take(4))
  }

  int64(): number {
    const value = Number(this.#bytes.readBigInt64BE(this.#take(8)))
    if (!Number.isSafeInteger(value)) throw damaged(`${value} is beyond 2^53`)
    return value
  }

  string(): string {
    return this.#text(this.int16())
  }

  /** Length + 1 as an unsigned varint; 0 would be null, which no field here may be. */
  compactString(): string {
    let length = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#bytes.readUInt8(this.#take(1))
      length |= (byte & 0x7f) << shift
      if (byte < 0x80) return this.#text(length - 1)
    }
    throw damaged('a string is longer than 256 MiB')
  }

  #text(length: number): string {
    if (length < 0) throw damaged('a string that must be there is null')
    const start = this.#take(length)
    return this.#bytes.toString('utf8', start, start + length)
  }

  #take(length: number): number {
    const start = this.#at
    if (start + length > this.#bytes.length) throw damaged('a record ends in the middle of a field')
    this.#at += length
    return start
  }
}

function damaged(what: string): KtsError {
  return new KtsError('CORRUPT_MESSAGE', `__consumer_offsets: ${what}`)
}
