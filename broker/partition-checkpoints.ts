import type { Clock, Files } from '../base/index.ts'
import { abortedCheckpoint, writeAbortedCheckpoint } from './aborted-checkpoint.ts'
import type { AbortedTransactions } from './aborted-transactions.ts'
import { removeOldSnapshots } from './partition-directory.ts'
import type { OpenedLog } from './partition-recovery.ts'
import { snapshotOffsets, writeSnapshot } from './producer-snapshot.ts'
import type { Producers } from './producers.ts'
import type { Segment } from './segment.ts'

export interface PartitionCheckpointsParts {
  readonly directory: string
  readonly files: Files
  readonly clock: Clock
  readonly producerIdExpirationMs: number
}

/** What a partition writes down so that its next start need not read the log: see `write`. */
export class PartitionCheckpoints {
  readonly #parts: PartitionCheckpointsParts
  readonly #segments: readonly Segment[]
  readonly #producers: Producers
  readonly #aborted: AbortedTransactions
  /** Of the last snapshot that is true of the producers. */
  #snapshotOffset: number
  /** There is a checkpoint of the aborted transactions. */
  #abortedExists: boolean
  #abortedText = ''

  constructor(parts: PartitionCheckpointsParts, opened: OpenedLog, aborted: AbortedTransactions) {
    this.#parts = parts
    this.#segments = opened.segments
    this.#producers = opened.producers
    this.#aborted = aborted
    this.#snapshotOffset = opened.snapshotOffset
    this.#abortedExists = opened.abortedCheckpoint
  }

  /** Writes, durably, what is known of all that lies below `offset`, the end of the log; nothing may be written meanwhile. */
  async write(offset: number): Promise<void> {
    const { files, directory, clock, producerIdExpirationMs } = this.#parts
    // In front of the snapshot, so that what lies below a snapshot is in a checkpoint.
    await this.#writeAborted(offset)
    if (this.#snapshotOffset !== offset || !(await snapshotOffsets(files, directory)).includes(offset)) {
      this.#producers.expire(clock.now(), producerIdExpirationMs)
      await writeSnapshot(files, directory, offset, this.#producers.all())
      this.#snapshotOffset = offset
    }
    await removeOldSnapshots(files, directory, this.#segments)
  }

  async #writeAborted(offset: number): Promise<void> {
    if (this.#aborted.all.length === 0 && !this.#abortedExists) return
    const text = abortedCheckpoint(this.#segments, offset)
    if (text === this.#abortedText) return
    await writeAbortedCheckpoint(this.#parts.files, this.#parts.directory, text)
    this.#abortedText = text
    this.#abortedExists = true
  }
}
