import type { Clock } from '../base/index.ts'

/** How much faster than a second per second the time may run after the wall clock jumped ahead. */
const CATCH_UP = 2

/**
 * The time that retention counts in. It follows the wall clock, but a jump ahead (a wrong date set by hand, a bad time
 * server) is followed only at twice the pace of real time: who sets a clock ten years on does not delete ten years of
 * records, and after a suspended night the deletions are merely late. A jump back is followed at once.
 */
export class RetentionClock {
  readonly #clock: Clock
  #time: number
  #at: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#time = clock.now()
    this.#at = clock.monotonic()
  }

  now(): number {
    const at = this.#clock.monotonic()
    this.#time = Math.min(this.#clock.now(), this.#time + Math.ceil((at - this.#at) * CATCH_UP))
    this.#at = at
    return this.#time
  }
}
