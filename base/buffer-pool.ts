/**
 * Buffers of one size for work that comes again and again: fresh memory costs a page fault every 4 KiB, and the collector
 * learns of it late. What is never given back is collected as any other buffer.
 */
export class BufferPool {
  readonly #bytes: number
  readonly #freeMax: number
  readonly #free: Buffer[] = []

  /** At most `freeMax` buffers of `bytes` each wait for their next use. */
  constructor(bytes: number, freeMax: number) {
    this.#bytes = bytes
    this.#freeMax = freeMax
  }

  /** `length` bytes with any content: of a buffer of the pool where it is large enough, else of one of its own. */
  take(length = this.#bytes): Buffer {
    if (length > this.#bytes) return Buffer.allocUnsafeSlow(length)
    const whole = this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#bytes)
    return length === this.#bytes ? whole : whole.subarray(0, length)
  }

  /** Any view of what `take` answered; nothing may use its bytes from now on. Other buffers are left alone. */
  give(view: Buffer): void {
    if (view.buffer.byteLength !== this.#bytes || this.#free.length >= this.#freeMax) return
    if (this.#free.some(free => free.buffer === view.buffer)) return
    this.#free.push(Buffer.from(view.buffer))
  }
}
