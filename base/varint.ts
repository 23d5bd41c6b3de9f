/**
 * Zigzag varints as in Kafka's records (and Protocol Buffers): 7 bits a byte, least significant first. Values are
 * `number`; the long forms take any safe integer. Hot loops inline the one- and two-byte cases themselves.
 */

/** Bytes that a 32-bit value takes: 1 to 5. */
export function varintSize(value: number): number {
  const zigzag = ((value << 1) ^ (value >> 31)) >>> 0
  if (zigzag < 0x80) return 1
  if (zigzag < 0x4000) return 2
  if (zigzag < 0x200000) return 3
  return zigzag < 0x10000000 ? 4 : 5
}

/** Writes a 32-bit value; answers the position behind it. */
export function writeVarint(into: Uint8Array, at: number, value: number): number {
  let zigzag = ((value << 1) ^ (value >> 31)) >>> 0
  while (zigzag >= 0x80) {
    into[at++] = (zigzag & 0x7f) | 0x80
    zigzag >>>= 7
  }
  into[at++] = zigzag
  return at
}

// A safe integer's zigzag form may pass 2^53, so the long forms work on its magnitude: zigzag = 2 * magnitude + sign.

/** Bytes that a safe integer takes: 1 to 8. */
export function varlongSize(value: number): number {
  let rest = Math.floor((value >= 0 ? value : -value - 1) / 0x40)
  let size = 1
  while (rest > 0) {
    rest = Math.floor(rest / 0x80)
    size++
  }
  return size
}

/** Writes a safe integer; answers the position behind it. */
export function writeVarlong(into: Uint8Array, at: number, value: number): number {
  if (value >= -0x40000000 && value < 0x40000000) return writeVarint(into, at, value)
  const magnitude = value >= 0 ? value : -value - 1
  let byte = ((magnitude % 0x40) << 1) | (value >= 0 ? 0 : 1)
  for (let rest = Math.floor(magnitude / 0x40); rest > 0; rest = Math.floor(rest / 0x80)) {
    into[at++] = byte | 0x80
    byte = rest % 0x80
  }
  into[at++] = byte
  return at
}

/** Where a reader stands; moved by each read. Throws RangeError past the end and for a varint that is too long. */
export class VarintReader {
  readonly bytes: Uint8Array
  position: number

  constructor(bytes: Uint8Array, position = 0) {
    this.bytes = bytes
    this.position = position
  }

  /** A 32-bit value. */
  int(): number {
    let zigzag = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#next()
      zigzag |= (byte & 0x7f) << shift
      if (byte < 0x80) return (zigzag >>> 1) ^ -(zigzag & 1)
    }
    throw new RangeError('varint longer than 5 bytes')
  }

  /** A 64-bit value that must be a safe integer. */
  long(): number {
    let byte = this.#next()
    const negative = (byte & 1) === 1
    let magnitude = (byte & 0x7f) >> 1
    for (let unit = 0x40, i = 1; i <= 10; unit *= 0x80, i++) {
      if (byte < 0x80) {
        const value = negative ? -magnitude - 1 : magnitude
        if (!Number.isSafeInteger(value)) throw new RangeError('varlong past 2^53')
        return value
      }
      byte = this.#next()
      magnitude += (byte & 0x7f) * unit
    }
    throw new RangeError('varlong longer than 10 bytes')
  }

  #next(): number {
    const byte = this.bytes[this.position++]
    if (byte === undefined) throw new RangeError('varint past the end')
    return byte
  }
}
