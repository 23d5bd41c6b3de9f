import { KtsError } from '../../runtime/api/index.ts'

/**
 * JSON text that is written again and again, to be copied eight bytes at a time, as floating-point numbers. None is a NaN,
 * whose bits might not come through: that takes a byte from 0xF0 on, and JSON text as it is written here has none.
 */
export class Piece {
  /** In bytes. */
  readonly length: number
  readonly words: Float64Array

  constructor(json: string) {
    this.length = Buffer.byteLength(json)
    const padded = Buffer.alloc((this.length + 7) & ~7)
    padded.write(json)
    if (padded.some(byte => byte >= FOUR_BYTES))
      throw new RangeError(`expected what is past U+FFFF as escapes, got ${json}`)
    this.words = Float64Array.from({ length: padded.length / 8 }, (_, i) => padded.readDoubleLE(i * 8))
  }
}

/** JSON text that is being written, in UTF-8. Everything appends; nothing is checked but what each method says. */
export class JsonBytes {
  length = 0
  #bytes: Buffer
  #view: DataView
  /** The buffer that texts came from last: mostly they lie in one for long. */
  #from: Buffer = NOTHING
  #fromView = viewOf(NOTHING)

  constructor(bytes: Buffer | number = 1 << 16) {
    this.#bytes = typeof bytes === 'number' ? Buffer.allocUnsafe(Math.max(64, bytes)) : bytes
    this.#view = viewOf(this.#bytes)
  }

  /** Holds the text up to `length`; another one after `reserve`. */
  get bytes(): Buffer {
    return this.#bytes
  }

