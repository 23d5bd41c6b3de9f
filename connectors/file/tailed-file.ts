import { type BufferPool, type FileHandle, type FileStat, type Files, PackedRecords } from '../../runtime/api/index.ts'
import type { FilePosition } from './checkpoints.ts'
import {
  type Anchor,
  advanceAnchor,
  EMPTY_ANCHOR,
  type Fingerprint,
  fingerprintOf,
  matchAnchor,
  readAnchor,
  readFully,
} from './identity.ts'
import type { LineSplitter, Lines } from './line-splitter.ts'

const SKIP_CHUNK_BYTES = 256 << 10
const POOLED_BYTES_MIN = 64 << 10
const NEWLINE = 10

/**
 * What a name leads to. `same`: this file, or what goes on where it was left. `replaced`: this file, but the bytes before
 * the position are no longer those that were read. `other`: another file, so this one may have another name now.
 */
export type Attached = 'same' | 'replaced' | 'other'

/** What a read brought. `replaced`: the bytes before the position are no longer those that were read. */
export type ReadResult = ReadLines | 'replaced'

export interface ReadLines {
  readonly packed: PackedRecords | undefined
  /** Bytes the position moved by. */
  readonly bytes: number
  readonly tooLong: number
  /** There is more to read at once. */
  readonly more: boolean
}

/** How this file's lines are read. */
export interface Reading {
  readonly files: Files
  readonly splitter: LineSplitter
  /** Where large reads lie; the task gives the bytes back once the lines are durable. */
  readonly pool: BufferPool
  readonly lineMax: number
}

/**
 * One file, by identity and not by name: what was read of it, and reading on. Its position is always at the beginning of
 * a line. Only the task that owns it calls it, one call at a time.
 */
export class TailedFile {
  readonly id: string
  /** The name it was first followed under. */
  readonly path: string
  /** The name it has now, as far as known; undefined when it has none any more. */
  currentPath: string | undefined
  /** On the monotonic clock, when it was first seen to have lost its name. */
  rotatedAt: number | undefined
  /** On the monotonic clock. */
  grownAt: number
  /** On the monotonic clock, when neither a name nor an open handle led to it any more. */
  lostAt: number | undefined
  /** It has a checkpoint that must be forgotten one day. */
  saved: boolean
  /** The content was compared with the fingerprint in this run. */
  verified = false
  /** As of the last look; -1 before the first. */
  size = -1
  mtimeMs = -1
  dev: string
  ino: string
  readonly #reading: Reading
  #handle: FileHandle | undefined
  #anchor: Anchor | undefined
  #fingerprint: Fingerprint
  /** Inside a line that is too long: looked through up to here without finding its end; -1 elsewhere. */
  #skippedTo = -1
  /** The last read left lines behind. */
  #more = false

  constructor(id: string, position: FilePosition, saved: boolean, now: number, reading: Reading) {
    this.id = id
    this.path = position.path
    this.currentPath = position.path
    this.dev = position.dev
    this.ino = position.ino
    this.grownAt = now
    this.saved = saved
    this.#fingerprint = position
    this.#reading = reading
  }

  /** A file at its beginning. */
  static begin(id: string, path: string, { dev, ino }: FileStat, now: number, reading: Reading): TailedFile {
    const nothing = fingerprintOf(EMPTY_ANCHOR, 0)
    return new TailedFile(id, { path, dev, ino, ...nothing }, false, now, reading)
  }

  get offset(): number {
    return this.#fingerprint.offset
  }

  get key(): string {
    return keyOf(this)
  }

  get isOpen(): boolean {
    return this.#handle !== undefined
  }

  get fingerprint(): Fingerprint {
    return this.#fingerprint
  }

  /** Bytes known to be there and not passed. */
  get unread(): number {
    return Math.max(0, this.size - this.offset)
  }

  position(): FilePosition {
    const { headLen, headHash, tailHash, offset } = this.#fingerprint
    return { path: this.path, dev: this.dev, ino: this.ino, headLen, headHash, tailHash, offset }
  }

