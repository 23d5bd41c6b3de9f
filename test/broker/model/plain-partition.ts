/** One offset that is taken: a record, or a marker that no reader gets. */
export interface Entry {
  readonly offset: number
  readonly kind: 'record' | 'marker'
  /** 0: no transaction. */
  readonly producer: number
  readonly epoch: number
  readonly key: string
  readonly value: string
  readonly timestamp: number
  /** Of its transaction; `undecided` for ever without one is `commit`. */
  outcome: 'undecided' | 'commit' | 'abort'
}

/** A partition as a plain list: what broker/partition.ts has to look like from outside. */
export class PlainPartition {
  entries: Entry[] = []
  start = 0
  next = 0
  /** Durable and readable below. */
  highWatermark = 0

  /** What the next append of a producer carries: one more behind each end. */
  epochOf(producer: number): number {
    return this.entries.findLast(e => e.producer === producer)?.epoch ?? 0
  }

  get lastStable(): number {
    return Math.min(this.highWatermark, ...this.open().map(([, first]) => first))
  }

  /** Producer and first offset of each transaction without a marker. */
  open(): [number, number][] {
    const first = new Map<number, number>()
    for (const { producer, outcome, offset } of this.entries)
      if (outcome === 'undecided' && !first.has(producer)) first.set(producer, offset)
    return [...first].sort((a, b) => a[1] - b[1])
  }

  append(producer: number, records: readonly Pick<Entry, 'key' | 'value' | 'timestamp'>[]): void {
    for (const record of records) {
      const outcome = producer === 0 ? 'commit' : 'undecided'
      const epoch = this.epochOf(producer)
      this.entries.push({ ...record, offset: this.next++, kind: 'record', producer, epoch, outcome })
    }
  }

  end(producer: number, outcome: 'commit' | 'abort'): void {
    for (const entry of this.entries)
      if (entry.producer === producer && entry.outcome === 'undecided') entry.outcome = outcome
    const marker = { offset: this.next++, kind: 'marker', producer, key: '', value: '', timestamp: 0, outcome } as const
    this.entries.push({ ...marker, epoch: this.epochOf(producer) + 1 })
  }

  /** What a reader gets between two offsets. */
  visible(from: number, to: number, committed: boolean): Entry[] {
    return this.entries.filter(
      e =>
        e.kind === 'record' &&
        e.offset >= Math.max(from, this.start) &&
        e.offset < to &&
        (!committed || e.outcome === 'commit'),
    )
  }

  /** Everything from `offset` on is gone, as if it had never been written. */
  cut(offset: number): void {
    const markers = this.entries.filter(e => e.kind === 'marker' && e.offset >= offset)
    this.entries = this.entries.filter(e => e.offset < offset)
    for (const { producer } of markers) {
      const last = this.entries.findLastIndex(e => e.kind === 'marker' && e.producer === producer)
      for (const entry of this.entries.slice(last + 1)) if (entry.producer === producer) entry.outcome = 'undecided'
    }
    this.next = offset
  }

  /** Whether compaction may take the record away: a committed one of the same key stands behind it, or it was aborted. */
  mayGo({ offset, key, outcome }: Entry): boolean {
    if (outcome === 'abort') return true
    return this.entries.some(e => e.kind === 'record' && e.offset > offset && e.key === key && e.outcome === 'commit')
  }
}
