import { errorCode, errorMessage } from '../base/index.ts'
import { escapeControls } from './text.ts'

/**
 * Exit codes: 0 done (a graceful stop by signal as well), 1 it did not work, 2 the command line or the configuration is
 * wrong, 130 and 143 a second SIGINT or SIGTERM cut the stop short.
 */
export const EXIT_FAILED = 1
export const EXIT_USAGE = 2

/** The command line or the configuration is wrong; the message says what to do. */
export class UsageError extends Error {}

/** What went wrong was told already; only the exit code is left. */
export class Reported extends Error {
  readonly exitCode: number

  constructor(exitCode: number) {
    super('reported')
    this.exitCode = exitCode
  }
}

// What the system says, and what a person can do about it.
const REMEDIES: Readonly<Record<string, string>> = {
  EACCES: 'check owner and permissions of that path, or run as a user who may use it',
  EPERM: 'check owner and permissions of that path, or run as a user who may use it',
  ENOSPC: 'the disk is full: free some space, nothing is lost meanwhile',
  EROFS: 'the file system is read-only: choose another place with --data-dir',
  EMFILE: 'too many open files: raise the limit (ulimit -n)',
  ENOENT: 'check the spelling, and that it exists',
}

/** Lines for a person: one per configuration problem, else one and its remedy. The stack only when asked for. */
export function failureLines(error: unknown, verbose: boolean): readonly string[] {
  // A ConfigError's message has a line for each problem, which begins with its place.
  if (isConfigError(error)) return error.message.split('\n').map(escapeControls)
  const remedy = REMEDIES[errorCode(error)]
  const message = escapeControls(errorMessage(error)).replaceAll('\\u000a', '\n  ')
  const lines = [`kts-connect: ${message}${remedy === undefined ? '' : `; ${remedy}`}`]
  if (verbose && error instanceof Error && error.stack !== undefined) lines.push(error.stack)
  return lines
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof Reported) return error.exitCode
  const usage = error instanceof UsageError || errorCode(error) === 'CONFIG_INVALID'
  return usage ? EXIT_USAGE : EXIT_FAILED
}

/** By its shape: its class lives in a room that is loaded only when it is needed. */
function isConfigError(error: unknown): error is Error {
  return error instanceof Error && 'problems' in error
}
