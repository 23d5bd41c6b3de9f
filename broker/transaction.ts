import { assert, type Clock, type CodecName, type PackedRecords } from '../base/index.ts'
import { checkpointRecords } from './checkpoints.ts'
import type { GroupMembers } from './group-members.ts'
import { offsetRecords } from './groups.ts'
import type { KeyedState, WrittenState } from './keyed-state.ts'
import type { Checkpoint, GroupMember, GroupOffset, Transaction } from './port.ts'
import type { Producer } from './producers.ts'
import type { StateRecord } from './state-snapshot.ts'
import { TransactionAppends } from './transaction-appends.ts'
import type { TransactionPartition } from './transaction-markers.ts'
import type { TransactionalId } from './transactions.ts'

/** A keyed state and the partition that holds it. */
export interface TransactionalState {
  readonly state: KeyedState
  readonly partition: TransactionPartition
}

/** What transactions write to. */
export interface CommitTarget {
  readonly clock: Clock
  readonly members: GroupMembers
  readonly checkpoints: TransactionalState
  readonly offsets: TransactionalState
  /** Throws CLOSED. */
  checkOpen(): void
  /** Throws UNKNOWN_TOPIC_OR_PARTITION and INVALID_TOPIC. */
  writable(topic: string, partition: number): TransactionPartition
  /** Told of every failure, so that a full disk stops the sources at once. */
  failed(error: unknown): void
}

interface StateWrite {
  readonly state: KeyedState
  readonly written: WrittenState
}

export interface TransactionParts {
  readonly target: CommitTarget
  readonly id: TransactionalId
  readonly producer: Producer
  /** False: records carry no producer and stay when the transaction is aborted. */
  readonly transactional: boolean
  readonly timeoutMs: number
  readonly compression: CodecName
  /** Throws when the writer may not write any more. */
  readonly check: () => void
}

/**
 * An open transaction. Records are written as they come; checkpoints and offsets are written by the commit, so that a
 * long transaction does not hold up the state of others.
 */
export class OpenTransaction implements Transaction {
  readonly #parts: TransactionParts
  readonly #appends: TransactionAppends
  readonly #checkpoints: StateRecord[] = []
  readonly #offsets: { readonly member: GroupMember; readonly offsets: readonly GroupOffset[] }[] = []
  /** Written to with the producer: to be ended by markers. */
  readonly #touched = new Set<TransactionPartition>()
  /** Written to without it. */
  readonly #plain = new Set<TransactionPartition>()
  #begun: { readonly monotonic: number; readonly now: number } | undefined
  #ending: Promise<void> | undefined

  constructor(parts: TransactionParts) {
    this.#parts = parts
    const { producer, transactional, compression: codec } = parts
    this.#appends = new TransactionAppends(transactional ? { producer, codec } : { codec })
  }

  /** Neither commit nor abort has begun. */
  get open(): boolean {
    return this.#ending === undefined
  }

  get timedOut(): boolean {
    const { target, timeoutMs } = this.#parts
    return this.open && this.#begun !== undefined && target.clock.monotonic() - this.#begun.monotonic > timeoutMs
  }

  async append(topic: string, partition: number, records: PackedRecords): Promise<void> {
    this.#check()
    const { target } = this.#parts
    const to = target.writable(topic, partition)
    to.check(records)
    if (records.count === 0) return
    this.#begin()
    ;(this.#parts.transactional ? this.#touched : this.#plain).add(to)
    await this.#appends.add(to, records).catch(error => {
      target.failed(error)
      throw error
    })
  }

  checkpoint(entries: readonly Checkpoint[]): void {
    this.#check()
    this.#checkpoints.push(...checkpointRecords(entries))
  }

  offsets(member: GroupMember, offsets: readonly GroupOffset[]): void {
    this.#check()
    if (offsets.length > 0) this.#offsets.push({ member, offsets })
  }

  async commit(): Promise<void> {
    this.#check()
    const committing = this.#commit()
    this.#ending = committing.catch(() => undefined)
    try {
      await committing
    } catch (error) {
      this.#parts.target.failed(error)
      throw error
    }
  }

  /** Once the commit has begun it does nothing: that ends by itself, in full. */
  async abort(): Promise<void> {
    this.#ending ??= this.#abort()
    await this.#ending
  }

  /** Resolves when a commit or abort under way has ended; never rejects. */
  async settled(): Promise<void> {
    await this.#ending
  }

  async #commit(): Promise<void> {
    const admitted: (() => void)[] = []
    try {
      const written = await this.#write(admitted).catch(async error => {
        await this.#abort()
        throw error
      })
      await this.#decide(written)
    } finally {
      for (const end of admitted) end()
      this.#checkpoints.length = 0
      this.#offsets.length = 0
    }
  }

  /** Checkpoints and offsets go beside the last records; all is waited for, so that nothing goes on behind a rejection. */
  async #write(admitted: (() => void)[]): Promise<readonly StateWrite[]> {
    const { target, producer } = this.#parts
    for (const { member, offsets } of this.#offsets) admitted.push(target.members.admit(member, offsets))
    const now = target.clock.now()
    const moved = this.#offsets.flatMap(({ member, offsets }) => offsetRecords(now, member.group, offsets))
    const writes = [this.#checkpoints, moved].map(async (records, i): Promise<StateWrite[]> => {
      if (records.length === 0) return []
      const { state, partition } = i === 0 ? target.checkpoints : target.offsets
      this.#touched.add(partition)
      return [{ state, written: await state.append(records, producer) }]
    })
    const [appends, ...states] = await Promise.allSettled([this.#appends.settled(), ...writes])
    if (appends.status === 'rejected') throw appends.reason
    return states.flatMap(result => {
      if (result.status === 'rejected') throw result.reason
      return result.value
    })
  }

  async #decide(states: readonly StateWrite[]): Promise<void> {
    const { id, producer, timeoutMs } = this.#parts
    const startedAt = this.#begun?.now ?? this.#parts.target.clock.now()
    const ending = { producer, partitions: this.#touched, plain: this.#plain, startedAt, timeoutMs }
    await id.commit(ending, () => {
      for (const { state, written } of states) state.apply(written)
    })
  }

  async #abort(): Promise<void> {
    await this.#appends.idle()
    this.#parts.id.abort(this.#parts.producer, this.#touched)
  }

  #begin(): void {
    const { clock } = this.#parts.target
    this.#begun ??= { monotonic: clock.monotonic(), now: clock.now() }
  }

  #check(): void {
    this.#parts.check()
    assert(this.open, 'a transaction that has ended takes nothing more')
  }
}
