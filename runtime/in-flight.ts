/** What a sink has taken of one partition and not yet made durable, by offset. Bounded by what the task itself holds. */
export class InFlight {
  readonly #batches: { readonly nextOffset: number; readonly records: number }[] = []
  #records = 0

  get records(): number {
    return this.#records
  }

  add(nextOffset: number, records: number): void {
    this.#batches.push({ nextOffset, records })
    this.#records += records
  }

  /** True when nothing at or behind `offset` waits to become durable. */
  endsAt(offset: number): boolean {
    return this.#batches.every(batch => batch.nextOffset <= offset || batch.records === 0)
  }

  /** Everything below `offset` is durable; answers how many records that were. Whole batches only. */
  durable(offset: number): number {
    let done = 0
    let batches = 0
    for (const batch of this.#batches) {
      if (batch.nextOffset > offset) break
      done += batch.records
      batches++
    }
    this.#batches.splice(0, batches)
    this.#records -= done
    return done
  }
}
