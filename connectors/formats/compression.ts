import type { Codec } from '../../runtime/api/index.ts'
import type { BlockWriter } from './block-writer.ts'

/** One compresses while the other is written; more would only hold memory. */
const IN_FLIGHT_MAX = 2

/**
 * The blocks of a writer, compressed, in order. Every block becomes one gzip member or zstd frame, so that the same lines
 * give the same bytes however they arrived; readers take concatenated members and frames as one stream (RFC 1952 2.2,
 * RFC 8878 3.1). A chunk stays the head until `done`, so a failed write can be tried again with the same bytes.
 */
export class CompressedBlocks {
  readonly #codec: Codec
  readonly #blocks: BlockWriter
  readonly #inFlight: { readonly block: Buffer; readonly chunk: Promise<Buffer> }[] = []

  constructor(codec: Codec, blocks: BlockWriter) {
    this.#codec = codec
    this.#blocks = blocks
  }

  /** Memory held by blocks under way, in bytes; those that wait are the writer's. */
  get held(): number {
    return this.#inFlight.reduce((sum, { block }) => sum + block.length, 0)
  }

  get pending(): boolean {
    return this.#inFlight.length > 0 || this.#blocks.hasWhole
  }

  /** The oldest chunk that is not done, or undefined when every whole block is. */
  async head(): Promise<Buffer | undefined> {
    while (this.#inFlight.length < IN_FLIGHT_MAX) {
      const block = this.#blocks.shift()
      if (block === undefined) break
      const chunk = this.#codec.compress(block)
      // It is awaited when its turn comes; until then a failure is not unhandled.
      chunk.catch(() => {})
      this.#inFlight.push({ block, chunk })
    }
    return await this.#inFlight[0]?.chunk
  }

  done(): void {
    const { block } = this.#inFlight.shift()!
    this.#blocks.giveBack(block)
  }
}
