import type { EntryFile } from './log-inspection-files.ts'
import type { Findings } from './log-inspection-findings.ts'
import type { BadBytes } from './log-inspection-walk.ts'
import type { OffsetEntry } from './offset-index.ts'
import type { TimeEntry } from './time-index.ts'

/** A good batch, as indexes speak of it. */
export interface IndexedBatch {
  readonly position: number
  readonly baseOffset: number
  readonly lastOffset: number
  readonly maxTimestamp: number
}

/** Holds `.index` against the log, batch by batch: `batch` and `bad` in the order of the file, then `finish`. */
export class OffsetIndexCheck {
  readonly #path: string
  readonly #findings: Findings
  readonly #entries: readonly OffsetEntry[]
  #next = 0
  /** Appends of several batches have one entry: position of the first, last offset of the last. */
  #open: OffsetEntry | undefined

  constructor(path: string, file: EntryFile<OffsetEntry>, findings: Findings) {
    this.#path = path
    this.#findings = findings
    if (file.rest > 0) findings.problem({ path, what: `${file.rest} bytes at the end are no whole entry` })
    const unsorted = file.entries.findIndex((entry, i) => {
      const before = file.entries[i - 1]
      return before !== undefined && (entry.lastOffset <= before.lastOffset || entry.position <= before.position)
    })
    if (unsorted >= 0)
      findings.problem({ path, position: unsorted * 8, what: `entry ${unsorted} is not above the one before` })
    this.#entries = unsorted >= 0 ? [] : file.entries
  }

  batch({ position, lastOffset }: IndexedBatch): void {
    if (this.#open !== undefined && lastOffset >= this.#open.lastOffset) {
      if (lastOffset > this.#open.lastOffset) this.#mismatch(this.#open, 'no batch ends with that offset')
      this.#open = undefined
    }
    for (; this.#next < this.#entries.length; this.#next++) {
      const entry = this.#entries[this.#next]!
      if (entry.position > position) return
      if (this.#open !== undefined) this.#mismatch(this.#open, 'no batch up to the next entry ends with that offset')
      this.#open = undefined
      if (entry.position < position) this.#mismatch(entry, 'no batch begins there')
      else if (lastOffset > entry.lastOffset) this.#mismatch(entry, `the batch there ends with offset ${lastOffset}`)
      else if (lastOffset < entry.lastOffset) this.#open = entry
    }
  }

  /** What the index says of damage is no finding of its own. */
  bad({ end }: BadBytes): void {
    this.#open = undefined
    while (this.#next < this.#entries.length && this.#entries[this.#next]!.position < end) this.#next++
  }

  finish(): void {
    if (this.#open !== undefined) this.#mismatch(this.#open, 'no batch ends with that offset')
    for (const entry of this.#entries.slice(this.#next)) this.#mismatch(entry, 'the log ends before it')
  }

  #mismatch({ lastOffset, position }: OffsetEntry, what: string): void {
    const text = `an entry says that the batch at byte ${position} ends with offset ${lastOffset}; ${what}`
    this.#findings.problem({ path: this.#path, firstOffset: lastOffset, lastOffset, what: text })
  }
}

/** Holds `.timeindex` against the log in the same way. */
export class TimeIndexCheck {
  readonly #path: string
  readonly #findings: Findings
  readonly #entries: readonly TimeEntry[]
  #next = 0
  #largest = -1
  #sawDamage = false

  constructor(path: string, file: EntryFile<TimeEntry>, findings: Findings) {
    this.#path = path
    this.#findings = findings
    if (file.rest > 0) findings.problem({ path, what: `${file.rest} bytes at the end are no whole entry` })
    const allocatedOnly = file.preallocated > 0 && file.entries.length === 1 && file.entries[0]!.timestamp === 0
    const entries = allocatedOnly ? [] : file.entries
    const unsorted = entries.findIndex((entry, i) => {
      const before = entries[i - 1]
      return before !== undefined && (entry.timestamp <= before.timestamp || entry.offset < before.offset)
    })
    if (unsorted >= 0)
      findings.problem({ path, position: unsorted * 12, what: `entry ${unsorted} is not above the one before` })
    this.#entries = unsorted >= 0 ? [] : entries
  }

  batch({ baseOffset, lastOffset, maxTimestamp }: IndexedBatch): void {
    this.#largest = Math.max(this.#largest, maxTimestamp)
    for (; this.#next < this.#entries.length; this.#next++) {
      const entry = this.#entries[this.#next]!
      if (entry.offset > lastOffset) return
      if (entry.offset < baseOffset) this.#mismatch(entry, 'the offset is in no batch')
      else if (entry.timestamp !== maxTimestamp) this.#mismatch(entry, `the batch there has ${maxTimestamp}`)
      else if (!this.#sawDamage && this.#largest > entry.timestamp)
        this.#mismatch(entry, `a batch before it has ${this.#largest}`)
    }
  }

  bad({ firstOffset, lastOffset }: BadBytes): void {
    this.#sawDamage = true
    const isIn = ({ offset }: TimeEntry) => offset >= firstOffset && offset <= (lastOffset ?? Number.POSITIVE_INFINITY)
    while (this.#next < this.#entries.length && isIn(this.#entries[this.#next]!)) this.#next++
  }

  finish(): void {
    for (const entry of this.#entries.slice(this.#next)) this.#mismatch(entry, 'the log ends before it')
  }

  #mismatch({ timestamp, offset }: TimeEntry, what: string): void {
    const text = `an entry says that ${timestamp} is the largest time up to offset ${offset}; ${what}`
    this.#findings.problem({ path: this.#path, firstOffset: offset, lastOffset: offset, what: text })
  }
}
