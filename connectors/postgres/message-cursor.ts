import { KtsError } from '../../runtime/api/index.ts'
import { formatLsn, type Lsn, readLsn } from './lsn.ts'

/** Microseconds between 1970 and 2000, where PostgreSQL's time begins. */
const EPOCH_2000_US = 946_684_800_000_000

/** Reads one message field by field and never beyond its end, whatever its lengths claim. */
export class MessageCursor {
  bytes: Buffer = Buffer.alloc(0)
  start = 0
  at = 0
  end = 0
  /** Where in the log it was made (XLogData). */
  lsn: Lsn = 0

  reset(bytes: Buffer, start: number, end: number, lsn: Lsn): void {
    this.bytes = bytes
    this.start = start
    this.at = start
    this.end = end
    this.lsn = lsn
  }

  u8(): number {
    this.need(1)
    return this.bytes[this.at++]!
  }

  u16(): number {
    this.need(2)
    const { bytes, at } = this
    this.at = at + 2
    return (bytes[at]! << 8) | bytes[at + 1]!
  }

  i32(): number {
    this.need(4)
    const { bytes, at } = this
    this.at = at + 4
    return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
  }

  u32(): number {
    return this.i32() >>> 0
  }

  /** A length: never negative, and so many bytes are there. */
  length(): number {
    const length = this.i32()
    if (length < 0) throw this.wrong(`a length of 0 or more, found ${length}`)
    this.need(length)
    return length
  }

  readLsn(): Lsn {
    this.need(8)
    this.at += 8
    return readLsn(this.bytes, this.at - 8)
  }

  /** Microseconds since 1970. */
  time(): number {
    this.need(8)
    this.at += 8
    const micros = this.bytes.readInt32BE(this.at - 8) * 2 ** 32 + this.bytes.readUInt32BE(this.at - 4) + EPOCH_2000_US
    if (!Number.isSafeInteger(micros)) throw this.wrong('a time within 285 years of 1970')
    return micros
  }

  /** Up to a zero byte, in UTF-8. */
  text(): string {
    const zero = this.bytes.indexOf(0, this.at)
    if (zero < 0 || zero >= this.end) throw this.wrong('a text that ends with a zero byte')
    const text = this.bytes.toString('utf8', this.at, zero)
    this.at = zero + 1
    return text
  }

  need(bytes: number): void {
    if (this.end - this.at < bytes) throw this.wrong(`${bytes} more bytes, found ${this.end - this.at}`)
  }

  /** All of the message was understood. */
  finish(): void {
    if (this.at !== this.end) throw this.wrong(`the end, found ${this.end - this.at} more bytes`)
  }

  wrong(expected: string): KtsError {
    const kind = this.end > this.start ? this.bytes[this.start]! : 0
    const shown = kind > 0x20 && kind < 0x7f ? String.fromCharCode(kind) : `0x${kind.toString(16).padStart(2, '0')}`
    return new KtsError(
      'CORRUPT_MESSAGE',
      `replication stream: message ${shown} at ${formatLsn(this.lsn)}, byte ${this.at - this.start} of ${this.end - this.start}: expected ${expected}; nothing of it was used: check the network and the server's version`,
    )
  }
}
