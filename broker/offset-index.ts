import type { FileCache } from './file-cache.ts'
import { IndexFile } from './index-file.ts'

export const OFFSET_ENTRY_BYTES = 8

export interface OffsetEntry {
  /** Last offset of the batch at `position`. */
  readonly lastOffset: number
  /** Byte in the segment's log file. */
  readonly position: number
}

/** `.index`: last offset of a batch, relative to the segment's base (u32), and where the batch begins (u32). */
export class OffsetIndex {
  readonly #baseOffset: number
  readonly #file: IndexFile

  constructor(path: string, cache: FileCache, baseOffset: number, count: number) {
    this.#baseOffset = baseOffset
    this.#file = new IndexFile(path, cache, OFFSET_ENTRY_BYTES, count)
  }

  get file(): IndexFile {
    return this.#file
  }

  add(entry: OffsetEntry): Promise<void> {
    return this.#file.add((into, at) => {
      into.writeUInt32BE(entry.lastOffset - this.#baseOffset, at)
      into.writeUInt32BE(entry.position, at + 4)
    })
  }

  /** Undefined where there is none. */
  async entry(i: number): Promise<OffsetEntry | undefined> {
    if (i < 0 || i >= this.#file.count) return undefined
    const bytes = await this.#file.entry(i)
    return { lastOffset: this.#baseOffset + bytes.readUInt32BE(0), position: bytes.readUInt32BE(4) }
  }

  last(): Promise<OffsetEntry | undefined> {
    return this.entry(this.#file.count - 1)
  }

  /** How many entries have a last offset of at most `offset`; the last of them is where to look for it. */
  countUpTo(offset: number): Promise<number> {
    const relative = offset - this.#baseOffset
    return this.#file.partition(entry => entry.readUInt32BE(0) <= relative)
  }

  async floor(offset: number): Promise<OffsetEntry | undefined> {
    return this.entry((await this.countUpTo(offset)) - 1)
  }
}
