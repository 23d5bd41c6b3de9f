import { assert, errorMessage, KtsError, type PackedRecords } from '../base/index.ts'
import { checkRecordSizes } from './batch-writer.ts'
import { checkpointRecords } from './checkpoints.ts'
import { type GroupMembers, partitionKey } from './group-members.ts'
import { offsetRecords } from './groups.ts'
import type { Checkpoint, GroupMember, GroupOffset, Transaction, Writer } from './port.ts'
import type { StateRecord } from './state-snapshot.ts'

/** Most bytes of records that one transaction may hold before its commit. */
const STAGED_BYTES_MAX = 256 << 20

/** What a transaction writes to. */
export interface WritablePartition {
  readonly maxMessageBytes: number
  append(records: readonly PackedRecords[]): Promise<unknown>
  /** Durable when it resolves, and readable from then on. */
  sync(): Promise<void>
}

export interface CommitTarget {
  readonly members: GroupMembers
  /** Throws CLOSED. */
  checkOpen(): void
  /** Throws UNKNOWN_TOPIC_OR_PARTITION. */
  writable(topic: string, partition: number): WritablePartition
  now(): number
  putCheckpoints(records: readonly StateRecord[]): Promise<void>
  putOffsets(records: readonly StateRecord[]): Promise<void>
  /** Told of every commit's failure, so that a full disk stops the sources at once. */
  failed(error: unknown): void
}

/** Writers by id: at most one of an id is not fenced. */
export class Writers {
  readonly #target: CommitTarget
  readonly #byId = new Map<string, EmbeddedWriter>()

  constructor(target: CommitTarget) {
    this.#target = target
  }

