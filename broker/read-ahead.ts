import { BufferPool } from '../base/index.ts'
import type { Segment } from './segment.ts'

/** A piece of a reader's usual size, and the batch that is cut at its end. */
const CHUNK_BYTES = 2 << 20

/** A piece that nobody has asked for while so many others found no room is nobody's any more. */
const PASSED_OVER_MAX = 64

interface Ahead {
  readonly position: number
  readonly bytesMax: number
  /** Memory that it takes. */
  readonly bytes: number
  passedOver: number
  /** Undefined when it could not be read: the reader meets the failure itself. */
  readonly chunk: Promise<Buffer | undefined>
}

/**
 * The piece that a reader will ask for next, read while the last one is worked on. One for a segment, and so many bytes in
 * all: shared by the partitions of a broker, so memory does not grow with them. Where there are more readers than room they
 * take turns; none loses the piece that was read for it to another.
 */
export class ReadAhead {
  /** Where the pieces lie. */
  readonly pool: BufferPool
  readonly #bytesMax: number
  #bytes = 0
  /** Oldest first. */
  readonly #chunks = new Map<Segment, Ahead>()
  /** Who found no room, and comes first the next time. */
  readonly #refused = new Set<Segment>()

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
    this.pool = new BufferPool(CHUNK_BYTES, Math.ceil(bytesMax / CHUNK_BYTES))
  }

  /** What was started for exactly this read, if anything. */
  take(segment: Segment, position: number, bytesMax: number): Promise<Buffer | undefined> | undefined {
    const ahead = this.#remove(segment)
    if (ahead === undefined) return undefined
    if (ahead.position === position && ahead.bytesMax === bytesMax) return ahead.chunk
    this.#drop(ahead)
    return undefined
  }

  start(segment: Segment, position: number, bytesMax: number, read: () => Promise<Buffer>): void {
    const old = this.#remove(segment)
    if (old !== undefined) this.#drop(old)
    const bytes = Math.max(bytesMax, CHUNK_BYTES)
    const wasRefused = this.#refused.delete(segment)
    // Who had a piece just now lets those go first who had none.
    const others = wasRefused ? 0 : this.#refused.size
    if (this.#bytes + bytes * (others + 1) > this.#bytesMax) {
      this.#refuse(segment)
      return
    }
    this.#bytes += bytes
    this.#chunks.set(segment, { position, bytesMax, bytes, passedOver: 0, chunk: read().catch(() => undefined) })
  }

  #refuse(segment: Segment): void {
    this.#refused.add(segment)
    if (this.#refused.size > PASSED_OVER_MAX) this.#refused.delete(this.#refused.values().next().value!)
    const [oldest, ahead] = this.#chunks.entries().next().value ?? []
    if (oldest === undefined || ahead === undefined || ++ahead.passedOver < PASSED_OVER_MAX) return
    this.#remove(oldest)
    this.#drop(ahead)
  }

  #remove(segment: Segment): Ahead | undefined {
    const ahead = this.#chunks.get(segment)
    if (ahead === undefined) return undefined
    this.#chunks.delete(segment)
    this.#bytes -= ahead.bytes
    return ahead
  }

  #drop(ahead: Ahead): void {
    void ahead.chunk.then(chunk => chunk !== undefined && this.pool.give(chunk))
  }
}
