import type { PackedRecords } from '../base/index.ts'

/** What a reader needs of a partition: broker/partition.ts on disk, or one in memory. */
export interface PartitionLog {
  readonly logStartOffset: number
  readonly highWatermark: number
  readonly lastStableOffset: number
  /**
   * Whole batches from the one that holds `offset`, up to `bytesMax` but at least one, records before `offset` cut off.
   * Nothing at or behind the high watermark (last stable offset). Rejects with OFFSET_OUT_OF_RANGE, CORRUPT_MESSAGE.
   */
  read(offset: number, bytesMax: number, isolation: Isolation): Promise<PartitionRead>
  /** Calls `listener` whenever there may be more for a reader of this isolation; the answer ends it. */
  onAdvance(listener: () => void, isolation: Isolation): () => void
}

export type Isolation = 'read_committed' | 'read_uncommitted'

export interface PartitionRead {
  readonly batches: readonly PackedRecords[]
  /** Where reading goes on: behind gaps, too. */
  readonly nextOffset: number
  /** Gives the batches' bytes back to the engine; nothing may look at them afterwards. */
  readonly release?: () => void
}

/** The first offset that a reader of this isolation may not see yet. */
export function readableEnd(log: PartitionLog, isolation: Isolation): number {
  return isolation === 'read_committed' ? log.lastStableOffset : log.highWatermark
}
