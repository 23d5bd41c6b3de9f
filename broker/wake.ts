import type { Clock } from '../base/index.ts'

/** Lets one loop wait for whichever of several things happens first, without losing what happens in between. */
export class Wake {
  #pending = false
  #resume: (() => void) | undefined

  /** Something happened: ends the wait under way, or the next one at once. */
  readonly signal = (): void => {
    this.#pending = true
    this.#resume?.()
  }

  /** To be called before looking at what the loop waits for. */
  clear(): void {
    this.#pending = false
  }

  /** Resolves after `signal`, after `ms`, or when `abort` aborts. */
  wait(clock: Clock, ms: number, abort: AbortSignal | undefined): Promise<void> {
    if (this.#pending || ms <= 0 || abort?.aborted === true) return Promise.resolve()
    return new Promise(resolve => {
      const finish = () => {
        timer.cancel()
        abort?.removeEventListener('abort', finish)
        this.#resume = undefined
        resolve()
      }
      const timer = clock.timer(ms, finish)
      this.#resume = finish
      abort?.addEventListener('abort', finish, { once: true })
    })
  }
}
