import { errorCode, errorMessage, KtsError } from '../base/index.ts'
import { partitionKey } from './group-members.ts'
import { KeyedState, type KeyedStateParts, type StateView } from './keyed-state.ts'
import type { StateRecord } from './state-snapshot.ts'
import {
  type DurableEnd,
  decodeTransactionKey,
  decodeTransactionValue,
  encodeTransactionKey,
  encodeTransactionValue,
  type TransactionRecord,
} from './transaction-records.ts'

/**
 * What is known to be durable in each partition, by topic id and partition; undefined for a partition that no record
 * speaks of.
 */
export type DurableEnds = (topicId: string, partition: number) => number | undefined

/** The newest record of each transactional id, and the ends that all records told. */
class TransactionStates implements StateView {
  readonly byId = new Map<string, TransactionRecord>()
  readonly ends = new Map<string, number>()

  identify(key: Buffer): string {
    return decodeTransactionKey(key)
  }

  apply(key: Buffer, value: Buffer | null): void {
    const id = decodeTransactionKey(key)
    if (value === null) {
      this.byId.delete(id)
      return
    }
    const record = decodeTransactionValue(value)
    this.byId.set(id, record)
    this.learnEnds(record)
  }

  learnEnds({ durableEnds }: TransactionRecord): void {
    for (const { topicId, partition, end } of durableEnds) {
      const place = partitionKey(topicId, partition)
      this.ends.set(place, Math.max(this.ends.get(place) ?? 0, end))
    }
  }
}

/**
 * The topic `__transaction_state`: one record says that a transaction is committed. Writers that come while one write is
 * under way share the next (KeyedState). A write that failed and could not be taken back may be in the log or not, so
 * nothing more is decided until the log has been read again: every later write rejects with STORAGE_FAILED.
 */
export class TransactionLog {
  readonly #view: TransactionStates
  readonly #state: KeyedState
  /** Records that need no write of their own: they say what is known anyway, or are in the commit journal. */
  readonly #riding = new Map<string, TransactionRecord>()
  /** Under way. */
  readonly #writing = new Map<Promise<void>, ReadonlyMap<string, TransactionRecord>>()
  #failure: KtsError | undefined

  static async open(parts: Omit<KeyedStateParts, 'view'>): Promise<TransactionLog> {
    const view = new TransactionStates()
    return new TransactionLog(view, await KeyedState.open({ ...parts, view }))
  }

  private constructor(view: TransactionStates, state: KeyedState) {
    this.#view = view
    this.#state = state
  }

  /** The newest record of each transactional id. */
  get states(): ReadonlyMap<string, TransactionRecord> {
    return this.#view.byId
  }

  readonly durableEnd: DurableEnds = (topicId, partition) => this.#view.ends.get(partitionKey(topicId, partition))

  /** Throws STORAGE_FAILED. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  /**
   * Durable when it resolves. Rejects with DISK_FULL when it certainly is not in the log; with COMMIT_UNKNOWN when it may
   * be.
   */
  async write(transactionalId: string, record: TransactionRecord): Promise<void> {
    this.check()
    const riding = this.#takeRiding()
    // The state that follows says it too, but for the ends.
    const whole = withEndsOf(riding.get(transactionalId), record)
    await this.#write(new Map([...riding, [transactionalId, whole]]), riding)
  }

  /** Will be written with the next record that is, or by `flush`. */
  writeLater(transactionalId: string, record: TransactionRecord): void {
    this.#riding.set(transactionalId, withEndsOf(this.#riding.get(transactionalId), record))
  }

