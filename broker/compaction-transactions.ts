import type { PackedRecords } from '../base/index.ts'
import { batchIsControl, batchIsTransactional, batchLastOffset, batchProducerId } from './batch.ts'
import type { AbortedTransaction } from './producers.ts'

/** Of Kafka's control records: the key is version (i16), then type (i16). */
const ABORT = 0

/**
 * Which batches belong to aborted transactions, and which markers nobody needs any more: fed with the batches in the order
 * of the log. A marker goes only once no batch of its transaction is left.
 */
export class CompactionTransactions {
  /** Of each producer in their order; they never overlap. */
  readonly #aborted = new Map<number, AbortedTransaction[]>()
  /** Markers of aborted ones of which a batch is still there, if only an empty one. */
  readonly #seen = new Set<number>()
  /** Producers with a batch behind their last marker. */
  readonly #committed = new Set<number>()

  constructor(aborted: readonly AbortedTransaction[]) {
    for (const transaction of aborted) {
      const own = this.#aborted.get(transaction.producerId)
      if (own === undefined) this.#aborted.set(transaction.producerId, [transaction])
      else own.push(transaction)
    }
  }

  /** Whether nobody needs the batch: its records were aborted, or it is the marker of nothing. `records`: of a marker. */
  isObsolete(bytes: Buffer, at: number, records: PackedRecords | undefined): boolean {
    const producer = batchProducerId(bytes, at)
    const offset = batchLastOffset(bytes, at)
    if (batchIsControl(bytes, at)) return this.#isMarkerOfNothing(producer, offset, records)
    if (!batchIsTransactional(bytes, at)) return false
    const transaction = this.#abortedAt(producer, offset)
    if (transaction === undefined) this.#committed.add(producer)
    else this.#seen.add(transaction.lastOffset)
    return transaction !== undefined
  }

  /** Whether a batch of it was among those that have been fed. */
  hasSeen(transaction: AbortedTransaction): boolean {
    return this.#seen.has(transaction.lastOffset)
  }

  #isMarkerOfNothing(producer: number, offset: number, records: PackedRecords | undefined): boolean {
    const key = records === undefined || records.count === 0 ? null : records.key(0)
    // An empty one has been cleaned before.
    if (key === null || key.length < 4) return true
    if (key.readInt16BE(2) !== ABORT) return !this.#committed.delete(producer)
    const transaction = this.#abortedAt(producer, offset)
    return transaction === undefined || !this.#seen.has(offset)
  }

  #abortedAt(producer: number, offset: number): AbortedTransaction | undefined {
    const own = this.#aborted.get(producer)
    if (own === undefined) return undefined
    let low = 0
    let high = own.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (own[middle]!.lastOffset < offset) low = middle + 1
      else high = middle
    }
    const found = own[low]
    return found !== undefined && found.firstOffset <= offset ? found : undefined
  }
}
