import type { FileHandle } from '../base/index.ts'
import type { FileCache, FileLease } from './file-cache.ts'

/** At a time. */
const AGAIN_BYTES = 1 << 20
/** At the end of a file that is written: the system has it in memory still. */
const FRESH_BYTES = 64 << 10

/**
 * An append-only file. Its handle stays open from the first write to the sync that covers it: only that handle is sure to
 * hear that a write-back failed.
 */
export class Store {
  readonly path: string
  readonly #cache: FileCache
  #size: number
  /** Writes begun, those that ended, and as many of these as a sync has covered. */
  #begun = 0
  #ended = 0
  #synced = 0
  /** Syncs under way. */
  #syncing = 0
  /** The last sync; once one has failed it stays rejected. */
  #lastSync: Promise<void> = Promise.resolve()
  #unsynced: Promise<FileLease> | undefined

  constructor(path: string, cache: FileCache, size: number) {
    this.path = path
    this.#cache = cache
    this.#size = size
  }

  /** Bytes of whole appends. */
  get size(): number {
    return this.#size
  }

  /** No write is behind the last sync. */
  get isSynced(): boolean {
    return this.#synced === this.#begun && this.#syncing === 0
  }

  /** Writes behind the last append. After a rejection the file may hold a part of it: `truncate` to the old size. */
  async append(buffers: readonly Uint8Array[], bytes: number): Promise<void> {
    await this.#write(file => file.write(buffers, this.#size))
    this.#size += bytes
  }

  /**
   * Writes bytes from `position` on once more, as they are: behind an fsync that failed the system takes what it could not
   * write for written, and no later fsync would write it.
   */
  async writeAgain(position: number): Promise<void> {
    const bytes = Buffer.allocUnsafe(Math.min(this.#size - position, AGAIN_BYTES))
    for (let at = position; at < this.#size; ) {
      const length = await this.read(bytes, 0, Math.min(bytes.length, this.#size - at), at)
      if (length === 0) return
      await this.#write(file => file.write([bytes.subarray(0, length)], at))
      at += length
    }
  }

  /** For who reads first and syncs later: one handle does for both. To be followed by `datasync` or `close`. */
  async openForWriting(): Promise<void> {
    await this.#writable()
  }

  /** Reads as many of `length` bytes as there are at `position`; answers how many. */
  async read(into: Uint8Array, at: number, length: number, position: number): Promise<number> {
    // Without a turn of the event loop in between: what is read ahead must be under way before others take the thread.
    const lease = this.#cache.leaseOpen(this.path, 'read') ?? (await this.#cache.lease(this.path, 'read'))
    try {
      let done = 0
      while (done < length) {
        const read = await lease.file.read(into, at + done, length - done, position + done, this.#isFresh(position))
        if (read === 0) break
        done += read
      }
      return done
    } finally {
      lease.release()
    }
  }

  /**
   * fdatasync of all that was appended before the call. A rejection is final: see FileHandle.datasync. One at a time, and
   * none behind one that failed: it would succeed, though the bytes that both were to cover are lost.
   */
  async datasync(): Promise<void> {
    // A write that is under way now may end before the sync does without being covered by it.
    const ended = this.#ended
    this.#syncing++
    try {
      const file = await this.#writable()
      const sync = this.#lastSync.then(() => file.datasync())
      this.#lastSync = sync
      await sync
    } finally {
      this.#syncing--
    }
    this.#synced = Math.max(this.#synced, ended)
    if (this.#synced === this.#begun && this.#syncing === 0) await this.#release()
  }

  async truncate(size: number): Promise<void> {
    await this.#write(file => file.truncate(size))
    this.#size = size
  }

  /** Closes the file; what is not synced may be lost. */
  async close(): Promise<void> {
    await this.#release()
    await this.#cache.forget(this.path)
  }

  /** Written by this process, and among the last that were. */
  #isFresh(position: number): boolean {
    return this.#begun > 0 && position >= this.#size - FRESH_BYTES
  }

  /** Counted first: a sync that ends in between must not let the handle go. */
  async #write(write: (file: FileHandle) => Promise<void>): Promise<void> {
    this.#begun++
    try {
      await write(await this.#writable())
    } finally {
      this.#ended++
    }
  }

  async #writable(): Promise<FileHandle> {
    this.#unsynced ??= this.#cache.lease(this.path, 'write')
    const unsynced = this.#unsynced
    try {
      return (await unsynced).file
    } catch (error) {
      // Out of descriptors, perhaps: the next call may do better.
      if (this.#unsynced === unsynced) this.#unsynced = undefined
      throw error
    }
  }

  async #release(): Promise<void> {
    const unsynced = this.#unsynced
    this.#unsynced = undefined
    ;(await unsynced)?.release()
  }
}
