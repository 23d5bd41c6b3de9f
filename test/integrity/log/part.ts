import type { Activity } from './lives.ts'

/** How much of the suite runs. */
export interface Size {
  readonly seed: number
  /** Power cuts on disks in memory. */
  readonly seeds: number
  /** Children on real files that are killed at random. */
  readonly kills: number
  /** Of every list of points (file calls, bytes, bits) each `stride`th is tried, beginning at one that the seed chooses. */
  readonly stride: number
  /** Only this one of the points. */
  readonly point?: number | undefined
  readonly say: (line: string) => void
}

export interface PartReport {
  readonly part: string
  /** Kills, cuts, flips: how often it was put to the test. */
  readonly cases: number
  readonly broken: number
  /** The first few broken promises, each with the command that replays it. */
  readonly examples: readonly string[]
  readonly activity?: Activity
  /** Why the run proves nothing, where it does not. */
  readonly void?: string
  readonly seconds: number
}

export interface Part {
  readonly name: string
  readonly doc: string
  run(size: Size): Promise<PartReport>
}

const EXAMPLES_MAX = 20

/** Of the points 1, 2, ... `count` those that are to be tried. */
export function* pointsOf({ seed, stride, point }: Size, count: number): Generator<number> {
  if (point !== undefined) yield point
  else for (let at = 1 + (seed % stride); at <= count; at += stride) yield at
}

/** Counts cases and collects what broke. */
export class Tally {
  readonly #part: string
  readonly #size: Size
  readonly #started = Date.now()
  readonly #examples: string[] = []
  #cases = 0
  #broken = 0

  constructor(part: string, size: Size) {
    this.#part = part
    this.#size = size
  }

  /** One case. `replay`: options of the command that repeats it alone. */
  add(replay: string, problems: readonly string[]): void {
    this.#cases++
    const { say } = this.#size
    if (problems.length > 0) {
      this.#broken++
      const text = `npm run test:integrity -- --suite log --part ${this.#part} ${replay}\n  ${problems.slice(0, 4).join('\n  ')}`
      say(text)
      if (this.#examples.length < EXAMPLES_MAX) this.#examples.push(text)
    }
    if (this.#cases % 200 === 0) say(`${this.#part}: ${this.#cases} cases, ${this.#broken} broken`)
  }

  /** `enough`: what must have happened at least for the run to prove anything. */
  report(activity?: Activity, enough: Partial<Activity> = {}): PartReport {
    const lacking = Object.entries(enough).filter(([name, least]) => activity![name as keyof Activity] < least)
    const lack = lacking.map(
      ([name, least]) => `${name} ${activity![name as keyof Activity]}, at least ${least} wanted`,
    )
    return {
      part: this.#part,
      cases: this.#cases,
      broken: this.#broken,
      examples: this.#examples,
      ...(activity === undefined ? {} : { activity }),
      ...(lack.length > 0 ? { void: lack.join('; ') } : this.#cases === 0 ? { void: 'no cases' } : {}),
      seconds: Math.round((Date.now() - this.#started) / 1000),
    }
  }
}