  /** Room for `size` bytes more behind `length`. Throws RECORD_TOO_LARGE past 2 GiB, more than positions can say. */
  reserve(size: number): void {
    const needed = this.length + size
    if (needed <= this.#bytes.length) return
    if (needed > LENGTH_MAX) {
      throw new KtsError('RECORD_TOO_LARGE', `a change takes ${needed} bytes as JSON, expected at most ${LENGTH_MAX}`)
    }
    const larger = Buffer.allocUnsafe(Math.min(LENGTH_MAX, Math.max(this.#bytes.length * 2, needed)))
    this.#bytes.copy(larger, 0, 0, this.length)
    this.#bytes = larger
    this.#view = viewOf(larger)
  }

  /** Punctuation and names made before. */
  piece({ length, words }: Piece): void {
    this.reserve(length + 7)
    const view = this.#view
    let to = this.length
    for (let i = 0; i < words.length; i++) {
      view.setFloat64(to, words[i]!, true)
      to += 8
    }
    this.length += length
  }

  /** Bytes as they are, such as digits from the server. For a constant a `piece` is faster. */
  raw(bytes: Buffer, start = 0, end = bytes.length): void {
    const size = end - start
    this.reserve(size)
    if (size >= COPY_MIN) copy(bytes, start, end, this.#bytes, this.length)
    else if (size >= 4) this.#words(bytes, start, end)
    else {
      const into = this.#bytes
      let to = this.length
      for (let i = start; i < end; i++) into[to++] = bytes[i]!
    }
    this.length += size
  }

  /** Copies four bytes at a time, at least four; the last four overlap those before. */
  #words(bytes: Buffer, start: number, end: number): void {
    const from = this.#viewFrom(bytes)
    const into = this.#view
    const shift = this.length - start
    const last = end - 4
    for (let i = start; i < last; i += 4) into.setInt32(i + shift, from.getInt32(i, true), true)
    into.setInt32(last + shift, from.getInt32(last, true), true)
  }

  #viewFrom(bytes: Buffer): DataView {
    if (this.#from !== bytes) {
      this.#from = bytes
      this.#fromView = viewOf(bytes)
    }
    return this.#fromView
  }

  /** ASCII that needs no escape. */
  ascii(text: string): void {
    this.reserve(text.length)
    this.length += this.#bytes.write(text, this.length, 'latin1')
  }

  /** JSON text that is at hand as a string. */
  text(json: string): void {
    // 3 bytes are the most that one UTF-16 unit takes in UTF-8.
    this.reserve(json.length * 3)
    this.length += this.#bytes.write(json, this.length, 'utf8')
  }

  /** An integer, up to 2^53 in size. */
  integer(value: number): void {
    if (value < 0) {
      this.ascii(String(value))
      return
    }
    this.reserve(DIGITS_MAX)
    const width = digitsOf(value)
    writeDigits(this.#bytes, this.length, width, value)
    this.length += width
  }

  /** UTF-8 text, bytes [start, end), as a JSON string. */
  string(bytes: Buffer, start: number, end: number): void {
    this.reserve(end - start + 2)
    const into = this.#bytes
    into[this.length] = QUOTE
    const shift = this.length + 1 - start
    let i = start
    if (end - start >= 4) i = this.#plainWords(this.#viewFrom(bytes), start, end, shift)
    for (; i < end; i++) {
      const byte = bytes[i]!
      if (ESCAPES[byte] !== 0) {
        this.#escaped(bytes, start, i, end)
        return
      }
      into[i + shift] = byte
    }
    into[end + shift] = QUOTE
    this.length = end + shift + 1
  }

  /** Copies four bytes at a time, at least four, as long as none needs an escape; answers where it ends. */
  #plainWords(from: DataView, start: number, end: number, shift: number): number {
    const into = this.#view
    const last = end - 4
    let i = start
    for (; i <= last; i += 4) {
      const word = from.getInt32(i, true)
      if (hasSpecial(word)) return i
      into.setInt32(i + shift, word, true)
    }
    if (i === end) return i
    // The last bytes, with some before them once more.
    const word = from.getInt32(last, true)
    if (hasSpecial(word)) return i
    into.setInt32(last + shift, word, true)
    return end
  }

  /** As `string`, where the byte at `special` is the first that needs an escape. */
  #escaped(bytes: Buffer, start: number, special: number, end: number): void {
    // The last character may be cut short.
    this.reserve(end - start < COUNTED_MIN ? (end - start) * ESCAPE_MAX + 16 : escapedSize(bytes, start, end) + 16)
    const into = this.#bytes
    const from = this.#viewFrom(bytes)
    const view = this.#view
    let to = this.length
    into[to++] = QUOTE
    copy(bytes, start, special, into, to)
    to += special - start
    for (let i = special; i < end; i++) {
      const byte = bytes[i]!
      const letter = ESCAPES[byte]!
      if (letter === 0) into[to++] = byte
      else if (byte >= FOUR_BYTES) {
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
      for (let word = 0; i + 4 < end; i += 4, to += 4) {
        word = from.getInt32(i + 1, true)
        if (hasSpecial(word)) break
        view.setInt32(to, word, true)
      }
    }
    into[to] = QUOTE
    this.length = to + 1
  }
}

/** Of four bytes: whether one may need an escape. */
function hasSpecial(word: number): boolean {
  const quote = word ^ 0x22222222
  const backslash = word ^ 0x5c5c5c5c
  // The top bit of a byte is set where it is a control, a quote, a backslash, or the first of a four-byte character.
  const special =
    ((word - 0x20202020) & ~word) |
    ((quote - 0x01010101) & ~quote) |
    ((backslash - 0x01010101) & ~backslash) |
    (word & (word << 1) & (word << 2) & (word << 3))
  return (special & 0x80808080) !== 0
}

/** How many decimal digits `value` takes, an integer of 0 to 2^53. */
export function digitsOf(value: number): number {
  let width = 1
  while (width < DIGITS_MAX && value >= POWERS[width]!) width++
  return width
}

/** Whether `value`, an integer of up to 2^53 in size, is written with so many decimal digits and no sign. */
export function hasDigits(value: number, width: number): boolean {
  return value < POWERS[width]! && (value >= POWERS[width - 1]! || (value === 0 && width === 1))
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

/** Puts `value` where `before` stands: both integers of 0 to 2^53 of the same width, whose last digits mostly differ. */
export function changeDigits(into: Buffer, at: number, width: number, value: number, before: number): void {
  const high = Math.floor(value / 1e8)
  if (high !== Math.floor(before / 1e8)) {
    writeDigits(into, at, width, value)
    return
  }
  let to = at + width
  let low = (value - high * 1e8) | 0
  let lowBefore = (before - high * 1e8) | 0
  while (low !== lowBefore) {
    const tenth = (low / 10) | 0
    into[--to] = ZERO + low - tenth * 10
    low = tenth
    lowBefore = (lowBefore / 10) | 0
  }
}

/** Of a text as JSON, without quotes; at most a little more where the last character is cut short. */
function escapedSize(bytes: Buffer, start: number, end: number): number {
  let size = 0
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!
    const letter = ESCAPES[byte]!
    if (letter === 0) size++
    else if (byte >= FOUR_BYTES) {
      size += 2 * ESCAPE_MAX
      i += 3
    } else size += letter === LETTER_U ? ESCAPE_MAX : 2
  }
  return size
}

function writeUnit(into: Buffer, at: number, unit: number): number {
  into[at] = BACKSLASH
  into[at + 1] = LETTER_U
  for (let i = 0; i < 4; i++) into[at + 2 + i] = HEX[(unit >> (12 - 4 * i)) & 15]!
  return at + 6
}

function copy(from: Uint8Array, start: number, end: number, into: Buffer, at: number): void {
  into.set(start === 0 && end === from.length ? from : from.subarray(start, end), at)
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

const LENGTH_MAX = 2 ** 31 - 1
// Below, a loop is faster than a call that copies.
const COPY_MIN = 64
// From here on the room for escapes is counted, so that one quote in a large text does not take six times its size.
const COUNTED_MIN = 4096
// Of \u00XX.
const ESCAPE_MAX = 6
const NOTHING = Buffer.alloc(0)
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
