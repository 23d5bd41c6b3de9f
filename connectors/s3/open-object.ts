import type { BufferPool } from '../../runtime/api/index.ts'
import { BlockWriter } from '../formats/block-writer.ts'
import { CompressedBlocks } from '../formats/compression.ts'
import type { Reject } from '../formats/format.ts'
import type { Rows } from '../formats/rows.ts'
import type { ConfigEra } from './config-era.ts'
import type { ObjectPlan } from './object-plan.ts'
import type { ObjectWriter } from './object-store.ts'

/** What is known of an object when it is begun. */
export interface ObjectIdentity {
  /** Folder: topic as routed, and encoded partition. */
  readonly folder: string
  readonly firstOffset: number
  readonly key: string
}

/**
 * One object that is being filled, uploaded or committed. Taking records only formats them into memory and cannot fail
 * half way; compressing and uploading happen behind that in `settle`, which may fail and be called again: a chunk that was
 * not taken is offered again with the same bytes. Nothing of it can be seen before `allowCommit`.
 */
export class OpenObject {
  readonly identity: ObjectIdentity
  /** The configuration that it is written under. */
  readonly era: ConfigEra
  /** Monotonic milliseconds. */
  readonly openedAt: number
  touchedAt: number
  firstTimestamp = -1
  /** Of a finished object with records, once it was asked for; of one that an earlier run had planned, from the start. */
  plan: ObjectPlan | undefined
  readonly #blocks: BlockWriter
  readonly #compressed: CompressedBlocks
  readonly #writer: ObjectWriter
  #lastOffset: number
  #finished = false
  #mayCommit = false
  #committed = false
  #working: Promise<void> | undefined

  constructor(identity: ObjectIdentity, era: ConfigEra, writer: ObjectWriter, pool: BufferPool, openedAt: number) {
    this.identity = identity
    this.era = era
    this.openedAt = openedAt
    this.touchedAt = openedAt
    this.#lastOffset = identity.firstOffset
    this.#writer = writer
    this.#blocks = new BlockWriter(pool)
    this.#compressed = new CompressedBlocks(era.rules.codec, this.#blocks)
  }

  get lines(): number {
    return this.#blocks.lines
  }

  /** Uncompressed. */
  get bytes(): number {
    return this.#blocks.total
  }

  /** Memory held, in bytes. */
  get held(): number {
    return this.#blocks.held + this.#compressed.held + this.#writer.held
  }

  /** Durable, or empty and gone. */
  get committed(): boolean {
    return this.#committed
  }

  /** Its plan is durable, or it needs none: the next `settle` makes it visible. */
  get mayCommit(): boolean {
    return this.#mayCommit
  }

  /** Formats rows [from, to) until the object has `bytesMax` uncompressed bytes; answers the next row. */
  take(rows: Rows, from: number, to: number, bytesMax: number, reject: Reject): number {
    if (this.lines === 0) this.firstTimestamp = rows.timestamp(from)
    const next = this.era.rules.format.write(rows, from, to, this.#blocks, bytesMax, reject)
    if (next > from) this.#lastOffset = rows.offset(next - 1)
    return next
  }

  /** No more records. One without any needs no plan: it will not be written. */
  finish(): void {
    if (this.#finished) return
    this.#finished = true
    this.#blocks.finish()
    if (this.lines === 0) this.#mayCommit = true
  }

  /** Decides, once and for all, which records the finished object has. */
  decide(): ObjectPlan {
    this.plan ??= { ...this.identity, lastOffset: this.#lastOffset, count: this.lines }
    return this.plan
  }

  allowCommit(): void {
    this.#mayCommit = true
  }

  /** Writes every whole block, and commits when finished and allowed. A rejection loses nothing; call again. */
  async settle(): Promise<void> {
    while (this.#compressed.pending || this.#isDueForCommit) {
      this.#working ??= this.#work().finally(() => {
        this.#working = undefined
      })
      await this.#working
    }
  }

  /** Starts `settle` without waiting: who waits later starts it again and hears what is wrong. */
  kick(): void {
    this.settle().catch(() => {})
  }

  /** Gives up; what was taken will be delivered again. */
  async abort(): Promise<void> {
    await this.#working?.catch(() => {})
    if (!this.#committed) await this.#writer.abort()
  }

  async #work(): Promise<void> {
    for (;;) {
      const chunk = await this.#compressed.head()
      if (chunk === undefined) break
      await this.#writer.write(chunk)
      this.#compressed.done()
    }
    if (!this.#isDueForCommit) return
    if (this.lines === 0) await this.#writer.abort()
    else await this.#writer.commit()
    this.#committed = true
  }

  get #isDueForCommit(): boolean {
    return this.#finished && this.#mayCommit && !this.#committed
  }
}
