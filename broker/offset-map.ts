import { HASH_WORDS, halfSipHash, type Random } from '../base/index.ts'

/** The hash and a Float64 of offset + 1, which is 0 where the slot is free: side by side, as memory is fetched in lines. */
const SLOT_WORDS = HASH_WORDS + 2
const SLOT_BYTES = 4 * SLOT_WORDS
const SLOT_DOUBLES = SLOT_WORDS / 2
const OFFSET_DOUBLE = HASH_WORDS / 2
/** Kafka's log.cleaner.io.buffer.load.factor: fuller tables probe for long. */
const LOAD_FACTOR = 0.9
const SLOTS_MIN = 16

/** What `put` answers for a key that is new, and where there is no room for it. */
export const NEW_KEY = -1
export const NO_ROOM = -2

/**
 * The last offset of each key, in memory that is fixed when it is made: 16 bytes of hash and 8 of offset for each key, as
 * Kafka's cleaner keeps them. Two keys of one hash would be one key, and the older record would be lost. Kafka takes MD5,
 * where nobody meets two by chance, but anybody can make two; here a hash of the same size has a new secret key for each
 * map, so that nobody can do that either.
 */
export class OffsetMap {
  readonly #slots: number
  readonly #sizeMax: number
  readonly #slotsPerHash: number
  readonly #words: Int32Array
  readonly #doubles: Float64Array
  readonly #secret: Int32Array
  /** Means nothing, but what nobody keeps is not read. */
  readonly #fetched = new Int32Array(1)
  #size = 0

  /** At most `bytesMax` bytes, and no more than `keysMax` keys need. */
  constructor(bytesMax: number, keysMax: number, random: Random) {
    const wanted = Math.min(Math.ceil(keysMax / LOAD_FACTOR) + 1, Math.floor(bytesMax / SLOT_BYTES))
    this.#slots = Math.max(SLOTS_MIN, wanted)
    this.#sizeMax = Math.floor(this.#slots * LOAD_FACTOR)
    this.#slotsPerHash = this.#slots / 2 ** 32
    const memory = new ArrayBuffer(this.#slots * SLOT_BYTES)
    this.#words = new Int32Array(memory)
    this.#doubles = new Float64Array(memory)
    const secret = random.bytes(4 * HASH_WORDS)
    this.#secret = Int32Array.from({ length: HASH_WORDS }, (_, i) => secret.readInt32LE(4 * i))
  }

  /** Keys in it. */
  get size(): number {
    return this.#size
  }

  /**
   * Writes what stands for the key `bytes[start, end)` to `into[at, at + HASH_WORDS)`. Who has many keys makes the hashes of
   * all, calls `fetch`, and looks them up only then.
   */
  hash(bytes: Uint8Array, start: number, end: number, into: Int32Array, at: number): void {
    halfSipHash(this.#secret, bytes, start, end, into, at)
  }

  /**
   * Brings the slots of the first `count` hashes near: they lie all over the memory, and a loop that waits for none of them
   * before it asks for the next takes half the time or less.
   */
  fetch(hashes: Int32Array, count: number): void {
    let all = 0
    const words = this.#words
    for (let i = 0; i < count; i++) {
      const at = this.#firstSlot(hashes[i * HASH_WORDS]!) * SLOT_WORDS
      // Its beginning and its end: a slot may lie in two lines.
      all ^= words[at]! ^ words[at + SLOT_WORDS - 1]!
    }
    this.#fetched[0] = all
  }

  /** Answers the key's offset before; NEW_KEY; or NO_ROOM for a new one that does not fit, and nothing is done. */
  put(hashes: Int32Array, at: number, offset: number): number {
    const slot = this.#find(hashes, at)
    const place = slot * SLOT_DOUBLES + OFFSET_DOUBLE
    const before = this.#doubles[place]! - 1
    if (before < 0) {
      if (this.#size >= this.#sizeMax) return NO_ROOM
      this.#size++
      for (let i = 0; i < HASH_WORDS; i++) this.#words[slot * SLOT_WORDS + i] = hashes[at + i]!
    }
    this.#doubles[place] = offset + 1
    return before
  }

  /** NEW_KEY when it was never put. */
  get(hashes: Int32Array, at: number): number {
    return this.#doubles[this.#find(hashes, at) * SLOT_DOUBLES + OFFSET_DOUBLE]! - 1
  }

  /** The high bits say, as a product is cheaper than a remainder. */
  #firstSlot(word: number): number {
    return ((word >>> 0) * this.#slotsPerHash) | 0
  }

  /** The key's slot, or the free one where it belongs. */
  #find(hashes: Int32Array, from: number): number {
    const a = hashes[from]!
    const b = hashes[from + 1]!
    const c = hashes[from + 2]!
    const d = hashes[from + 3]!
    const words = this.#words
    for (let slot = this.#firstSlot(a); ; slot = slot + 1 === this.#slots ? 0 : slot + 1) {
      const at = slot * SLOT_WORDS
      if (words[at] === a && words[at + 1] === b && words[at + 2] === c && words[at + 3] === d) return slot
      if (this.#doubles[slot * SLOT_DOUBLES + OFFSET_DOUBLE] === 0) return slot
    }
  }
}
