/** What a sink has taken of one partition and not yet made durable, by offset. Bounded by what the task itself holds. */
export class InFlight {
  readonly #batches: { readonly end: number; readonly records: number }[] = []
  #records = 0

  get records(): number {
    return this.#records
  }

  /** `records` of a batch, the last of them just below `end`. */
  add(end: number, records: number): void {
    if (records === 0) return
    this.#batches.push({ end, records })
    this.#records += records
  }

  /** True when nothing at or behind `offset` waits to become durable. */
  endsAt(offset: number): boolean {
    return (this.#batches.at(-1)?.end ?? 0) <= offset
  }

  /** Everything below `offset` is durable; answers how many records that were. Whole batches only. */
  durable(offset: number): number {
    let done = 0
    let batches = 0
    for (const batch of this.#batches) {
      if (batch.end > offset) break
      done += batch.records
      batches++
    }
    this.#batches.splice(0, batches)
    this.#records -= done
    return done
  }
}
