import { errorCode, type FileHandle, type Files, KtsError } from '../../runtime/api/index.ts'
import { Definitions } from './definitions.ts'
import { formatLsn, type Lsn, readLsn } from './lsn.ts'

/** In front of each message: its length and its LSN. */
const HEADER_BYTES = 12
const BUFFER_BYTES = 256 << 10
const HIGH = 2 ** 32

/**
 * Scratch files for transactions of which it is not known yet whether they will be committed: one for each, with its raw
 * messages. They hold nothing that the server would not send again, so they are never synced, and emptied at the start. A
 * file is open only while it is written or read, so any number of transactions may be under way.
 */
export class Spools {
  readonly #files: Files
  readonly #folder: string
  /** Of the one that is written: the server sends a transaction's messages in blocks. */
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  #count = 0

  private constructor(files: Files, folder: string) {
    this.#files = files
    this.#folder = folder
  }

  /** Empties the folder, or makes it. */
  static async open(files: Files, folder: string): Promise<Spools> {
    await files.removeTree(folder)
    await files.mkdir(folder)
    return new Spools(files, folder)
  }

  /** `streamed`: its messages carry the transaction they belong to. */
  create(xid: number, streamed: boolean): Spool {
    return new Spool(this.#files, `${this.#folder}/${++this.#count}-${xid}.spool`, this.#buffer, xid, streamed)
  }
}

export class Spool {
  readonly xid: number
  readonly streamed: boolean
  /** Of the whole transaction, once it was told. */
  origin: { readonly name: string; readonly lsn: Lsn } | undefined
  /** Subtransactions that were rolled back, whose changes are not told. */
  readonly aborted = new Set<number>()
  /** Prepared in one piece: the tables as they were then. Streamed: those of its own messages, while it is told. */
  definitions = new Definitions()
  /** Streamed: when the last message about a table came, by OID. */
  readonly arrivals = new Map<number, number>()
  readonly #files: Files
  readonly #path: string
  readonly #buffer: Buffer
  #filled = 0
  #size = 0
  #file: FileHandle | undefined

  constructor(files: Files, path: string, buffer: Buffer, xid: number, streamed: boolean) {
    this.#files = files
    this.#path = path
    this.#buffer = buffer
    this.xid = xid
    this.streamed = streamed
  }

  /** Keeps a message. With a promise, `bytes` must stay until then. Rejects with DISK_FULL where there is no space. */
  append(lsn: Lsn, bytes: Buffer, start: number, end: number): void | Promise<void> {
    const length = end - start
    if (HEADER_BYTES + length > this.#buffer.length - this.#filled) return this.#appendLarge(lsn, bytes, start, end)
    this.#header(lsn, length)
    this.#filled += bytes.copy(this.#buffer, this.#filled, start, end)
  }

  async #appendLarge(lsn: Lsn, bytes: Buffer, start: number, end: number): Promise<void> {
    await this.#write()
    if (HEADER_BYTES + end - start <= this.#buffer.length) return this.append(lsn, bytes, start, end)
    this.#header(lsn, end - start)
    await this.#write(bytes.subarray(start, end))
  }

  #header(lsn: Lsn, length: number): void {
    const at = this.#filled
    this.#buffer.writeUInt32BE(length, at)
    this.#buffer.writeUInt32BE(Math.floor(lsn / HIGH), at + 4)
    this.#buffer.writeUInt32BE(lsn % HIGH, at + 8)
    this.#filled = at + HEADER_BYTES
  }

  /** At the end of a block: the buffer is for the next one. */
  async rest(): Promise<void> {
    await this.#write()
    await this.#file?.close()
    this.#file = undefined
  }

  async #write(behind?: Buffer): Promise<void> {
    const parts = [this.#buffer.subarray(0, this.#filled), ...(behind === undefined ? [] : [behind])]
    const bytes = this.#filled + (behind?.length ?? 0)
    if (bytes === 0) return
    this.#filled = 0
    try {
      this.#file ??= await this.#files.open(this.#path, 'write')
      await this.#file.write(parts, this.#size)
    } catch (error) {
      throw this.#full(error)
    }
    this.#size += bytes
  }

  #full(error: unknown): unknown {
    const code = errorCode(error)
    if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
    const message = `${this.#path}: no space for a transaction of the database that is still open (${this.#size} bytes so far): free some, or raise logical_decoding_work_mem of the server, which then keeps more of it`
    return new KtsError('DISK_FULL', message, { cause: error })
  }

  /** Once it is whole. */
  async reader(): Promise<SpoolReader> {
    await this.rest()
    const file = this.#size === 0 ? undefined : await this.#files.open(this.#path, 'read')
    return new SpoolReader(file, this.#path, this.#size)
  }

  /** Closes and unlinks it. */
  async remove(): Promise<void> {
    this.#filled = 0
    await this.#file?.close()
    this.#file = undefined
    if (this.#size > 0) await this.#files.unlink(this.#path)
    this.#size = 0
  }
}

/** Reads a spool message by message; `bytes` from `start` to `end` is the one that it stands at. */
export class SpoolReader {
  readonly #file: FileHandle | undefined
  readonly #path: string
  readonly #size: number
  #position = 0
  #filled = 0
  #at = 0
  bytes: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  start = 0
  end = 0
  lsn: Lsn = 0

  constructor(file: FileHandle | undefined, path: string, size: number) {
    this.#file = file
    this.#path = path
    this.#size = size
  }

  /** Moves to the next message; false: `fill` first. */
  next(): boolean {
    const left = this.#filled - this.#at
    if (left < HEADER_BYTES) return false
    const length = this.bytes.readUInt32BE(this.#at)
    if (left < HEADER_BYTES + length) return false
    this.lsn = readLsn(this.bytes, this.#at + 4)
    this.start = this.#at + HEADER_BYTES
    this.end = this.start + length
    this.#at = this.end
    return true
  }

  /** The message that it stands at comes again. */
  back(): void {
    this.#at = this.start - HEADER_BYTES
  }

  /** Reads on; false at the end. The message before is gone then. */
  async fill(): Promise<boolean> {
    const left = this.#filled - this.#at
    if (left === 0 && this.#position === this.#size) return false
    const wanted = left < HEADER_BYTES ? 0 : HEADER_BYTES + this.bytes.readUInt32BE(this.#at)
    if (wanted > this.#size) throw this.#damaged()
    const into = wanted > this.bytes.length ? Buffer.allocUnsafeSlow(wanted) : this.bytes
    this.bytes.copy(into, 0, this.#at, this.#filled)
    this.bytes = into
    this.#at = 0
    const read = (await this.#file?.read(into, left, into.length - left, this.#position)) ?? 0
    if (read === 0) throw this.#damaged()
    this.#position += read
    this.#filled = left + read
    return true
  }

  #damaged(): KtsError {
    const message = `${this.#path}: ends or breaks off at byte ${this.#position} of ${this.#size}, behind ${formatLsn(this.lsn)}: something else changed this scratch file; the transaction is read again from the server`
    return new KtsError('RETRIABLE', message)
  }

  async close(): Promise<void> {
    await this.#file?.close()
  }
}