  /** Durable when it resolves: all that was to be written later. Rejects as `write` does. */
  async flush(): Promise<void> {
    // What another write has taken with it is not durable before that ends, and comes back if it fails.
    while (this.#writing.size > 0) await Promise.allSettled(this.#writing.keys())
    this.check()
    const riding = this.#takeRiding()
    if (riding.size > 0) await this.#write(riding, riding)
  }

  #write(
    records: ReadonlyMap<string, TransactionRecord>,
    riding: ReadonlyMap<string, TransactionRecord>,
  ): Promise<void> {
    const writing = this.#put(records)
      .catch(error => {
        this.#takeBack(riding)
        throw error
      })
      .finally(() => this.#writing.delete(writing))
    this.#writing.set(writing, records)
    return writing
  }

  /** Takes what the commit journal alone may know; to be written later. In the order in which they became durable. */
  recall(records: readonly StateRecord[]): void {
    for (const { key, value } of records) {
      const id = decodeTransactionKey(key)
      const record = decodeTransactionValue(value!)
      this.#view.learnEnds(record)
      const known = this.#view.byId.get(id)
      if (known !== undefined && !isNewer(record, known)) continue
      this.#view.byId.set(id, record)
      this.writeLater(id, record)
    }
  }

  /** Nothing can be decided any more: a commit may be durable or not. Answers the error to tell who asked for it. */
  fail(cause: unknown): KtsError {
    this.#failure ??= new KtsError(
      'STORAGE_FAILED',
      `the transaction log failed, nothing can be committed any more: ${errorMessage(cause)}`,
      { cause },
    )
    return new KtsError(
      'COMMIT_UNKNOWN',
      `the transaction log failed, what was being committed may be in it or not: ${errorMessage(cause)}; reopen and read back`,
      { cause },
    )
  }

  /** False when it failed. */
  snapshot(): Promise<boolean> {
    return this.#state.snapshot()
  }

  #takeRiding(): ReadonlyMap<string, TransactionRecord> {
    const taken = new Map<string, TransactionRecord>()
    for (const [id, record] of this.#riding) {
      // Which is to be the newest in the log is not known before that has ended.
      if ([...this.#writing.values()].some(records => isOlder(record, records.get(id)))) continue
      const known = this.#view.byId.get(id)
      taken.set(id, isOlder(record, known) ? withEndsOf(record, known!) : record)
      this.#riding.delete(id)
    }
    return taken
  }

  /** What could not be written goes on riding, below what has come since. */
  #takeBack(riding: ReadonlyMap<string, TransactionRecord>): void {
    for (const [id, record] of riding) this.#riding.set(id, withEndsOf(record, this.#riding.get(id) ?? record))
  }

  async #put(records: ReadonlyMap<string, TransactionRecord>): Promise<void> {
    try {
      await this.#state.put([...records].map(([id, record]) => encodeTransaction(id, record)))
    } catch (error) {
      throw wasTakenBack(error) ? error : this.fail(error)
    }
  }
}

export function encodeTransaction(transactionalId: string, record: TransactionRecord): StateRecord {
  return { key: encodeTransactionKey(transactionalId), value: encodeTransactionValue(record) }
}

/** With what the record before it tells of ends, which nobody else may tell. */
function withEndsOf(before: TransactionRecord | undefined, record: TransactionRecord): TransactionRecord {
  if (before === undefined || before === record) return record
  const ends = new Map<string, DurableEnd>()
  for (const end of [...before.durableEnds, ...record.durableEnds]) {
    const place = partitionKey(end.topicId, end.partition)
    if (end.end >= (ends.get(place)?.end ?? 0)) ends.set(place, end)
  }
  return { ...record, durableEnds: [...ends.values()] }
}

function isOlder(a: TransactionRecord, b: TransactionRecord | undefined): boolean {
  return b !== undefined && isNewer(b, a)
}

/** Producer ids and epochs of an id only grow. */
function isNewer(a: TransactionRecord, b: TransactionRecord): boolean {
  return a.producerId === b.producerId ? a.producerEpoch > b.producerEpoch : a.producerId > b.producerId
}

/** Whether a write that was rejected has certainly left nothing: no room, or no file handle. */
function wasTakenBack(error: unknown): boolean {
  const cause = error instanceof KtsError ? errorCode(error.cause) : ''
  return errorCode(error) === 'DISK_FULL' || cause === 'EMFILE' || cause === 'ENFILE'
}

/** How a transaction that is open in a partition ended, as far as the log knows. */
export function isCommitted(
  states: ReadonlyMap<string, TransactionRecord>,
): (producerId: number, epoch: number) => boolean {
  const committed = new Set<string>()
  for (const record of states.values()) {
    if (record.state !== 'PrepareCommit' && record.state !== 'CompleteCommit') continue
    // From transaction version 2 on the record has the epoch of the markers.
    const epoch = record.clientVersion >= 2 ? record.producerEpoch - 1 : record.producerEpoch
    committed.add(`${record.producerId} ${epoch}`)
  }
  return (producerId, epoch) => committed.has(`${producerId} ${epoch}`)
}
