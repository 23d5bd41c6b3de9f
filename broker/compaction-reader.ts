import {
  BATCH_HEADER_BYTES,
  batchBaseOffset,
  batchChecksumHolds,
  batchIsSane,
  batchLastOffset,
  batchSize,
} from './batch.ts'
import type { Segment } from './segment.ts'

/**
 * What is read at once: so many batches of the size of the last one, within bounds. Between two reads others have their
 * turn, and small batches are more work than their bytes.
 */
const WINDOW_BATCHES = 64
const WINDOW_BYTES_MIN = 256 << 10
const WINDOW_BYTES_MAX = 1 << 20
/** No writer of ours or of Kafka's makes such batches: a length above is damage, and allocates nothing. */
const BATCH_BYTES_MAX = 256 << 20

/** Goes through the batches of a segment, each whole in memory and checked. */
export class CompactionReader {
  readonly #segment: Segment
  readonly #offsetEnd: number
  readonly #read: (bytes: number) => Promise<void>
  #window: Buffer
  #start = 0
  #length = 0
  #position = 0
  #size = 0
  #lastSize = 0
  #nextOffset: number

  /** `window` may be used again by the next reader. `read` is told of the bytes before they are read. */
  constructor(segment: Segment, offsetEnd: number, read: (bytes: number) => Promise<void>, window?: Buffer) {
    this.#segment = segment
    this.#offsetEnd = offsetEnd
    this.#read = read
    this.#window = window ?? Buffer.allocUnsafeSlow(Math.min(WINDOW_BYTES_MAX, segment.bytes))
    this.#nextOffset = segment.baseOffset
  }

  /** Where the batch lies in `bytes`, until `next` is called again. */
  get at(): number {
    return this.#position - this.#start
  }

  get bytes(): Buffer {
    return this.#window
  }

  /** Behind the current batch there is no other. */
  get isLast(): boolean {
    return this.#position + this.#size === this.#segment.bytes
  }

  async next(): Promise<'batch' | 'end' | 'damaged'> {
    this.#position += this.#size
    this.#lastSize = this.#size
    const left = this.#segment.bytes - this.#position
    this.#size = 0
    if (left === 0) return 'end'
    if (left < BATCH_HEADER_BYTES || !(await this.#hold(BATCH_HEADER_BYTES))) return 'damaged'
    if (!batchIsSane(this.#window, this.at)) return 'damaged'
    const size = batchSize(this.#window, this.at)
    if (size > left || size > BATCH_BYTES_MAX || !(await this.#hold(size))) return 'damaged'
    const lastOffset = batchLastOffset(this.#window, this.at)
    if (batchBaseOffset(this.#window, this.at) < this.#nextOffset || lastOffset >= this.#offsetEnd) return 'damaged'
    if (!batchChecksumHolds(this.#window, this.at)) return 'damaged'
    this.#nextOffset = lastOffset + 1
    this.#size = size
    return 'batch'
  }

  /** Makes sure that so many bytes from the position on are in the window. False at an end that should not be there. */
  async #hold(bytes: number): Promise<boolean> {
    if (this.#start + this.#length >= this.#position + bytes) return true
    const several = Math.min(WINDOW_BATCHES * this.#lastSize, WINDOW_BYTES_MAX)
    const wanted = Math.min(Math.max(bytes, several, WINDOW_BYTES_MIN), this.#segment.bytes - this.#position)
    if (this.#window.length < wanted) this.#window = Buffer.allocUnsafeSlow(Math.max(wanted, WINDOW_BYTES_MAX))
    await this.#read(wanted)
    this.#length = await this.#segment.store.read(this.#window, 0, wanted, this.#position)
    this.#start = this.#position
    return this.#length >= bytes
  }
}
