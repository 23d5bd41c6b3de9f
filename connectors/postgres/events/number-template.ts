import { changeDigits, hasDigits } from '../json-bytes.ts'

/**
 * JSON text with numbers in it that is used over and over: a number is overwritten where it stands as long as it does
 * not change its width, so most events cost one copy.
 */
export class NumberTemplate {
  readonly #pieces: readonly string[]
  /** NaN: none. */
  readonly #values: Float64Array
  readonly #at: Int32Array
  readonly #widths: Int32Array
  #bytes: Buffer = Buffer.alloc(0)

  /** `pieces` stand around the numbers, so there is one more of them. */
  constructor(pieces: readonly string[]) {
    this.#pieces = pieces
    this.#values = new Float64Array(pieces.length - 1).fill(Number.NaN)
    this.#at = new Int32Array(this.#values.length)
    this.#widths = new Int32Array(this.#values.length)
    this.#make()
  }

  /** The text. The same buffer as long as nothing is set. */
  get bytes(): Buffer {
    return this.#bytes
  }

  /** Integers up to 2^53 in size; undefined, as all are at first, is no text at all. */
  set(slot: number, value: number | undefined): void {
    const before = this.#values[slot]!
    if (before === value || (value === undefined && Number.isNaN(before))) return
    this.#values[slot] = value ?? Number.NaN
    const width = this.#widths[slot]!
    if (value !== undefined && before >= 0 && hasDigits(value, width))
      changeDigits(this.#bytes, this.#at[slot]!, width, value, before)
    else this.#make()
  }

  #make(): void {
    let text = this.#pieces[0]!
    let length = Buffer.byteLength(text)
    for (const [slot, value] of this.#values.entries()) {
      const digits = Number.isNaN(value) ? '' : String(value)
      const piece = this.#pieces[slot + 1]!
      this.#at[slot] = length
      this.#widths[slot] = digits.length
      length += digits.length + Buffer.byteLength(piece)
      text += digits + piece
    }
    this.#bytes = Buffer.from(text)
  }
}
