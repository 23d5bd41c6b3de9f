import { BufferPool } from '../base/index.ts'
import type { Segment } from './segment.ts'

/** A piece of a reader's usual size, and the batch that is cut at its end. */
const CHUNK_BYTES = 2 << 20

interface Ahead {
  readonly position: number
  readonly bytesMax: number
  /** Undefined when it could not be read: the reader meets the failure itself. */
  readonly chunk: Promise<Buffer | undefined>
}

/**
 * The piece that a reader will ask for next, read while the last one is worked on. One for a segment, a few in all: shared
 * by the partitions of a broker, so memory does not grow with them.
 */
export class ReadAhead {
  /** Where the pieces lie. */
  readonly pool: BufferPool
  readonly #chunksMax: number
  /** Oldest first. */
  readonly #chunks = new Map<Segment, Ahead>()

  constructor(chunksMax: number) {
    this.#chunksMax = chunksMax
    this.pool = new BufferPool(CHUNK_BYTES, 2 * chunksMax)
  }

  /** What was started for exactly this read, if anything. */
  take(segment: Segment, position: number, bytesMax: number): Promise<Buffer | undefined> | undefined {
    const ahead = this.#chunks.get(segment)
    if (ahead === undefined) return undefined
    this.#chunks.delete(segment)
    if (ahead.position === position && ahead.bytesMax === bytesMax) return ahead.chunk
    this.#drop(ahead)
    return undefined
  }

  start(segment: Segment, position: number, bytesMax: number, read: () => Promise<Buffer>): void {
    this.#forget(segment)
    if (this.#chunks.size >= this.#chunksMax) this.#forget(this.#chunks.keys().next().value!)
    this.#chunks.set(segment, { position, bytesMax, chunk: read().catch(() => undefined) })
  }

  #forget(segment: Segment): void {
    const ahead = this.#chunks.get(segment)
    this.#chunks.delete(segment)
    if (ahead !== undefined) this.#drop(ahead)
  }

  #drop(ahead: Ahead): void {
    void ahead.chunk.then(chunk => chunk !== undefined && this.pool.give(chunk))
  }
}
