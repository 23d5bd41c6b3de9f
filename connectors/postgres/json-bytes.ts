/** JSON text that is being written, in UTF-8. Everything appends; nothing is checked but what each method says. */
export class JsonBytes {
  bytes: Buffer
  length = 0

  constructor(bytesHint = 1 << 16) {
    this.bytes = Buffer.allocUnsafe(Math.max(64, bytesHint))
  }

  /** Room for `size` bytes more behind `length`. */
  reserve(size: number): void {
    if (this.length + size <= this.bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.length + size))
    this.bytes.copy(larger, 0, 0, this.length)
    this.bytes = larger
  }

  /** Bytes as they are: punctuation and names made before, digits from the server. */
  raw(bytes: Buffer, start = 0, end = bytes.length): void {
    this.reserve(end - start)
    bytes.copy(this.bytes, this.length, start, end)
    this.length += end - start
  }

  /** ASCII that needs no escape. */
  ascii(text: string): void {
    this.reserve(text.length)
    this.length += this.bytes.write(text, this.length, 'latin1')
  }

  /** UTF-8 text, bytes [start, end), as a JSON string. */
  string(bytes: Buffer, start: number, end: number): void {
    this.reserve(end - start + 2)
    const at = this.length
    this.bytes[at] = QUOTE
    let to = at + 1
    for (let i = start; i < end; i++) {
      const byte = bytes[i]!
      if (byte < SPACE || byte === QUOTE || byte === BACKSLASH) {
        this.#escaped(bytes, start, end)
        return
      }
      this.bytes[to++] = byte
    }
    this.bytes[to] = QUOTE
    this.length = to + 1
  }

  #escaped(bytes: Buffer, start: number, end: number): void {
    const text = JSON.stringify(bytes.toString('utf8', start, end))
    this.reserve(text.length * 3)
    this.length += this.bytes.write(text, this.length, 'utf8')
  }
}

const SPACE = 0x20
const QUOTE = 0x22
const BACKSLASH = 0x5c
