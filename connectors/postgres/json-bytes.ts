import { KtsError } from '../../runtime/api/index.ts'

/** JSON text that is being written, in UTF-8. Everything appends; nothing is checked but what each method says. */
export class JsonBytes {
  bytes: Buffer
  length = 0

  constructor(bytes: Buffer | number = 1 << 16) {
    this.bytes = typeof bytes === 'number' ? Buffer.allocUnsafe(Math.max(64, bytes)) : bytes
  }

  /** Room for `size` bytes more behind `length`. Throws RECORD_TOO_LARGE past 2 GiB, more than positions can say. */
  reserve(size: number): void {
    const needed = this.length + size
    if (needed <= this.bytes.length) return
    if (needed > LENGTH_MAX) {
      throw new KtsError('RECORD_TOO_LARGE', `a change takes ${needed} bytes as JSON, expected at most ${LENGTH_MAX}`)
    }
    const larger = Buffer.allocUnsafe(Math.min(LENGTH_MAX, Math.max(this.bytes.length * 2, needed)))
    this.bytes.copy(larger, 0, 0, this.length)
    this.bytes = larger
  }

  /** Bytes as they are: punctuation and names made before, digits from the server. */
  raw(bytes: Uint8Array, start = 0, end = bytes.length): void {
    const size = end - start
    this.reserve(size)
    if (size < COPY_MIN) {
      const into = this.bytes
      let to = this.length
      for (let i = start; i < end; i++) into[to++] = bytes[i]!
      this.length = to
    } else {
      copy(bytes, start, end, this.bytes, this.length)
      this.length += size
    }
  }

  /** ASCII that needs no escape. */
  ascii(text: string): void {
    this.reserve(text.length)
    this.length += this.bytes.write(text, this.length, 'latin1')
  }

  /** JSON text that is at hand as a string. */
  text(json: string): void {
    // 3 bytes are the most that one UTF-16 unit takes in UTF-8.
    this.reserve(json.length * 3)
    this.length += this.bytes.write(json, this.length, 'utf8')
  }

  /** An integer, up to 2^53 in size. */
  integer(value: number): void {
    if (value < 0) {
      this.ascii(String(value))
      return
    }
    this.reserve(DIGITS_MAX)
    const width = digitsOf(value)
    writeDigits(this.bytes, this.length, width, value)
    this.length += width
  }

  /** UTF-8 text, bytes [start, end), as a JSON string. */
  string(bytes: Buffer, start: number, end: number): void {
    const size = end - start
    this.reserve(size + 2)
    const into = this.bytes
    let to = this.length
    into[to++] = QUOTE
    if (size < COPY_MIN) {
      for (let i = start; i < end; i++) {
        const byte = bytes[i]!
        if (ESCAPES[byte] !== 0) {
          this.#escaped(bytes, start, i, end)
          return
        }
        into[to++] = byte
      }
    } else {
      const special = firstSpecial(bytes, start, end)
      if (special < end) {
        this.#escaped(bytes, start, special, end)
        return
      }
      copy(bytes, start, end, into, to)
      to += size
    }
    into[to] = QUOTE
    this.length = to + 1
  }

  /** As `string`, where the byte at `special` is the first that needs an escape. */
  #escaped(bytes: Buffer, start: number, special: number, end: number): void {
    // The longest escape is \u00XX; the last character may be cut short.
    this.reserve((end - start) * 6 + 16)
    const into = this.bytes
    let to = this.length
    into[to++] = QUOTE
    copy(bytes, start, special, into, to)
    to += special - start
    for (let i = special; i < end; i++) {
      const byte = bytes[i]!
      const letter = ESCAPES[byte]!
      if (letter === 0) {
        into[to++] = byte
        continue
      }
      if (byte >= FOUR_BYTES) {
        const point =
          ((byte & 7) << 18) | ((bytes[i + 1]! & 63) << 12) | ((bytes[i + 2]! & 63) << 6) | (bytes[i + 3]! & 63)
        to = writeUnit(into, to, 0xd7c0 + (point >> 10))
        to = writeUnit(into, to, 0xdc00 + (point & 0x3ff))
        i += 3
      } else if (letter === LETTER_U) {
        to = writeUnit(into, to, byte)
      } else {
        into[to++] = BACKSLASH
        into[to++] = letter
      }
    }
    into[to] = QUOTE
    this.length = to + 1
  }
}

/** How many decimal digits `value` takes, an integer of 0 to 2^53. */
export function digitsOf(value: number): number {
  let width = 1
  while (width < DIGITS_MAX && value >= POWERS[width]!) width++
  return width
}

/** The last `width` decimal digits of an integer of 0 to 2^53, with zeros in front. */
export function writeDigits(into: Buffer, at: number, width: number, value: number): void {
  let to = at + width
  let rest = value
  // Division of small integers is several times faster than that of doubles.
  while (rest >= 1e8) {
    const high = Math.floor(rest / 1e8)
    let low = (rest - high * 1e8) | 0
    for (let i = 0; i < 8; i++) {
      const tenth = (low / 10) | 0
      into[--to] = ZERO + low - tenth * 10
      low = tenth
    }
    rest = high
  }
  let low = rest | 0
  while (to > at) {
    const tenth = (low / 10) | 0
    into[--to] = ZERO + low - tenth * 10
    low = tenth
  }
}

function writeUnit(into: Buffer, at: number, unit: number): number {
  into[at] = BACKSLASH
  into[at + 1] = LETTER_U
  for (let i = 0; i < 4; i++) into[at + 2 + i] = HEX[(unit >> (12 - 4 * i)) & 15]!
  return at + 6
}

function copy(from: Uint8Array, start: number, end: number, into: Buffer, at: number): void {
  into.set(from.subarray(start, end), at)
}

function firstSpecial(bytes: Buffer, start: number, end: number): number {
  let i = start
  while (i < end && ESCAPES[bytes[i]!] === 0) i++
  return i
}

const LENGTH_MAX = 2 ** 31 - 1
// Below, a loop is faster than a call that copies.
const COPY_MIN = 24
const DIGITS_MAX = 16
const POWERS: readonly number[] = Array.from({ length: DIGITS_MAX + 1 }, (_, i) => 10 ** i)
const QUOTE = 0x22
const BACKSLASH = 0x5c
const ZERO = 0x30
const LETTER_U = 0x75
// First byte of a character that takes four in UTF-8.
const FOUR_BYTES = 0xf0
// Upper case, as Jackson writes them.
const HEX = Buffer.from('0123456789ABCDEF')

/** What stands behind the backslash for a byte; 0 for a byte that stands for itself. */
const ESCAPES = new Uint8Array(256)
ESCAPES.fill(LETTER_U, 0, 0x20)
// Past U+FFFF Jackson writes two UTF-16 units.
ESCAPES.fill(LETTER_U, FOUR_BYTES)
ESCAPES[QUOTE] = QUOTE
ESCAPES[BACKSLASH] = BACKSLASH
for (const [name, byte] of Object.entries({ b: 8, f: 12, n: 10, r: 13, t: 9 })) ESCAPES[byte] = name.charCodeAt(0)
