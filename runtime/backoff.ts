import { type Clock, type Random, sleep } from './api/index.ts'

/** Exponential waits with a cap and jitter: half of each wait is random, so that many tasks do not return as one. */
export class Backoff {
  readonly #firstMs: number
  readonly #maxMs: number
  readonly #clock: Clock
  readonly #random: Random
  #failures = 0

  constructor(firstMs: number, maxMs: number, clock: Clock, random: Random) {
    this.#firstMs = firstMs
    this.#maxMs = maxMs
    this.#clock = clock
    this.#random = random
  }

  /** The next wait in milliseconds. */
  next(): number {
    const whole = Math.min(this.#maxMs, this.#firstMs * 2 ** Math.min(this.#failures++, 30))
    return whole / 2 + (whole / 2) * this.#random.next()
  }

  reset(): void {
    this.#failures = 0
  }

  /** Waits `next()`; false when the signal cut it short. */
  wait(signal: AbortSignal): Promise<boolean> {
    return sleep(this.#clock, this.next(), signal)
  }
}
