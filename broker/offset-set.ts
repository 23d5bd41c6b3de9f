/** Offsets from a first one on, one bit for each. */
export class OffsetSet {
  readonly #from: number
  readonly #bits: Uint8Array

  constructor(from: number, count: number) {
    this.#from = from
    this.#bits = new Uint8Array(Math.ceil(count / 8))
  }

  /** Where its range ends. */
  get end(): number {
    return this.#from + 8 * this.#bits.length
  }

  /** `offset` must lie in its range. */
  add(offset: number): void {
    const i = offset - this.#from
    const at = Math.floor(i / 8)
    this.#bits[at] = this.#bits[at]! | (1 << (i & 7))
  }

  has(offset: number): boolean {
    const i = offset - this.#from
    return (this.#bits[Math.floor(i / 8)]! & (1 << (i & 7))) !== 0
  }

  /** Whether all of [from, to] are in it. */
  hasAll(from: number, to: number): boolean {
    for (let offset = from; offset <= to; offset++) if (!this.has(offset)) return false
    return true
  }
}
