import type { FileCache } from './file-cache.ts'
import { IndexFile } from './index-file.ts'
import { readInt64, writeInt64 } from './int64.ts'

export const TIME_ENTRY_BYTES = 12

export interface TimeEntry {
  /** Largest record time up to `offset`, milliseconds since the epoch. */
  readonly timestamp: number
  readonly offset: number
}

/** `.timeindex`: largest timestamp so far (i64) and an offset relative to the segment's base (u32). */
export class TimeIndex {
  readonly #baseOffset: number
  readonly #file: IndexFile
  #lastTimestamp = -1

  constructor(path: string, cache: FileCache, baseOffset: number, count: number) {
    this.#baseOffset = baseOffset
    this.#file = new IndexFile(path, cache, TIME_ENTRY_BYTES, count)
  }

  get file(): IndexFile {
    return this.#file
  }

  /** Adds an entry unless the last one is as late: Kafka keeps timestamps strictly increasing. */
  async addIfLater(entry: TimeEntry): Promise<void> {
    if (entry.timestamp <= this.#lastTimestamp) return
    this.#lastTimestamp = entry.timestamp
    await this.#file.add((into, at) => {
      writeInt64(into, at, entry.timestamp)
      into.writeUInt32BE(entry.offset - this.#baseOffset, at + 8)
    })
  }

  async entry(i: number): Promise<TimeEntry | undefined> {
    if (i < 0 || i >= this.#file.count) return undefined
    const bytes = await this.#file.entry(i)
    return { timestamp: readInt64(bytes, 0), offset: this.#baseOffset + bytes.readUInt32BE(8) }
  }

  last(): Promise<TimeEntry | undefined> {
    return this.entry(this.#file.count - 1)
  }

  /** Keeps `count` entries. */
  async truncate(count: number): Promise<void> {
    await this.#file.truncate(count)
    this.#lastTimestamp = (await this.last())?.timestamp ?? -1
  }

  /** To be called after opening, before anything is added. */
  async load(): Promise<void> {
    this.#lastTimestamp = (await this.last())?.timestamp ?? -1
  }

  /** How many entries are about offsets of at most `offset`. */
  countUpTo(offset: number): Promise<number> {
    const relative = offset - this.#baseOffset
    return this.#file.partition(entry => entry.readUInt32BE(8) <= relative)
  }

  /** The last entry before `timestamp`: all records up to its offset are earlier. */
  async before(timestamp: number): Promise<TimeEntry | undefined> {
    return this.entry((await this.#file.partition(entry => readInt64(entry, 0) < timestamp)) - 1)
  }
}