  async open(id: string): Promise<Writer> {
    this.#target.checkOpen()
    const earlier = this.#byId.get(id)
    const writer = new EmbeddedWriter(id, this.#target, earlier?.fence())
    this.#byId.set(id, writer)
    await writer.ready
    return writer
  }

  /** Resolves when no commit is under way. */
  async settled(): Promise<void> {
    await Promise.all([...this.#byId.values()].map(writer => writer.settled()))
  }
}

class EmbeddedWriter implements Writer {
  readonly id: string
  /** Resolves when all earlier writers of the id have ended what they had begun to commit. */
  readonly ready: Promise<void>
  readonly #target: CommitTarget
  #fenced = false
  #transaction: StagedTransaction | undefined

  constructor(id: string, target: CommitTarget, earlier: Promise<void> | undefined) {
    this.id = id
    this.#target = target
    this.ready = earlier ?? Promise.resolve()
  }

  async begin(): Promise<Transaction> {
    this.check()
    assert(this.#transaction?.open !== true, `writer ${this.id} has one transaction at a time`)
    this.#transaction = new StagedTransaction(this.#target, this)
    return this.#transaction
  }

  async close(): Promise<void> {
    await this.#transaction?.abort()
    await this.settled()
    this.#fenced = true
  }

  /** From here on nothing new; resolves when what was begun has ended. */
  async fence(): Promise<void> {
    this.#fenced = true
    await this.ready
    await this.settled()
    await this.#transaction?.abort()
  }

  async settled(): Promise<void> {
    await this.#transaction?.committing?.catch(() => undefined)
  }

  check(): void {
    if (this.#fenced)
      throw new KtsError('FENCED', `a newer writer has the id ${this.id}; reopen from the committed state`)
    this.#target.checkOpen()
  }
}

interface Append {
  readonly partition: WritablePartition
  readonly records: PackedRecords[]
}

/**
 * A transaction that keeps its records in memory until the commit, so an abort leaves nothing. The commit writes and
 * syncs the records, then the checkpoints, then the offsets: a kill in between leaves records that will be read again from
 * the source, never a position without what lies before it.
 */
class StagedTransaction implements Transaction {
  readonly #target: CommitTarget
  readonly #writer: EmbeddedWriter
  readonly #appends = new Map<string, Append>()
  readonly #checkpoints: StateRecord[] = []
  readonly #offsets: { readonly member: GroupMember; readonly offsets: readonly GroupOffset[] }[] = []
  #bytes = 0
  open = true
  committing: Promise<void> | undefined

  constructor(target: CommitTarget, writer: EmbeddedWriter) {
    this.#target = target
    this.#writer = writer
  }

  async append(topic: string, partition: number, records: PackedRecords): Promise<void> {
    this.#check()
    const key = partitionKey(topic, partition)
    const append = this.#appends.get(key) ?? { partition: this.#target.writable(topic, partition), records: [] }
    checkRecordSizes(records, append.partition.maxMessageBytes, key)
    if (this.#bytes + records.size > STAGED_BYTES_MAX) {
      throw new KtsError(
        'TRANSACTION_TOO_LARGE',
        `transaction of writer ${this.#writer.id}: more than ${STAGED_BYTES_MAX} bytes without a commit; commit in smaller steps`,
      )
    }
    this.#bytes += records.size
    append.records.push(records)
    this.#appends.set(key, append)
  }

  checkpoint(entries: readonly Checkpoint[]): void {
    this.#check()
    this.#checkpoints.push(...checkpointRecords(entries))
  }

  offsets(member: GroupMember, offsets: readonly GroupOffset[]): void {
    this.#check()
    if (offsets.length > 0) this.#offsets.push({ member, offsets })
  }

  commit(): Promise<void> {
    try {
      this.#check()
    } catch (error) {
      return Promise.reject(error)
    }
    this.open = false
    this.committing = this.#commit().catch(error => {
      this.#target.failed(error)
      throw error
    })
    return this.committing
  }

  /** Does nothing once the commit has begun: that ends by itself, in full. */
  async abort(): Promise<void> {
    if (!this.open) return
    this.open = false
    this.#drop()
  }

  async #commit(): Promise<void> {
    const admitted: (() => void)[] = []
    try {
      for (const { member, offsets } of this.#offsets) admitted.push(this.#target.members.admit(member, offsets))
      await this.#writeRecords()
      await halfWay(this.#target.putCheckpoints(this.#checkpoints))
      const now = this.#target.now()
      const moved = this.#offsets.flatMap(({ member, offsets }) => offsetRecords(now, member.group, offsets))
      await halfWay(this.#target.putOffsets(moved))
    } finally {
      for (const end of admitted) end()
      this.#drop()
    }
  }

  /** All files at once. Every call is waited for, so that nothing goes on behind a rejection. */
  async #writeRecords(): Promise<void> {
    const appends = [...this.#appends.values()].filter(({ records }) => records.length > 0)
    const written = await Promise.allSettled(appends.map(({ partition, records }) => partition.append(records)))
    const failures = written.filter(result => result.status === 'rejected')
    if (failures.length > 0)
      throw failures.length === appends.length ? failures[0]!.reason : unknown(failures[0]!.reason)
    const synced = await Promise.allSettled(appends.map(({ partition }) => partition.sync()))
    const failed = synced.find(result => result.status === 'rejected')
    if (failed !== undefined) throw unknown(failed.reason)
  }

  #drop(): void {
    this.#appends.clear()
    this.#checkpoints.length = 0
    this.#offsets.length = 0
    this.#bytes = 0
  }

  #check(): void {
    this.#writer.check()
    assert(this.open, `the transaction of writer ${this.#writer.id} is over`)
  }
}

async function halfWay(writing: Promise<void>): Promise<void> {
  try {
    await writing
  } catch (error) {
    throw unknown(error)
  }
}

function unknown(cause: unknown): KtsError {
  const message = `the commit failed half way, records may be in the log without their checkpoint: ${errorMessage(cause)}`
  return new KtsError('COMMIT_UNKNOWN', `${message}; reopen and read back`, { cause })
}
