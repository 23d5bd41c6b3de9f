/** Kafka's offset.metadata.max.bytes. */
const METADATA_BYTES_MAX = 4096
const PREFIX = /^letters:(\d{1,16})(?::(\d{1,16}(?:\+\d{1,16})?(?:,\d{1,16}(?:\+\d{1,16})?)*))?$/

/** Consecutive offsets, both ends included. */
interface Run {
  readonly first: number
  last: number
}

/**
 * Which records of a partition, at or behind its committed offset, are in the dead-letter topic already: they are read
 * again after a restart and must not go there twice. Kept as the metadata of the committed offset, in the transaction that
 * writes the letters: `letters:<offset>:<records>`, all below the offset, the records as gaps (`17,3+2`: 17, 20, 21, 22).
 * `letters:<offset>` alone, where more than fits: every bad record below the offset.
 */
export class KeptLetters {
  /** Ascending. */
  #runs: Run[]
  /** Below it, any bad record counts as kept. */
  #all = 0

  /** Of a committed offset's metadata; other text than ours means none. */
  constructor(metadata: string) {
    const [, below, gaps] = PREFIX.exec(metadata) ?? []
    this.#runs = gaps === undefined ? [] : fromGaps(gaps)
    if (below !== undefined && gaps === undefined) this.#all = Number(below)
  }

  has(offset: number): boolean {
    if (offset < this.#all) return true
    const run = this.#runs[this.#indexOf(offset)]
    return run !== undefined && run.first <= offset
  }

  add(offset: number): void {
    if (this.has(offset)) return
    const at = this.#indexOf(offset)
    const before = this.#runs[at - 1]
    if (before?.last === offset - 1) before.last = offset
    else this.#runs.splice(at, 0, { first: offset, last: offset })
  }

  /** For a commit of `offset`, together with all letters so far. Forgets those below, which are not read again. */
  metadata(offset: number): string {
    this.#runs = this.#runs.slice(this.#indexOf(offset))
    const below = Math.max(this.#all, (this.#runs.at(-1)?.last ?? -1) + 1)
    if (below <= offset) return ''
    if (this.#all <= offset && this.#runs.length < METADATA_BYTES_MAX) {
      const exact = `letters:${below}:${toGaps(this.#runs)}`
      if (exact.length <= METADATA_BYTES_MAX) return exact
    }
    this.#all = below
    this.#runs = []
    return `letters:${below}`
  }

  /** Of the first run that ends at or behind `offset`. */
  #indexOf(offset: number): number {
    let low = 0
    let high = this.#runs.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#runs[middle]!.last < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Each run as the distance of its first offset from the last one before it; `+n`: so many more follow directly. */
function toGaps(runs: readonly Run[]): string {
  let end = 0
  const gaps = runs.map(({ first, last }) => {
    const gap = `${first - end}${first === last ? '' : `+${last - first}`}`
    end = last
    return gap
  })
  return gaps.join(',')
}

function fromGaps(text: string): Run[] {
  let end = 0
  return text.split(',').map(gap => {
    const [distance, more = '0'] = gap.split('+')
    const first = end + Number(distance)
    end = first + Number(more)
    return { first, last: end }
  })
}
