/** Something a look at a log found. */
export interface Finding {
  readonly path: string
  /** Byte in the file where it begins. */
  readonly position?: number | undefined
  /** Offsets that it is about, inclusive. */
  readonly firstOffset?: number | undefined
  readonly lastOffset?: number | undefined
  /** What is wrong, and what comes of it. */
  readonly what: string
}

/** Nothing of one kind is told more often: a file of noise would fill the screen. */
const SAME_MAX = 20

/** Gathers findings; the problems decide the exit code, the notes do not. */
export class Findings {
  readonly problems: Finding[] = []
  readonly notes: Finding[] = []
  readonly #counts = new Map<string, number>()

  problem(finding: Finding): void {
    const count = (this.#counts.get(finding.path) ?? 0) + 1
    this.#counts.set(finding.path, count)
    if (count < SAME_MAX) this.problems.push(finding)
    else if (count === SAME_MAX)
      this.problems.push({ path: finding.path, what: 'more problems in this file are not listed' })
  }

  note(finding: Finding): void {
    this.notes.push(finding)
  }
}
