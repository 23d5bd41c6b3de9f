import { KtsError } from '../../base/index.ts'
import type { ConfigProblem, Place } from './types.ts'

/** Every problem of every file, in order of file, line and column. The message has one line for each. */
export class ConfigError extends KtsError {
  readonly problems: readonly ConfigProblem[]

  constructor(problems: readonly ConfigProblem[]) {
    super('CONFIG_INVALID', problems.map(formatProblem).join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/** `file:line:col path: expected X, got Y (did you mean Z?)`. A problem of the YAML itself has no path. */
export function formatProblem({ place, path, message }: ConfigProblem): string {
  return `${formatPlace(place)} ${path === '' ? '' : `${path}: `}${message}`
}

export function formatPlace({ file, line, column }: Place): string {
  return `${file}:${line}:${column}`
}

/** Collects, so that one run reports all there is to mend. */
export class Problems {
  readonly #errors: ConfigProblem[] = []
  readonly #warnings: ConfigProblem[] = []

  get warnings(): readonly ConfigProblem[] {
    return this.#warnings
  }

  /** How many errors there are so far. */
  get count(): number {
    return this.#errors.length
  }

  add(place: Place, path: string, message: string): void {
    this.#errors.push({ place, path, message })
  }

  warn(place: Place, path: string, message: string): void {
    this.#warnings.push({ place, path, message })
  }

  /** `files` gives the order. Throws ConfigError when there is anything to report. */
  throwIfAny(files: readonly string[]): void {
    if (this.#errors.length === 0) return
    const order = (p: ConfigProblem) => files.indexOf(p.place.file)
    this.#errors.sort((a, b) => order(a) - order(b) || a.place.line - b.place.line || a.place.column - b.place.column)
    throw new ConfigError(this.#errors)
  }
}

/** Text in a message: quoted, without control characters, cut where it gets long. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text)
}
