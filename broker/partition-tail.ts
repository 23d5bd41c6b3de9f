import { batchChecksumHolds, batchIsSane, batchSize } from './batch.ts'
import type { JournalPlace } from './journal-entry.ts'
import type { LogTail, LogWriter } from './log-writer.ts'
import type { PartitionFailure } from './partition-failure.ts'

export interface PartitionTailHost {
  /** Throws when nothing can be written any more. */
  readonly check: () => void
  /** Of `durability: sync`; others wait for no disk. */
  readonly isDurable: () => boolean
  /** Told when readers may go further. */
  readonly advanced: () => void
}

/** The end of a partition's log that is written and not durable, for the commit journal, which makes it so. */
export class PartitionTail {
  readonly place: JournalPlace
  readonly #writer: LogWriter
  readonly #failure: PartitionFailure
  readonly #host: PartitionTailHost

  constructor(place: JournalPlace, writer: LogWriter, failure: PartitionFailure, host: PartitionTailHost) {
    this.place = place
    this.#writer = writer
    this.#failure = failure
    this.#host = host
  }

  /** What finished appends have written; undefined when all is durable. Throws STORAGE_FAILED, CLOSED. */
  unsynced(): LogTail | undefined {
    const { check, isDurable } = this.#host
    check()
    return isDurable() ? this.#writer.tail() : undefined
  }

  /** Its bytes; false where they cannot be had as they were written, and who syncs the file is told why. */
  async read({ segment: { store }, from, bytes }: LogTail, into: Buffer, at: number): Promise<boolean> {
    const end = at + bytes - from
    const read = await store.read(into, at, end - at, from).catch(() => -1)
    if (read !== end - at) return false
    for (let next = at; next < end; next += batchSize(into, next)) {
      const isWhole = batchIsSane(into, next) && next + batchSize(into, next) <= end
      if (!isWhole || !batchChecksumHolds(into, next)) return false
    }
    return true
  }

  /** All that `unsynced` told of is durable elsewhere until `syncFile`, and readable from now on. */
  madeDurable(tail: LogTail): void {
    this.#writer.madeDurable(tail)
    this.#host.advanced()
  }

  /** All that was durable elsewhere is so in the files too. Rejects with STORAGE_FAILED, CLOSED. */
  async syncFile(): Promise<void> {
    this.#host.check()
    try {
      await this.#writer.syncFile()
    } catch (error) {
      throw this.#failure.forGood(error)
    }
  }
}
