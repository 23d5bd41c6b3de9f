import type { FileHandle, FileStat } from './files.ts'
import { type MemoryFile, statOf, systemError } from './memory-nodes.ts'

/** What an open file needs of its file system. */
export interface MemoryDisk {
  /** Where other calls get in between; rejects with EIO after a power cut. */
  turn(): Promise<void>
  /** Throws EIO when the power was cut, between the end of `turn` and its caller's next step too. */
  checkPower(): void
  /** Numbers the changes of contents, so that a sync knows which came before it. */
  readonly sequence: { last: number }
  roomBytes(): number
  /** The file has another content, and takes `growth` bytes more than before. */
  modified(path: string, file: MemoryFile, growth: number): void
  release(file: MemoryFile): void
}

export class MemoryFileHandle implements FileHandle {
  readonly path: string
  readonly #file: MemoryFile
  readonly #writable: boolean
  readonly #disk: MemoryDisk
  #open = true

  constructor(path: string, file: MemoryFile, writable: boolean, disk: MemoryDisk) {
    this.path = path
    this.#file = file
    this.#writable = writable
    this.#disk = disk
  }

  async read(buffer: Uint8Array, at: number, length: number, position: number): Promise<number> {
    this.#check('read')
    await this.#disk.turn()
    return this.#file.content.read(buffer, at, Math.min(length, buffer.length - at), position)
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    this.#checkWritable('write')
    await this.#disk.turn()
    const { content } = this.#file
    const bytes = Buffer.concat(buffers)
    const before = content.size
    const missing = this.#missingRoom(position + bytes.length)
    const written = Math.max(0, bytes.length - missing)
    if (written > 0) content.write(bytes.subarray(0, written), position, ++this.#disk.sequence.last)
    this.#disk.modified(this.path, this.#file, content.size - before)
    if (missing > 0) throw systemError('ENOSPC', 'write', this.path)
  }

  async datasync(): Promise<void> {
    this.#check('fdatasync')
    // What is written while this runs is not covered by it.
    const { last } = this.#disk.sequence
    await this.#disk.turn()
    this.#disk.checkPower()
    this.#file.content.datasync(last)
  }

  /** What a failed fsync does: unsynced changes stay visible, and no later sync makes them durable. */
  loseUnsynced(): void {
    this.#file.content.loseUnsynced()
  }

  async truncate(size: number): Promise<void> {
    this.#checkWritable('ftruncate')
    await this.#disk.turn()
    if (this.#missingRoom(size) > 0) throw systemError('ENOSPC', 'ftruncate', this.path)
    const { content } = this.#file
    const before = content.size
    content.truncate(size, ++this.#disk.sequence.last)
    this.#disk.modified(this.path, this.#file, content.size - before)
  }

  async stat(): Promise<FileStat> {
    this.#check('fstat')
    await this.#disk.turn()
    return statOf(this.#file)
  }

  async close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    this.#file.opens--
    this.#disk.release(this.#file)
    await this.#disk.turn()
  }

  #missingRoom(end: number): number {
    return Math.max(0, end - this.#file.content.size - this.#disk.roomBytes())
  }

  #check(call: string): void {
    if (!this.#open) throw systemError('EBADF', call, this.path)
  }

  #checkWritable(call: string): void {
    this.#check(call)
    if (!this.#writable) throw systemError('EBADF', call, this.path)
  }
}
