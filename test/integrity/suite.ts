import type { Random } from '../../base/index.ts'

/** A pipeline that is killed while it works, and what tells afterwards whether it kept its promises. */
export interface Suite {
  readonly name: string
  readonly doc: string
  /** Fewer records than these prove nothing: the run is void. */
  readonly recordsMin: number
  /** Why it cannot run here; undefined: it can. */
  missing?(): Promise<string | undefined>
  /** Lays out an empty directory: the YAML file and what it reads. */
  prepare(directory: string, random: Random): Promise<Load>
}

/** The upstream side of one run. */
export interface Load {
  /** The YAML file for `kts-connect start`. */
  readonly config: string
  /** Records written so far; infinite where the worker itself makes them. */
  readonly written: number
  /** Writes a little more, as the outside world does whether or not the worker runs. */
  step(): Promise<void>
  /**
   * The worker has delivered from every source: from now on they may be rotated away. A file that was renamed out of its
   * `paths` before any worker had ever read it is nobody's to find.
   */
  known(): void
  /** Nothing more will be written for now: completes what is half done. */
  finish(): Promise<void>
  /** Compares what went in with what came out, as both stand now. */
  check(): Promise<Findings>
  /** Ends what was started beside the worker. */
  close?(): Promise<void>
  readonly moments?: Moments
}

/** Moments in a worker's work that kills are to meet, beside those that they meet by chance. */
export interface Moments {
  /** Those that have to be met once at least: else the run proves nothing. */
  readonly needed: readonly string[]
  /** A worker is about to begin, and to be killed. Undefined: at any time. */
  begin(): Aim | undefined
  /** In which ones the worker was that is dead now, by what it left on disk. */
  met(): readonly string[]
}

export interface Aim {
  readonly name: string
  /** Brings it about, again and again until it is there; the load goes on beside. */
  provoke(): Promise<void>
  /** It is there, or will never be. */
  reached(): boolean
}

/** Zeros but for `records` are what was promised. */
export interface Findings {
  /** Records that went in. */
  readonly records: number
  /** Went in and did not come out. */
  readonly lost: number
  /** Came out and did not go in that way. */
  readonly altered: number
  /** Came out behind a later record of the same source. */
  readonly reordered: number
  /** Came out again. */
  readonly duplicates: number
  /** Transactions that came out in part; undefined where there are none. */
  readonly half?: number
  /** The first few of whatever is wrong, in words. */
  readonly examples: readonly string[]
}