  /** Whether a look at the file shows anything new. */
  changed(stat: FileStat): boolean {
    return stat.size !== this.size || stat.mtimeMs !== this.mtimeMs
  }

  /** Opens `path` when it is the `same`; changes nothing otherwise. */
  async attach(path: string): Promise<Attached> {
    const handle = await this.#reading.files.open(path, 'read')
    let kept = false
    try {
      const stat = await handle.stat()
      const anchor = await matchAnchor(handle, this.#fingerprint)
      const moved = keyOf(stat) !== this.key
      // Where nothing was read there is nothing to compare.
      if (anchor === undefined || (this.offset === 0 && moved)) return moved ? 'other' : 'replaced'
      await this.#handle?.close()
      if (moved) this.size = this.mtimeMs = this.#skippedTo = -1
      this.#handle = handle
      this.#anchor = anchor
      this.dev = stat.dev
      this.ino = stat.ino
      this.currentPath = path
      this.verified = true
      kept = true
      return 'same'
    } finally {
      if (!kept) await handle.close()
    }
  }

  /** Whether what was read is still there. Needs an open file. */
  async isIntact(): Promise<boolean> {
    return (await this.#readBehindAnchor(0)) !== undefined
  }

  /** Goes to the beginning of the last line that has no end yet. Needs an open file with nothing read. */
  async skipToEnd(): Promise<void> {
    const handle = this.#handle!
    const { size } = await handle.stat()
    const window = Buffer.allocUnsafeSlow(Math.min(size, this.#reading.lineMax + 1))
    const length = await readFully(handle, window, size - window.length)
    const newline = window.subarray(0, length).lastIndexOf(NEWLINE)
    await this.#moveTo(newline < 0 ? (size > window.length ? size : 0) : size - window.length + newline + 1)
  }

  /** The next lines, about `bytesMax` bytes of them. Needs an open file. */
  async read(bytesMax: number, timestamp: number, now: number): Promise<ReadResult> {
    const stat = await this.#handle!.stat()
    if (stat.size < this.offset || stat.size < this.#skippedTo) return 'replaced'
    if (!this.changed(stat) && !this.#more) return NOTHING
    if (stat.size !== this.size) this.grownAt = now
    const result = this.#skippedTo < 0 ? await this.#readLines(stat, bytesMax, timestamp) : await this.#skipLine(stat)
    if (result === 'replaced') return result
    this.size = stat.size
    this.mtimeMs = stat.mtimeMs
    this.#more = result.more
    return result
  }

  /** What is left behind the last newline, as a line: for a file that will not grow any more. Needs an open file. */
  async readRest(timestamp: number): Promise<ReadResult> {
    const { size } = await this.#handle!.stat()
    if (size < this.offset) return 'replaced'
    const length = size - this.offset
    if (length === 0) return NOTHING
    if (length > this.#reading.lineMax) {
      await this.#moveTo(size)
      return { packed: undefined, bytes: length, tooLong: 1, more: false }
    }
    const buffer = await this.#readBehindAnchor(length)
    if (buffer === undefined) return 'replaced'
    const from = this.#anchor!.tail.length
    this.#advance(buffer, from, buffer.length)
    const valueStarts = Int32Array.of(from)
    const valueEnds = Int32Array.of(buffer.length)
    const packed = new PackedRecords({ count: 1, bytes: buffer, valueStarts, valueEnds, timestamps: timestamp })
    return { packed, bytes: buffer.length - from, tooLong: 0, more: false }
  }

  async close(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    this.#anchor = undefined
    await handle?.close()
  }

  async #readLines({ size }: FileStat, bytesMax: number, timestamp: number): Promise<ReadResult> {
    const available = size - this.offset
    let length = Math.min(available, bytesMax)
    for (;;) {
      const buffer = await this.#readBehindAnchor(length)
      if (buffer === undefined) return 'replaced'
      const from = this.#anchor!.tail.length
      const lines = this.#reading.splitter.split(buffer, from, buffer.length)
      const whole = buffer.length - from === available
      if (lines.end > from) return this.#take(buffer, from, lines, timestamp, !whole)
      // Not one newline: a line that goes on, is longer than this read, or is too long.
      if (buffer.length - from > this.#reading.lineMax) {
        this.#skippedTo = this.offset + buffer.length - from
        return { packed: undefined, bytes: 0, tooLong: 0, more: true }
      }
      if (whole || buffer.length - from < length) return NOTHING
      length = Math.min(available, this.#reading.lineMax + 1)
    }
  }

  #take(buffer: Buffer, from: number, lines: Lines, timestamp: number, more: boolean): ReadLines {
    const { count, starts, ends, end, tooLong, full } = lines
    this.#advance(buffer, from, end)
    const packed =
      count === 0
        ? undefined
        : new PackedRecords({ count, bytes: buffer, valueStarts: starts, valueEnds: ends, timestamps: timestamp })
    return { packed, bytes: end - from, tooLong, more: more || full }
  }

  /** Looks for the end of a line that is too long, a chunk at a time, keeping none of it. */
  async #skipLine({ size }: FileStat): Promise<ReadResult> {
    if ((await this.#readBehindAnchor(0)) === undefined) return 'replaced'
    const chunk = Buffer.allocUnsafeSlow(Math.min(SKIP_CHUNK_BYTES, size - this.#skippedTo))
    const length = await readFully(this.#handle!, chunk, this.#skippedTo)
    const newline = chunk.subarray(0, length).indexOf(NEWLINE)
    if (newline < 0) {
      this.#skippedTo += length
      return { packed: undefined, bytes: 0, tooLong: 0, more: length > 0 && this.#skippedTo < size }
    }
    const bytes = this.#skippedTo + newline + 1 - this.offset
    await this.#moveTo(this.offset + bytes)
    return { packed: undefined, bytes, tooLong: 1, more: true }
  }

  /**
   * The anchor's tail and up to `length` bytes behind it; undefined when the file no longer begins, or goes on before the
   * position, as it did. The tail alone is not enough: lines of one length may end alike.
   */
  async #readBehindAnchor(length: number): Promise<Buffer | undefined> {
    const { head, tail } = this.#anchor!
    const handle = this.#handle!
    const size = tail.length + length
    // The records keep it: a small read must not hold a large buffer.
    const buffer = size < POOLED_BYTES_MIN ? Buffer.allocUnsafeSlow(size) : this.#reading.pool.take(size)
    const beginning = Buffer.allocUnsafe(head.length)
    // At once: the second costs no time of its own.
    const [got, begun] = await Promise.all([
      readFully(handle, buffer, this.offset - tail.length),
      readFully(handle, beginning, 0),
    ])
    if (got < tail.length || buffer.compare(tail, 0, tail.length, 0, tail.length) !== 0) return undefined
    if (begun < head.length || !beginning.equals(head)) return undefined
    return got === buffer.length ? buffer : buffer.subarray(0, got)
  }

  #advance(buffer: Buffer, from: number, to: number): void {
    this.#anchor = advanceAnchor(this.#anchor!, buffer, from, to)
    this.#fingerprint = fingerprintOf(this.#anchor, this.offset + to - from)
  }

  async #moveTo(offset: number): Promise<void> {
    // A file cut short in this moment has no such position: the next read finds out.
    const anchor = await readAnchor(this.#handle!, offset)
    this.#skippedTo = -1
    if (anchor === undefined) return
    this.#anchor = anchor
    this.#fingerprint = fingerprintOf(anchor, offset)
  }
}

const NOTHING: ReadLines = { packed: undefined, bytes: 0, tooLong: 0, more: false }

/** Device and inode: who a file is as long as it exists. */
export function keyOf({ dev, ino }: Pick<FileStat, 'dev' | 'ino'>): string {
  return `${dev}:${ino}`
}
