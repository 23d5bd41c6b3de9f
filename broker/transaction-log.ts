import { errorCode, errorMessage, KtsError } from '../base/index.ts'
import { partitionKey } from './group-members.ts'
import { KeyedState, type KeyedStateParts, type StateView } from './keyed-state.ts'
import type { StateRecord } from './state-snapshot.ts'
import {
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
    for (const { topicId, partition, end } of record.durableEnds) {
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
  /** Records that need no write of their own. */
  readonly #riding = new Map<string, TransactionRecord>()
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
    // The state that follows says it too.
    this.#riding.delete(transactionalId)
    await this.#put([...this.#takeRiding(), encode(transactionalId, record)])
  }

  /** Will be written with the next record that is, or by `flush`. */
  writeLater(transactionalId: string, record: TransactionRecord): void {
    this.#riding.set(transactionalId, record)
  }

  async flush(): Promise<void> {
    this.check()
    await this.#put(this.#takeRiding())
  }

  /** False when it failed. */
  snapshot(): Promise<boolean> {
    return this.#state.snapshot()
  }

  #takeRiding(): StateRecord[] {
    const records = [...this.#riding].map(([id, record]) => encode(id, record))
    this.#riding.clear()
    return records
  }

  async #put(records: readonly StateRecord[]): Promise<void> {
    try {
      await this.#state.put(records)
    } catch (error) {
      if (wasTakenBack(error)) throw error
      this.#failure ??= new KtsError(
        'STORAGE_FAILED',
        `the transaction log failed, nothing can be committed any more: ${errorMessage(error)}`,
        { cause: error },
      )
      throw new KtsError(
        'COMMIT_UNKNOWN',
        `the transaction log failed, what was being committed may be in it or not: ${errorMessage(error)}; reopen and read back`,
        { cause: error },
      )
    }
  }
}

function encode(transactionalId: string, record: TransactionRecord): StateRecord {
  return { key: encodeTransactionKey(transactionalId), value: encodeTransactionValue(record) }
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
