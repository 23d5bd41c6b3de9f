/**
 * Time comes in as an argument, so that tests turn it. `now` is wall-clock time and may jump; `monotonic` never goes
 * back and is the only one for measuring waits.
 */
export interface Clock {
  /** Milliseconds since the epoch, whole. */
  now(): number
  /** Milliseconds since an arbitrary point, fractional, never decreasing. */
  monotonic(): number
  /** Calls `wake` once after `ms` milliseconds, unless cancelled. Keeps the process alive until then: cancel at close. */
  timer(ms: number, wake: () => void): Timer
}

export interface Timer {
  cancel(): void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  timer(ms, wake) {
    // setTimeout overflows to 1 ms above 2^31-1.
    const handle = setTimeout(wake, Math.min(ms, 0x7fffffff))
    return { cancel: () => clearTimeout(handle) }
  },
}

/** Resolves after `ms`, or at once when `signal` aborts; never rejects. Resolves to false when it was cut short. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<boolean> {
  if (signal?.aborted) return Promise.resolve(false)
  return new Promise(resolve => {
    const timer = clock.timer(ms, () => finish(true))
    const onAbort = () => finish(false)
    const finish = (whole: boolean) => {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
      resolve(whole)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #now: number
  #monotonic = 0
  readonly #timers = new Set<{ at: number; wake: () => void }>()

  constructor(now = 1_700_000_000_000) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#monotonic
  }

  timer(ms: number, wake: () => void): Timer {
    const entry = { at: this.#monotonic + ms, wake }
    this.#timers.add(entry)
    return { cancel: () => void this.#timers.delete(entry) }
  }

  /** Moves both clocks forward and fires what falls due, in order of time. */
  async advance(ms: number): Promise<void> {
    const end = this.#monotonic + ms
    for (;;) {
      const due = [...this.#timers].filter(t => t.at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#timers.delete(due)
      this.#now += Math.max(0, due.at - this.#monotonic)
      this.#monotonic = Math.max(this.#monotonic, due.at)
      due.wake()
      await new Promise(resolve => setImmediate(resolve))
    }
    this.#now += end - this.#monotonic
    this.#monotonic = end
    await new Promise(resolve => setImmediate(resolve))
  }

  /** Sets the wall clock alone, as an administrator or NTP does. */
  jump(now: number): void {
    this.#now = now
  }
}
