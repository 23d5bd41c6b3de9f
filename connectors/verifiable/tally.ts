import type { JsonObject, JsonValue } from '../../runtime/api/index.ts'

/** Most gaps remembered of one source: of more, the oldest are given up as lost for good. */
const GAPS_MAX = 256

/** What is known of one source's numbers 0, 1, 2, …: counts, and the ranges that have not come. */
export class Tally {
  #records = 0
  #duplicates = 0
  #disorder = 0
  #altered = 0
  /** The number that is due. */
  #next = 0
  /** Missing ranges [from, to) below `#next`, ascending. */
  #gaps: [from: number, to: number][] = []
  /** Numbers in gaps that are no longer remembered. */
  #forgotten = 0

  /** A record with this number came. */
  take(seq: number): void {
    this.#records++
    if (seq === this.#next) {
      this.#next++
      return
    }
    if (seq > this.#next) {
      this.#gaps.push([this.#next, seq])
      this.#next = seq + 1
      this.#forget()
      return
    }
    if (this.#fill(seq)) this.#disorder++
    else this.#duplicates++
  }

  /** A record of this source came whose check does not fit. */
  takeAltered(): void {
    this.#records++
    this.#altered++
  }

  summary() {
    const missing = this.#gaps.reduce((sum, [from, to]) => sum + to - from, 0)
    return {
      records: this.#records,
      lost: missing + this.#forgotten,
      duplicates: this.#duplicates,
      disorder: this.#disorder,
      altered: this.#altered,
      next: this.#next,
      gaps: this.#gaps.map(([from, to]) => [from, to] as const),
    }
  }

  toJson(): JsonObject {
    const { lost, ...counts } = this.summary()
    return { ...counts, forgotten: this.#forgotten }
  }

  /** The inverse of toJson; undefined for anything else. */
  static fromJson(json: JsonValue): Tally | undefined {
    if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined
    const { records, duplicates, disorder, altered, next, forgotten, gaps } = json as JsonObject
    const numbers = [records, duplicates, disorder, altered, next, forgotten]
    if (!numbers.every(isCount) || !Array.isArray(gaps) || !gaps.every(isRange)) return undefined
    const tally = new Tally()
    tally.#records = records as number
    tally.#duplicates = duplicates as number
    tally.#disorder = disorder as number
    tally.#altered = altered as number
    tally.#next = next as number
    tally.#forgotten = forgotten as number
    tally.#gaps = gaps.map(([from, to]) => [from, to])
    return tally
  }

  /** Takes a number out of the gap that holds it; false when none does. */
  #fill(seq: number): boolean {
    const i = this.#gaps.findIndex(([from, to]) => seq >= from && seq < to)
    const gap = this.#gaps[i]
    if (gap === undefined) return false
    const parts = [[gap[0], seq] as [number, number], [seq + 1, gap[1]] as [number, number]]
    this.#gaps.splice(i, 1, ...parts.filter(([from, to]) => from < to))
    this.#forget()
    return true
  }

  #forget(): void {
    while (this.#gaps.length > GAPS_MAX) {
      const [from, to] = this.#gaps.shift()!
      this.#forgotten += to - from
    }
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isRange(value: unknown): value is [number, number] {
  return Array.isArray(value) && value.length === 2 && value.every(isCount)
}
