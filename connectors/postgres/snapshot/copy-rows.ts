import { KtsError } from '../../../runtime/api/index.ts'
import { BINARY, NULL, TEXT, type Tuple } from '../tuple.ts'

const TAB = 0x09
const NEWLINE = 0x0a
const BACKSLASH = 0x5c
const LETTER_N = 0x4e
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
/** What a backslash and a letter stand for; every other character stands for itself. */
const ESCAPES = new Uint8Array(256).map((_, byte) => byte)
for (const [letter, code] of Object.entries({ b: 8, t: 9, n: 10, v: 11, f: 12, r: 13 }))
  ESCAPES[letter.charCodeAt(0)] = code

/**
 * Rows of COPY TO STDOUT, one of them per message (as the server sends them), as a tuple that is used again for the next
 * one. Escapes are undone in place.
 *
 * https://www.postgresql.org/docs/current/sql-copy.html, file formats
 */
export class CopyRows {
  readonly tuple: Tuple
  readonly #binary: boolean
  #bytes: Buffer = Buffer.alloc(0)
  #view = new DataView(this.#bytes.buffer)

  constructor(columns: number, binary: boolean) {
    this.#binary = binary
    const rows = this
    this.tuple = {
      get bytes() {
        return rows.#bytes
      },
      count: columns,
      kinds: new Uint8Array(columns),
      starts: new Int32Array(columns),
      ends: new Int32Array(columns),
    }
  }

  /** Puts one message into `tuple`; false for the end mark of the binary form, which is no row. */
  read(bytes: Buffer, start: number, end: number): boolean {
    if (this.#bytes !== bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    if (this.#binary) return this.#readBinary(bytes, start, end)
    if (end <= start || bytes[end - 1] !== NEWLINE) throw broken('a line')
    this.#readText(bytes, start, end - 1)
    return true
  }

  #readText(bytes: Buffer, start: number, end: number): void {
    const { count, kinds, starts, ends } = this.tuple
    const view = this.#view
    const lastWord = end - 4
    let from = start
    for (let column = 0; column < count; column++) {
      let at = from
      let found = 0
      for (; at <= lastWord; at += 4) {
        const word = view.getInt32(at, true)
        const tab = word ^ 0x09090909
        const backslash = word ^ 0x5c5c5c5c
        // The top bit of the first byte that is one of them, and of others behind it perhaps.
        found = (((tab - 0x01010101) & ~tab) | ((backslash - 0x01010101) & ~backslash)) & 0x80808080
        if (found !== 0) {
          at += (31 - Math.clz32(found & -found)) >> 3
          break
        }
      }
      if (found === 0) while (at < end && bytes[at] !== TAB && bytes[at] !== BACKSLASH) at++
      starts[column] = from
      ends[column] = at
      kinds[column] = TEXT
      if (at < end && bytes[at] === BACKSLASH) {
        if (at === from && bytes[at + 1] === LETTER_N) {
          kinds[column] = NULL
          ends[column] = from
          at += 2
        } else at = this.#unescape(bytes, at, end, column)
      }
      if (column === count - 1 ? at !== end : bytes[at] !== TAB) throw broken(`${count} columns`)
      from = at + 1
    }
  }

  /** From the first backslash of a column on; answers where the column ends. */
  #unescape(bytes: Buffer, start: number, end: number, column: number): number {
    let at = start
    let to = start
    while (at < end) {
      let byte = bytes[at++]!
      if (byte === TAB) {
        at--
        break
      }
      if (byte === BACKSLASH) byte = ESCAPES[bytes[at++]!]!
      bytes[to++] = byte
    }
    this.tuple.ends[column] = to
    return at
  }

  #readBinary(bytes: Buffer, start: number, end: number): boolean {
    const { count, kinds, starts, ends } = this.tuple
    let at = start
    // The header comes in front of the first row, in one message, or alone. It cannot be a row: of so many columns.
    if (bytes[at] === SIGNATURE[0] && end - at >= 19 && bytes.subarray(at, at + SIGNATURE.length).equals(SIGNATURE)) {
      at += 19 + bytes.readUInt32BE(at + 15)
      if (at >= end) return false
    }
    if (end - at < 2) throw broken('a number of columns')
    const columns = bytes.readInt16BE(at)
    at += 2
    if (columns === -1) return false
    if (columns !== count) throw broken(`${count} columns`)
    for (let column = 0; column < count; column++) {
      if (at + 4 > end) throw broken('a length')
      const length = bytes.readInt32BE(at)
      at += 4
      if (length < -1 || length > end - at) throw broken('a value')
      kinds[column] = length === -1 ? NULL : BINARY
      starts[column] = at
      if (length > 0) at += length
      ends[column] = at
    }
    if (at !== end) throw broken('the end of a row')
    return true
  }
}

function broken(expected: string): KtsError {
  return new KtsError('POSTGRES_FAILED', `COPY TO STDOUT: expected ${expected} in a message of the server, got another`)
}
