import type { CommittedTransaction } from '../changes.ts'

/** Counts the events of the transaction that is being told, for Debezium's transaction metadata. */
export class TransactionCounts {
  /** `txId:commitLsn`: one for the begin, all changes and the end. Debezium's has the LSN of each event. */
  readonly id: string
  readonly xid: number
  /** Microseconds since 1970. */
  readonly commitTime: number
  readonly #byCollection = new Map<string, number>()
  #total = 0

  constructor(transaction: CommittedTransaction) {
    this.xid = transaction.xid
    this.id = `${transaction.xid}:${transaction.commitLsn}`
    this.commitTime = transaction.commitTime
  }

  get total(): number {
    return this.#total
  }

  /** One more event; answers its place, `event.block` of the data model. */
  next(collection: string): readonly [id: string, totalOrder: number, collectionOrder: number] {
    const order = (this.#byCollection.get(collection) ?? 0) + 1
    this.#byCollection.set(collection, order)
    return [this.id, ++this.#total, order]
  }

  /** Name and number of events of each table that had some, as `event.collection`. */
  collections(): readonly (readonly [name: string, count: number])[] {
    return [...this.#byCollection]
  }
}
