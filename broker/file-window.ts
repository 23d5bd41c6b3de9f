import type { Store } from './store.ts'

/** A part of a file in memory, moved along as it is read, so that walking batch by batch is not a call for each. */
export class FileWindow {
  readonly #store: Store
  readonly #end: number
  readonly #bytes: Buffer
  #start = 0
  #length = 0

  /** Nothing at or behind `end` is looked at. */
  constructor(store: Store, end: number, size: number) {
    this.#store = store
    this.#end = end
    this.#bytes = Buffer.allocUnsafe(Math.max(1, Math.min(size, end)))
  }

  get bytes(): Buffer {
    return this.#bytes
  }

  /** Bytes at hand from `position` on. */
  at(position: number): number {
    return this.#start + this.#length - position
  }

  /** Index of `position` in `bytes`; -1 when `length` bytes from there do not fit in the window or pass the end. */
  async locate(position: number, length: number): Promise<number> {
    if (position + length > this.#end || length > this.#bytes.length) return -1
    if (position >= this.#start && position + length <= this.#start + this.#length) return position - this.#start
    this.#start = position
    this.#length = await this.#store.read(this.#bytes, 0, Math.min(this.#bytes.length, this.#end - position), position)
    return this.#length < length ? -1 : 0
  }
}
