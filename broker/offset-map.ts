import { hash } from 'node:crypto'

const HASH_WORDS = 4
const SLOT_BYTES = 24
/** Kafka's log.cleaner.io.buffer.load.factor: fuller tables probe for long. */
const LOAD_FACTOR = 0.9
const SLOTS_MIN = 16

/**
 * The last offset of each key, in memory that is fixed when it is made: 16 bytes of MD5 and 8 of offset for each key, as
 * Kafka's cleaner keeps them. Two keys of one hash would be one key; with MD5 nobody meets two by chance.
 */
export class OffsetMap {
  readonly #slots: number
  readonly #sizeMax: number
  readonly #hashes: Int32Array
  /** Offset + 1; 0 where the slot is free. */
  readonly #offsets: Float64Array
  #size = 0

  /** At most `bytesMax` bytes, and no more than `keysMax` keys need. */
  constructor(bytesMax: number, keysMax: number) {
    const wanted = Math.min(Math.ceil(keysMax / LOAD_FACTOR) + 1, Math.floor(bytesMax / SLOT_BYTES))
    this.#slots = Math.max(SLOTS_MIN, wanted)
    this.#sizeMax = Math.floor(this.#slots * LOAD_FACTOR)
    this.#hashes = new Int32Array(this.#slots * HASH_WORDS)
    this.#offsets = new Float64Array(this.#slots)
  }

  /** Keys in it. */
  get size(): number {
    return this.#size
  }

  /** False, and nothing done, when the key is new and there is no room. */
  put(key: Uint8Array, offset: number): boolean {
    const digest = hash('md5', key, 'buffer')
    const slot = this.#find(digest)
    if (this.#offsets[slot] === 0) {
      if (this.#size >= this.#sizeMax) return false
      this.#size++
      for (let i = 0; i < HASH_WORDS; i++) this.#hashes[slot * HASH_WORDS + i] = digest.readInt32LE(4 * i)
    }
    this.#offsets[slot] = offset + 1
    return true
  }

  /** -1 for a key that was never put. */
  get(key: Uint8Array): number {
    return this.#offsets[this.#find(hash('md5', key, 'buffer'))]! - 1
  }

  /** The key's slot, or the free one where it belongs. */
  #find(digest: Buffer): number {
    const a = digest.readInt32LE(0)
    const b = digest.readInt32LE(4)
    const c = digest.readInt32LE(8)
    const d = digest.readInt32LE(12)
    const hashes = this.#hashes
    for (let slot = (a >>> 0) % this.#slots; ; slot = slot + 1 === this.#slots ? 0 : slot + 1) {
      if (this.#offsets[slot] === 0) return slot
      const at = slot * HASH_WORDS
      if (hashes[at] === a && hashes[at + 1] === b && hashes[at + 2] === c && hashes[at + 3] === d) return slot
    }
  }
}
