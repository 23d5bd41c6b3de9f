import type { BufferPool, Codec } from '../../runtime/api/index.ts'
import { BlockWriter } from '../formats/block-writer.ts'
import { CompressedBlocks } from '../formats/compression.ts'
import type { Format, Reject } from '../formats/format.ts'
import type { Rows } from '../formats/rows.ts'
import type { ObjectWriter } from './object-store.ts'

/** What makes an object the same one after a restart. */
export interface ObjectIdentity {
  readonly originTopic: string
  readonly partition: number
  /** Folder: topic as routed, and encoded partition. */
  readonly folder: string
  readonly firstOffset: number
  readonly key: string
}

/**
 * One object that is being filled, uploaded or committed. Taking records only formats them into memory and cannot fail
 * half way; compressing and uploading happen behind that in `settle`, which may fail and be called again: a chunk that was
 * not taken is offered again with the same bytes.
 */
export class OpenObject {
  readonly identity: ObjectIdentity
  /** Monotonic milliseconds. */
  readonly openedAt: number
  touchedAt: number
  firstTimestamp = -1
  readonly #blocks: BlockWriter
  readonly #compressed: CompressedBlocks
  readonly #writer: ObjectWriter
  #finished = false
  #committed = false
  #working: Promise<void> | undefined

  constructor(identity: ObjectIdentity, writer: ObjectWriter, codec: Codec, pool: BufferPool, openedAt: number) {
    this.identity = identity
    this.openedAt = openedAt
    this.touchedAt = openedAt
    this.#writer = writer
    this.#blocks = new BlockWriter(pool)
    this.#compressed = new CompressedBlocks(codec, this.#blocks)
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

  /** Formats rows [from, to) until the object has `bytesMax` uncompressed bytes; answers the next row. */
  take(format: Format, rows: Rows, from: number, to: number, bytesMax: number, reject: Reject): number {
    if (this.lines === 0) this.firstTimestamp = rows.timestamp(from)
    return format.write(rows, from, to, this.#blocks, bytesMax, reject)
  }

  /** No more records: the next `settle` commits. */
  finish(): void {
    if (this.#finished) return
    this.#finished = true
    this.#blocks.finish()
  }

  /** Writes every whole block, and commits when finished. A rejection loses nothing; call again. */
  async settle(): Promise<void> {
    while (this.#finished ? !this.#committed : this.#compressed.pending) {
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
    if (!this.#finished || this.#committed) return
    if (this.lines === 0) await this.#writer.abort()
    else await this.#writer.commit()
    this.#committed = true
  }
}
