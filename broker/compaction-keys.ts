import { HASH_WORDS, type PackedRecords, type Random } from '../base/index.ts'
import { NEW_KEY, NO_ROOM, OffsetMap } from './offset-map.ts'
import { OffsetSet } from './offset-set.ts'

/** Share of the memory for the bits of dirty offsets: with 128 MiB, 128 million offsets a pass. */
const BITS_SHARE = 1 / 8
/** Keys that are hashed and fetched together, a power of two: what they touch stays in the processor's own cache. */
const LOT = 1024

/** What is left of a batch. */
export interface KeptRecords {
  /** 1 for each record that stays. */
  readonly kept: Uint8Array
  readonly count: number
  /** Some that stay are deletions. */
  readonly deletions: boolean
}

/**
 * What one pass knows of keys: the last offset of each in the dirty part, and which records of the dirty part are obsolete,
 * so that each key is hashed once. Its memory is fixed when it is made.
 */
export class CompactionKeys {
  /** Where the dirty part begins. */
  readonly from: number
  readonly #last: OffsetMap
  readonly #obsolete: OffsetSet
  readonly #hashes = new Int32Array(LOT * HASH_WORDS)

  /** Of offsets [from, end), as far as `bytesMax` bytes go. */
  constructor(from: number, end: number, bytesMax: number, random: Random) {
    this.from = from
    const bits = Math.min(end - from, Math.floor(bytesMax * BITS_SHARE) * 8)
    this.#obsolete = new OffsetSet(from, bits)
    this.#last = new OffsetMap(bytesMax * (1 - BITS_SHARE), end - from, random)
  }

  /** Takes records in the order of the log. Answers the first offset for which there was no room, if any. */
  learn(records: PackedRecords): number | undefined {
    const { keyStarts, count } = records
    const { end } = this.#obsolete
    for (let i = 0; i < count; i++) {
      if (i % LOT === 0) this.#hash(records, i, this.from, Number.POSITIVE_INFINITY)
      const offset = records.offset(i)
      if (offset < this.from) continue
      if (offset >= end) return offset
      // Kafka takes none without a key into a compacted topic; what is there from before goes.
      if (keyStarts === undefined || keyStarts[i]! < 0) this.#obsolete.add(offset)
      else {
        const before = this.#last.put(this.#hashes, (i % LOT) * HASH_WORDS, offset)
        if (before === NO_ROOM) return offset
        if (before !== NEW_KEY) this.#obsolete.add(before)
      }
    }
    return undefined
  }

  /** Whether nothing of offsets [first, last], which all have records, is to stay. They lie below what was learnt. */
  isObsolete(first: number, last: number): boolean {
    return first >= this.from && this.#obsolete.hasAll(first, last)
  }

  /** Which records stay: those at `end`, up to which keys were learnt, or behind it do in any case. */
  keep(records: PackedRecords, end: number, deletionsGo: boolean): KeptRecords {
    const kept = new Uint8Array(records.count)
    let count = 0
    let deletions = false
    for (let i = 0; i < records.count; i++) {
      if (i % LOT === 0) this.#hash(records, i, 0, this.from)
      const offset = records.offset(i)
      const isDeletion = records.valueStarts[i]! < 0
      if (offset < end && ((isDeletion && deletionsGo) || this.#isReplaced(records, i, offset))) continue
      kept[i] = 1
      count++
      deletions ||= isDeletion
    }
    return { kept, count, deletions }
  }

  #isReplaced(records: PackedRecords, i: number, offset: number): boolean {
    if (offset >= this.from) return this.#obsolete.has(offset)
    if (records.keyStarts === undefined || records.keyStarts[i]! < 0) return true
    return this.#last.get(this.#hashes, (i % LOT) * HASH_WORDS) > offset
  }

  /** Of the lot that begins with record `first`: those with offsets in [from, end). */
  #hash(records: PackedRecords, first: number, from: number, end: number): void {
    const { bytes, keyStarts, keyEnds, count, baseOffset } = records
    if (keyStarts === undefined || keyEnds === undefined || baseOffset >= end) return
    const size = Math.min(LOT, count - first)
    for (let k = 0; k < size; k++) {
      const start = keyStarts[first + k]!
      const offset = records.offset(first + k)
      if (start < 0 || offset < from || offset >= end) continue
      this.#last.hash(bytes, start, keyEnds[first + k]!, this.#hashes, k * HASH_WORDS)
    }
    this.#last.fetch(this.#hashes, size)
  }
}
