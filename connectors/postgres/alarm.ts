import type { Clock, Timer } from '../../runtime/api/index.ts'

/**
 * Rings once after a while that is set anew again and again, mostly before it is over: a timer for each would cost more than
 * what it guards.
 */
export class Alarm {
  readonly #clock: Clock
  readonly #ring: () => void
  #timer: Timer | undefined
  #timerAt = 0
  #ringsAt = Number.POSITIVE_INFINITY

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** In milliseconds, and not at any time that was set before. */
  set(ms: number): void {
    this.#ringsAt = this.#clock.monotonic() + ms
    if (this.#timer !== undefined && this.#timerAt <= this.#ringsAt) return
    this.#timer?.cancel()
    this.#timerAt = this.#ringsAt
    this.#timer = this.#clock.timer(ms, () => this.#look())
  }

  /** Does not ring until it is set. The process is not kept alive much longer than it would have been. */
  silence(): void {
    this.#ringsAt = Number.POSITIVE_INFINITY
  }

  /** For good. */
  cancel(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.silence()
  }

  #look(): void {
    this.#timer = undefined
    if (this.#ringsAt === Number.POSITIVE_INFINITY) return
    const rest = this.#ringsAt - this.#clock.monotonic()
    if (rest > 0) this.set(rest)
    else this.#ring()
  }
}
