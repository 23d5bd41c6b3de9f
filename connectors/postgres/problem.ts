import { KtsError, type Logger } from '../../runtime/api/index.ts'

/** One thing that a check found. */
export interface Problem {
  /** `error`: capture does not work, or harms. `warning`: it works, for now. */
  readonly severity: 'error' | 'warning'
  /** What was expected and what there is. */
  readonly message: string
  /** What mends it, a statement per element, for a superuser or the owner; [] where SQL cannot. */
  readonly sql: readonly string[]
}

/** Warnings go to the log; throws CONFIG_INVALID with all errors at once. */
export function tellProblems(problems: readonly Problem[], place: string, log: Logger): void {
  for (const problem of problems) if (problem.severity === 'warning') log.warn({}, inWords(problem, ' '))
  const errors = problems.filter(problem => problem.severity === 'error')
  if (errors.length === 0) return
  const list = errors.map(problem => `- ${inWords(problem, '\n    ')}`).join('\n')
  const count = errors.length === 1 ? 'one thing is' : `${errors.length} things are`
  throw new KtsError('CONFIG_INVALID', `PostgreSQL at ${place}: ${count} missing:\n${list}`)
}

/** `between`: what stands in front of each statement. */
function inWords({ message, sql }: Problem, between: string): string {
  return sql.length === 0 ? message : `${message}. Mend it with:${sql.map(statement => between + statement).join('')}`
}

const NAMED_MAX = 10

/** `a, b and 3 more`. */
export function named(names: readonly string[]): string {
  if (names.length <= NAMED_MAX) return names.join(', ')
  return `${names.slice(0, NAMED_MAX).join(', ')} and ${names.length - NAMED_MAX} more`
}

export function error(message: string, ...sql: string[]): Problem {
  return { severity: 'error', message, sql }
}

export function warning(message: string, ...sql: string[]): Problem {
  return { severity: 'warning', message, sql }
}
