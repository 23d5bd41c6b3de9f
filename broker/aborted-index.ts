import { crc32c, errorCode, readWhole } from '../base/index.ts'
import type { FileCache } from './file-cache.ts'
import { readInt64, writeInt64 } from './int64.ts'
import type { AbortedTransaction } from './producers.ts'
import { Store } from './store.ts'

const VERSION = 0
const ENTRY_BYTES = 34

/**
 * `.txnindex`: the aborted transactions whose markers lie in the segment, in their order. Version (i16), then producer id,
 * first offset, last offset and last stable offset (i64 each). There are few, so they are kept in memory; the file is made
 * with the first.
 */
export class AbortedIndex {
  readonly path: string
  readonly #cache: FileCache
  #store: Store
  readonly #entries: AbortedTransaction[] = []
  /** The name of the file may be lost in a power cut. */
  #isNew = false
  #isCut = false
  /** Of the first entries: goes on with those that come. */
  #checksum = { entries: 0, crc: 0 }

  constructor(path: string, cache: FileCache) {
    this.path = path
    this.#cache = cache
    this.#store = new Store(path, cache, 0)
  }

  get entries(): readonly AbortedTransaction[] {
    return this.#entries
  }

  /** CRC-32C of the first `count` entries as they stand in the file; costs what was added since the last call. */
  checksum(count: number): number {
    let { entries, crc } = count < this.#checksum.entries ? { entries: 0, crc: 0 } : this.#checksum
    for (; entries < count; entries++) crc = crc32c(encodeEntry(this.#entries[entries]!), crc)
    this.#checksum = { entries, crc }
    return crc
  }

  /** The file held more than entries that can be. */
  get isCut(): boolean {
    return this.#isCut
  }

  /** Reads the file of a segment with the offsets [baseOffset, nextOffset); to be called before anything is added. */
  async load(baseOffset: number, nextOffset: number): Promise<void> {
    const bytes = await this.#read()
    this.#entries.length = 0
    this.#checksum = { entries: 0, crc: 0 }
    if (bytes === undefined) return
    for (let at = 0; at + ENTRY_BYTES <= bytes.length; at += ENTRY_BYTES) {
      const entry = decodeEntry(bytes, at)
      const after = this.#entries.at(-1)?.lastOffset ?? baseOffset - 1
      if (entry === undefined || entry.lastOffset <= after || entry.lastOffset >= nextOffset) break
      this.#entries.push(entry)
    }
    this.#store = new Store(this.path, this.#cache, this.#entries.length * ENTRY_BYTES)
    this.#isCut = this.#entries.length * ENTRY_BYTES !== bytes.length
  }

  /** Written, not durable. */
  async add(entry: AbortedTransaction): Promise<void> {
    if (this.#store.size === 0) this.#isNew = true
    await this.#store.append([encodeEntry(entry)], ENTRY_BYTES)
    this.#entries.push(entry)
  }

  /** Keeps the first `count` entries; also cuts what lies behind them in the file. */
  async truncate(count: number): Promise<void> {
    if (count === 0 && this.#store.size === 0 && !this.#isNew && !this.#isCut) return
    await this.#store.truncate(count * ENTRY_BYTES)
    this.#entries.length = count
    if (count < this.#checksum.entries) this.#checksum = { entries: 0, crc: 0 }
    this.#isCut = false
  }

  /** Replaces all entries, durably. */
  async replace(entries: readonly AbortedTransaction[]): Promise<void> {
    this.#isNew = true
    await this.truncate(0)
    for (const entry of entries) await this.add(entry)
    await this.datasync()
  }

  /** Cuts what is no entry: behind new ones it could be taken for some. */
  async cutRest(): Promise<void> {
    if (!this.#isCut) return
    await this.truncate(this.#entries.length)
    await this.#store.datasync()
  }

  async datasync(): Promise<void> {
    if (this.#store.size === 0 && !this.#isNew) return
    await this.#store.datasync()
    if (this.#isNew) await this.#cache.files.syncDirectory(this.path.slice(0, this.path.lastIndexOf('/')))
    this.#isNew = false
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  async #read(): Promise<Buffer | undefined> {
    try {
      return await readWhole(this.#cache.files, this.path)
    } catch (error) {
      // Nothing of ours is that large.
      if (errorCode(error) === 'EFBIG') return Buffer.alloc(1)
      throw error
    }
  }
}

/** One entry, as it stands in the file. */
export function encodeEntry(entry: AbortedTransaction): Buffer {
  const bytes = Buffer.alloc(ENTRY_BYTES)
  bytes.writeInt16BE(VERSION, 0)
  writeInt64(bytes, 2, entry.producerId)
  writeInt64(bytes, 10, entry.firstOffset)
  writeInt64(bytes, 18, entry.lastOffset)
  writeInt64(bytes, 26, entry.lastStableOffset)
  return bytes
}

function decodeEntry(bytes: Buffer, at: number): AbortedTransaction | undefined {
  const entry = {
    producerId: readInt64(bytes, at + 2),
    firstOffset: readInt64(bytes, at + 10),
    lastOffset: readInt64(bytes, at + 18),
    lastStableOffset: readInt64(bytes, at + 26),
  }
  const { producerId, firstOffset, lastOffset } = entry
  const sane = producerId >= 0 && firstOffset >= 0 && firstOffset < lastOffset && Number.isSafeInteger(lastOffset)
  return bytes.readInt16BE(at) === VERSION && sane ? entry : undefined
}
