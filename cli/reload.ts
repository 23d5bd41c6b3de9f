import { type Logger, nodeFiles, sleep, systemClock } from '../base/index.ts'
import { formatProblem, inputState, processChanges } from '../runtime/index.ts'
import { loadPipeline, type Pipeline } from './compose.ts'
import { failureLines } from './failure.ts'

const LOOK_MS = 2000

export interface ReloadParts {
  /** As they were given to `loadPipeline`, with the same folder of data. */
  readonly files: readonly string[]
  readonly dataDir?: string | undefined
  readonly pipeline: Pipeline
  readonly log: Logger
  /** Ends it. */
  readonly signal: AbortSignal
  /** How often the files are looked at; default 2 s. */
  readonly lookMs?: number
}

/**
 * Follows changes of the pipeline files while they run: looks at them every few seconds, and at once when `ask` is called
 * (SIGHUP; also for secrets, which lie in files of their own). What is not valid is told, and nothing is changed.
 */
export class Reloading {
  readonly #parts: ReloadParts
  #asked = new AbortController()

  constructor(parts: ReloadParts) {
    this.#parts = parts
  }

  ask(): void {
    this.#asked.abort()
  }

  /** Until the signal aborts; never rejects. `state`: the files when they were loaded (`inputState`). */
  async run(state: string): Promise<void> {
    const { signal, lookMs = LOOK_MS } = this.#parts
    let followed = state
    let seen = state
    while (!signal.aborted) {
      await sleep(systemClock, lookMs, AbortSignal.any([signal, this.#asked.signal]))
      if (signal.aborted) return
      const asked = this.#asked.signal.aborted
      if (asked) this.#asked = new AbortController()
      const now = await stateOf(this.#parts.files)
      // Twice the same: nobody is in the middle of writing it.
      if (asked || (now !== followed && now === seen)) {
        followed = now
        await this.#reload()
      }
      seen = now
    }
  }

  async #reload(): Promise<void> {
    const { files, dataDir, pipeline, log, signal } = this.#parts
    try {
      const config = await loadPipeline(files, { dataDir })
      for (const warning of config.warnings) log.warn({}, formatProblem(warning))
      const settings = processChanges(pipeline.config, config)
      if (settings.length > 0) log.warn({ settings }, 'these settings of the process are taken at its next start')
      const { added, changed, removed } = await pipeline.apply(config)
      for (const connector of removed)
        log.info({ connector }, 'stopped: no file names it any more; its positions are kept until `kts-connect delete`')
      log.info({ added, changed, removed }, 'the files were read again')
    } catch (error) {
      if (signal.aborted) return
      for (const line of failureLines(error, false)) log.error({}, line.replace(/^kts-connect: /, ''))
      log.error({}, 'the files were not followed: the worker goes on with what it had')
    }
  }
}

/** As `Reloading.run` begins with. */
export function stateOf(files: readonly string[]): Promise<string> {
  return inputState(files, nodeFiles)
}
