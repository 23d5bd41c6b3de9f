import { setMaxListeners } from 'node:events'
import {
  type Clock,
  errorCode,
  errorMessage,
  KtsError,
  type Logger,
  type Random,
  reactionTo,
  type TaskSignal,
} from './api/index.ts'
import { Backoff } from './backoff.ts'
import type { ConnectorCounters } from './counters.ts'
import type { TaskState, TaskStatus } from './status.ts'

/** Restarts after failures that may pass, once the pipeline ends: enough for a hiccup, and it does end. */
const RESTARTS_AT_END_MAX = 3

/** One run of a task: opened from committed state, run to its end, closed whatever happens. */
export interface TaskRun {
  run(): Promise<'finished' | 'stopped'>
  stop(): void
  /** Sinks: no more records will be written. */
  end?(): void
  /** Answers in a sentence what will be done; absent where the task takes none. */
  signal?: ((signal: TaskSignal) => Promise<string>) | undefined
  /** Something was made durable by it, which the next run need not do again. */
  readonly progressed?: boolean
  close(): Promise<void>
}

export interface TaskRunnerParts {
  readonly id: number
  /** Opens everything anew; rejects as the task's own `open` does. */
  readonly open: (signal: AbortSignal) => Promise<TaskRun>
  readonly backoffMs: number
  readonly backoffMaxMs: number
  readonly counters: ConnectorCounters
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

/**
 * Keeps one task running: a failure closes it, and it is opened again from the committed state after a capped, jittered
 * wait. Only failures that a restart cannot mend leave it FAILED; and once no more records will be written, a fourth
 * failure that is not of the kind that passes by itself (reaction `retry`), so that a pipeline that ends also ends when
 * its sink can never deliver.
 */
export class TaskRunner {
  readonly id: number
  readonly #parts: TaskRunnerParts
  readonly #abort = new AbortController()
  readonly #backoff: Backoff
  #state: TaskState = 'UNASSIGNED'
  #trace: string | undefined
  #restarts = 0
  #run: TaskRun | undefined
  /** Of the last run. */
  #progressed = false
  #ending = false
  #failuresAtEnd = 0

  constructor(parts: TaskRunnerParts) {
    this.#parts = parts
    this.id = parts.id
    // Many requests of a task may listen at once, which is no leak.
    setMaxListeners(0, this.#abort.signal)
    this.#backoff = new Backoff(parts.backoffMs, parts.backoffMaxMs, parts.clock, parts.random)
  }

  status(): TaskStatus {
    return { id: this.id, state: this.#state, trace: this.#trace, restarts: this.#restarts }
  }

  /** Resolves when the task is FINISHED, FAILED for good or STOPPED. */
  async keepRunning(): Promise<void> {
    const { signal } = this.#abort
    while (!signal.aborted) {
      const startedAt = this.#parts.clock.monotonic()
      try {
        const ended = await this.#once(signal)
        this.#state = ended === 'finished' ? 'FINISHED' : 'STOPPED'
        return
      } catch (error) {
        if (signal.aborted) break
        if (!this.#failed(error)) return
        // A task that got on, or ran for longer than the longest wait, has earned a quick restart.
        if (this.#progressed || this.#parts.clock.monotonic() - startedAt > this.#parts.backoffMaxMs)
          this.#backoff.reset()
        await this.#backoff.wait(signal)
        this.#restarts++
      }
    }
    this.#state = 'STOPPED'
  }

  stop(): void {
    this.#abort.abort()
    this.#run?.stop()
  }

  /** Rejects with NOT_RUNNING while there is no task that could hear it. */
  async signal(signal: TaskSignal): Promise<string> {
    const run = this.#run
    if (run === undefined || this.#state !== 'RUNNING')
      throw new KtsError('NOT_RUNNING', `task ${this.id} is ${this.#state}: signals are for a task that runs`)
    if (run.signal === undefined) throw new KtsError('CONFIG_INVALID', 'this connector takes no signals')
    return run.signal(signal)
  }

  end(): void {
    this.#ending = true
    this.#run?.end?.()
  }

  async #once(signal: AbortSignal): Promise<'finished' | 'stopped'> {
    this.#progressed = false
    const run = await this.#parts.open(signal)
    this.#run = run
    try {
      if (signal.aborted) return 'stopped'
      if (this.#ending) run.end?.()
      this.#state = 'RUNNING'
      this.#trace = undefined
      return await run.run()
    } finally {
      this.#run = undefined
      this.#progressed = run.progressed === true
      await run.close().catch(error => this.#parts.log.warn({ err: error }, 'closing the task failed'))
    }
  }

  /** True when it is worth another try. */
  #failed(error: unknown): boolean {
    const { counters, log } = this.#parts
    const reaction = reactionTo(error)
    if (this.#ending && reaction !== 'retry') this.#failuresAtEnd++
    const tiredOut = this.#failuresAtEnd > RESTARTS_AT_END_MAX
    // A bad record that the policy does not pass would be met again by every restart.
    const mends = reaction !== 'stop' && reaction !== 'record' && !tiredOut
    counters.errors++
    this.#trace = `${errorCode(error)}: ${errorMessage(error)}`
    this.#state = mends ? 'RESTARTING' : 'FAILED'
    log.error({ err: error, task: this.id }, mends ? 'the task failed and is restarted' : staysFailed(tiredOut))
    return mends
  }
}

function staysFailed(tiredOut: boolean): string {
  const why = tiredOut ? `, since it failed ${RESTARTS_AT_END_MAX + 1} times after all sources had ended` : ''
  return `the task failed and stays FAILED${why}`
}
