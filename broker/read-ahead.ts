import type { Segment } from './segment.ts'

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
  readonly #chunksMax: number
  /** Oldest first. */
  readonly #chunks = new Map<Segment, Ahead>()

  constructor(chunksMax: number) {
    this.#chunksMax = chunksMax
  }

  /** What was started for exactly this read, if anything. */
  take(segment: Segment, position: number, bytesMax: number): Promise<Buffer | undefined> | undefined {
    const ahead = this.#chunks.get(segment)
    if (ahead === undefined) return undefined
    this.#chunks.delete(segment)
    return ahead.position === position && ahead.bytesMax === bytesMax ? ahead.chunk : undefined
  }

  start(segment: Segment, position: number, bytesMax: number, read: () => Promise<Buffer>): void {
    this.#chunks.delete(segment)
    if (this.#chunks.size >= this.#chunksMax) this.#chunks.delete(this.#chunks.keys().next().value!)
    this.#chunks.set(segment, { position, bytesMax, chunk: read().catch(() => undefined) })
  }
}
