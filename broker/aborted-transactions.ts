import type { AbortedTransaction } from './producers.ts'
import type { Segment } from './segment.ts'

/** The aborted transactions of a partition, by producer: whether a batch is one of theirs costs a look-up. */
export class AbortedTransactions {
  /** Of each producer in their order, which never overlap. */
  readonly #byProducer = new Map<number, AbortedTransaction[]>()
  #all: AbortedTransaction[] = []

  /** In the order of their markers. */
  get all(): readonly AbortedTransaction[] {
    return this.#all
  }

  /** Takes what the indexes of the segments hold, in place of what it had. */
  take(segments: readonly Segment[]): void {
    this.#all = []
    this.#byProducer.clear()
    for (const segment of segments) for (const entry of segment.aborted.entries) this.add(entry)
  }

  add(entry: AbortedTransaction): void {
    this.#all.push(entry)
    const own = this.#byProducer.get(entry.producerId)
    if (own === undefined) this.#byProducer.set(entry.producerId, [entry])
    else own.push(entry)
  }

  /** Whether a record of the producer at that offset was aborted. */
  has(producerId: number, offset: number): boolean {
    const own = this.#byProducer.get(producerId)
    if (own === undefined) return false
    let low = 0
    let high = own.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (own[middle]!.lastOffset < offset) low = middle + 1
      else high = middle
    }
    return low < own.length && own[low]!.firstOffset <= offset
  }
}
