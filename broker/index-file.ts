import type { FileCache } from './file-cache.ts'
import { Store } from './store.ts'

/** Entries kept in memory before they are written together: an index is a hint, and is rebuilt when it is lost. */
const PENDING_MAX = 512

/**
 * A sorted file of entries of one size, as Kafka's indexes are: big endian, no header, no checksum. Look-ups read the
 * file, so that the memory of an index does not grow with its log.
 */
export class IndexFile {
  readonly #store: Store
  readonly #entryBytes: number
  /** Only while there is something in it: of thousands of segments one per partition is written to. */
  #pending: Buffer | undefined
  #pendingCount = 0
  #writtenCount: number
  /** Read last: a start asks for the end of an index several times. */
  #lastRead: { readonly i: number; readonly bytes: Buffer } | undefined
  #cuts = 0

  constructor(path: string, cache: FileCache, entryBytes: number, count: number) {
    this.#store = new Store(path, cache, count * entryBytes)
    this.#entryBytes = entryBytes
    this.#writtenCount = count
  }

  get path(): string {
    return this.#store.path
  }

  get count(): number {
    return this.#writtenCount + this.#pendingCount
  }

  /** Adds an entry, written by `fill` at the position it gets. Resolves when there is room for another. */
  async add(fill: (into: Buffer, at: number) => void): Promise<void> {
    this.#pending ??= Buffer.alloc(PENDING_MAX * this.#entryBytes)
    fill(this.#pending, this.#pendingCount * this.#entryBytes)
    this.#pendingCount++
    if (this.#pendingCount === PENDING_MAX) await this.flush()
  }

  /** Writes what is in memory; not durable before `datasync`. */
  async flush(): Promise<void> {
    const count = this.#pendingCount
    if (count === 0 || this.#pending === undefined) return
    const bytes = count * this.#entryBytes
    await this.#store.append([this.#pending.subarray(0, bytes)], bytes)
    // Look-ups find an entry in one place or the other: both counts move at once.
    this.#writtenCount += count
    this.#pendingCount = 0
    this.#pending = undefined
  }

  async datasync(): Promise<void> {
    await this.flush()
    await this.#store.datasync()
  }

  /** Keeps the first `count` entries; also cuts what a failed write left behind them. */
  async truncate(count: number): Promise<void> {
    this.#lastRead = undefined
    this.#cuts++
    if (count >= this.#writtenCount) {
      this.#pendingCount = count - this.#writtenCount
      await this.#store.truncate(this.#writtenCount * this.#entryBytes)
      return
    }
    this.#pendingCount = 0
    this.#writtenCount = count
    await this.#store.truncate(count * this.#entryBytes)
  }

  /** Entry `i` at the start of a buffer that is not to be changed. */
  async entry(i: number): Promise<Buffer> {
    if (this.#lastRead?.i === i) return this.#lastRead.bytes
    const bytes = Buffer.alloc(this.#entryBytes)
    const pending = i - this.#writtenCount
    if (pending >= 0) this.#pending?.copy(bytes, 0, pending * this.#entryBytes, (pending + 1) * this.#entryBytes)
    else {
      const cuts = this.#cuts
      await this.#store.read(bytes, 0, this.#entryBytes, i * this.#entryBytes)
      if (cuts === this.#cuts) this.#lastRead = { i, bytes }
    }
    return bytes
  }

  /** How many entries, from the first on, are `before`: entries must be sorted by it. */
  async partition(before: (entry: Buffer) => boolean): Promise<number> {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (before(await this.entry(middle))) low = middle + 1
      else high = middle
    }
    return low
  }

  async close(): Promise<void> {
    await this.#store.close()
  }
}
