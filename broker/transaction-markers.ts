import type { CodecName, PackedRecords } from '../base/index.ts'
import type { PartitionTail } from './partition-tail.ts'
import type { Outcome, Producer } from './producers.ts'

/** What a transaction needs of a partition. */
export interface TransactionPartition {
  readonly topic: string
  readonly partition: number
  readonly nextOffset: number
  readonly recoveryPoint: number
  readonly tail: PartitionTail
  /** Throws what an append refuses these records for. */
  check(records: PackedRecords): void
  append(
    records: readonly PackedRecords[],
    options?: { readonly producer?: Producer; readonly codec?: CodecName },
  ): Promise<{ readonly baseOffset: number; readonly lastOffset: number }>
  endTransaction(producer: Producer, outcome: Outcome): Promise<void>
  /** Durable when it resolves, and readable from then on. */
  sync(): Promise<void>
}

interface Marker {
  readonly partition: TransactionPartition
  /** Its epoch is the marker's. */
  readonly producer: Producer
  readonly outcome: Outcome
}

/**
 * The markers of one transactional id. How a transaction ended is decided before they are written, so they follow without
 * being waited for; but nothing else of the id may be written before them, and what says that it was committed must stay
 * until they are durable.
 */
export class Markers {
  /** Whether the partition is still there: a deleted one needs no marker. */
  readonly exists: (partition: TransactionPartition) => boolean
  /** Could not be written yet. */
  #owed: Marker[] = []
  /** Of commits: where the partition has to be synced up to. */
  readonly #unsynced = new Map<TransactionPartition, number>()
  #writing: Promise<void> = Promise.resolve()

  constructor(exists: (partition: TransactionPartition) => boolean) {
    this.exists = exists
  }

  /** Ends a transaction in these partitions: for their readers at once, on disk as soon as it can be. */
  end(partitions: Iterable<TransactionPartition>, producer: Producer, outcome: Outcome): void {
    const markers = [...partitions].map(partition => ({ partition, producer, outcome }))
    const written = markers.map(marker => this.#write(marker))
    this.#writing = Promise.all([this.#writing, ...written]).then(() => undefined)
  }

  /** Resolves when every marker is written; what could not be written is tried again, and rejects as that does. */
  async settled(): Promise<void> {
    for (let seen: unknown; seen !== this.#writing; ) {
      seen = this.#writing
      await this.#writing
    }
    const owed = this.#owed
    if (owed.length === 0) return
    this.#owed = []
    let failure: unknown
    this.#writing = Promise.all(
      owed.map(marker =>
        this.#write(marker, error => {
          failure ??= error
        }),
      ),
    ).then(() => undefined)
    await this.#writing
    if (failure !== undefined) throw failure
  }

  /** Partitions that have to be synced before anything may forget that this id's last transaction was committed. */
  unsynced(): readonly TransactionPartition[] {
    for (const [partition, end] of this.#unsynced) {
      if (partition.recoveryPoint >= end || !this.exists(partition)) this.#unsynced.delete(partition)
    }
    return [...this.#unsynced.keys()]
  }

  get owesSome(): boolean {
    return this.#owed.length > 0
  }

  async #write(marker: Marker, failed?: (error: unknown) => void): Promise<void> {
    const { partition, producer, outcome } = marker
    try {
      await partition.endTransaction(producer, outcome)
      if (outcome === 'commit') this.#unsynced.set(partition, partition.nextOffset)
    } catch (error) {
      if (!this.exists(partition)) return
      this.#owed.push(marker)
      failed?.(error)
    }
  }
}
