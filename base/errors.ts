/**
 * The one error class of the project. A code is stable and documented; the message names place, expectation and
 * remedy. What a loop does about a code is decided by the table in runtime/api/errors.ts, never by `instanceof`.
 */
export class KtsError extends Error {
  readonly code: string
  /** Facts for logs and REST bodies. Never secrets. */
  readonly details: Readonly<Record<string, unknown>> | undefined

  constructor(code: string, message: string, options: { cause?: unknown; details?: Record<string, unknown> } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'KtsError'
    this.code = code
    this.details = options.details
  }
}

/** The code of any error: ours, or the system's (`ENOSPC`), or `UNKNOWN`. */
export function errorCode(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string')
    return error.code
  return 'UNKNOWN'
}

export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** A broken invariant of our own: a bug, not an input. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new KtsError('INTERNAL', `internal invariant broken: ${message}`)
}
