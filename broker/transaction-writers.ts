import { assert, type CodecName, KtsError, sleep } from '../base/index.ts'
import type { Transaction, Writer, WriterOptions } from './port.ts'
import { type CommitTarget, OpenTransaction } from './transaction.ts'
import type { TransactionalId, Transactions } from './transactions.ts'

/** Kafka's transaction.max.timeout.ms. */
const TIMEOUT_MAX_MS = 900_000
const TIMEOUT_MS = 60_000
/** How often transactions are looked after. */
const TEND_MS = 1000

interface WriterSettings {
  readonly transactional: boolean
  readonly timeoutMs: number
  readonly compression: CodecName
}

/** Writers by id: at most one of an id is not fenced. */
export class Writers {
  readonly #target: CommitTarget
  readonly #transactions: Transactions
  readonly #byId = new Map<string, EmbeddedWriter>()
  readonly #stop = new AbortController()
  #tending: Promise<void> | undefined

  constructor(target: CommitTarget, transactions: Transactions) {
    this.#target = target
    this.#transactions = transactions
  }

  /** Begins to look for transactions that were open too long. */
  start(): void {
    this.#tending = this.#tend()
  }

  async open(id: string, options: WriterOptions = {}): Promise<Writer> {
    this.#target.checkOpen()
    const settings = settingsOf(id, options)
    const earlier = this.#byId.get(id)
    const place = this.#transactions.of(id)
    const writer = new EmbeddedWriter(id, this.#target, place, settings, earlier?.fence())
    this.#byId.set(id, writer)
    await writer.ready
    place.check()
    return writer
  }

  /** Ends commits under way, aborts what is open, and leaves as little as possible to the next start: answers whether nothing. */
  async close(): Promise<boolean> {
    this.#stop.abort()
    await this.#tending
    await Promise.all([...this.#byId.values()].map(writer => writer.close()))
    return this.#transactions.close()
  }

  async #tend(): Promise<void> {
    while (await sleep(this.#target.clock, TEND_MS, this.#stop.signal)) {
      for (const writer of this.#byId.values()) await writer.expire()
      await this.#transactions.tend()
    }
  }
}

class EmbeddedWriter implements Writer {
  readonly id: string
  /** Resolves when all earlier writers of the id have ended what they had begun. */
  readonly ready: Promise<void>
  readonly #target: CommitTarget
  readonly #place: TransactionalId
  readonly #settings: WriterSettings
  /** Why it may not write any more. */
  #fence: KtsError | undefined
  #beginning = false
  #transaction: OpenTransaction | undefined

  constructor(
    id: string,
    target: CommitTarget,
    place: TransactionalId,
    settings: WriterSettings,
    earlier: Promise<void> | undefined,
  ) {
    this.id = id
    this.#target = target
    this.#place = place
    this.#settings = settings
    this.ready = earlier ?? Promise.resolve()
  }

  async begin(): Promise<Transaction> {
    this.#check()
    assert(!this.#beginning && this.#transaction?.open !== true, `writer ${this.id} has one transaction at a time`)
    this.#beginning = true
    try {
      await this.#transaction?.settled()
      const producer = await this.#place.begin()
      this.#check()
      const check = () => this.#check()
      this.#transaction = new OpenTransaction({
        target: this.#target,
        id: this.#place,
        producer,
        ...this.#settings,
        check,
      })
      return this.#transaction
    } catch (error) {
      this.#target.failed(error)
      throw error
    } finally {
      this.#beginning = false
    }
  }

  /** Its markers are durable then, so that readers come to the very end of the log. */
  async close(): Promise<void> {
    this.#fence ??= new KtsError('FENCED', `the writer ${this.id} is closed`)
    await this.ready
    await this.#transaction?.abort()
    // What cannot be done now is tried again, and at the latest done by the next start.
    await this.#place.complete().catch(() => undefined)
  }

  /** From here on nothing new; resolves when what was begun has ended. */
  fence(): Promise<void> {
    this.#fence = new KtsError('FENCED', `a newer writer has the id ${this.id}; reopen from the committed state`)
    return this.close()
  }

  /** Aborts a transaction that was open for too long, and fences the writer. */
  async expire(): Promise<void> {
    if (this.#transaction?.timedOut !== true) return
    this.#fence ??= new KtsError(
      'TRANSACTION_TIMED_OUT',
      `writer ${this.id}: its transaction was open for more than ${this.#settings.timeoutMs} ms and was aborted; reopen from the committed state, or raise the timeout`,
    )
    await this.#transaction.abort()
  }

  #check(): void {
    this.#target.checkOpen()
    if (this.#fence !== undefined) throw this.#fence
  }
}

function settingsOf(id: string, options: WriterOptions): WriterSettings {
  const { transactional = true, transactionTimeoutMs: timeoutMs = TIMEOUT_MS, compression = 'none' } = options
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > TIMEOUT_MAX_MS) {
    throw new KtsError(
      'INVALID_CONFIG',
      `writer ${id}: expected a transaction timeout of 1 to ${TIMEOUT_MAX_MS} ms, got ${timeoutMs}`,
    )
  }
  return { transactional, timeoutMs, compression }
}
