import { Gate } from '../base/index.ts'
import type { Transaction, Writer } from '../broker/index.ts'

/** A sink task's transactions, one at a time: the commits of its loop, and what the task saves at once in between. */
export class SinkTransactions {
  readonly #writer: Writer
  readonly #turns = new Gate(1)

  constructor(writer: Writer) {
    this.#writer = writer
  }

  /** Commits what `fill` puts into a transaction. */
  commit(fill: (transaction: Transaction) => Promise<void> | void): Promise<void> {
    return this.#turns.pass(async () => {
      const transaction = await this.#writer.begin()
      try {
        await fill(transaction)
      } catch (error) {
        await transaction.abort()
        throw error
      }
      await transaction.commit()
    })
  }
}
