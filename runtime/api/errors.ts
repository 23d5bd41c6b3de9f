import { errorCode, KtsError } from '../../base/index.ts'

/**
 * What a loop does about an error:
 * - `retry`: the same again, with capped and jittered back-off;
 * - `record`: the record is bad, the `errors.*` options decide (fail, skip, dead-letter); where they say fail, the task
 *   stays FAILED, since every restart would meet the record again;
 * - `fatal`: the task fails; the worker restarts it from the committed state, with back-off;
 * - `stop`: as fatal, but a restart cannot help (configuration, lost range): the task stays FAILED.
 */
export type Reaction = 'retry' | 'record' | 'fatal' | 'stop'

const REACTIONS: Readonly<Record<string, Reaction>> = {
  RECORD_INVALID: 'record',
  RECORD_TOO_LARGE: 'record',
  MESSAGE_TOO_LARGE: 'record',
  INVALID_RECORD: 'record',
  RETRIABLE: 'retry',
  DISK_FULL: 'retry',
  ENOSPC: 'retry',
  EDQUOT: 'retry',
  EMFILE: 'retry',
  ENFILE: 'retry',
  EAGAIN: 'retry',
  ECONNREFUSED: 'retry',
  ECONNRESET: 'retry',
  EPIPE: 'retry',
  ETIMEDOUT: 'retry',
  EAI_AGAIN: 'retry',
  // The transaction is gone or unknown: what was committed is read back, and a new epoch goes on from there.
  COMMIT_UNKNOWN: 'fatal',
  FENCED: 'fatal',
  INVALID_PRODUCER_EPOCH: 'fatal',
  TRANSACTION_TIMED_OUT: 'fatal',
  STORAGE_FAILED: 'fatal',
  DESTRUCTIVE_CHANGE: 'stop',
  OFFSET_OUT_OF_RANGE: 'stop',
  CORRUPT_MESSAGE: 'stop',
  CONFIG_INVALID: 'stop',
  POSITION_LOST: 'stop',
}

/** `fatal` for a code that is not in the table. */
export function reactionTo(error: unknown): Reaction {
  return REACTIONS[errorCode(error)] ?? 'fatal'
}

/** One bad record. `onError` overrides the connector's `errors.tolerance` where an option of the stage says so. */
export class RecordError extends KtsError {
  readonly onError: 'fail' | 'skip' | 'dead-letter' | undefined

  constructor(message: string, options: { cause?: unknown; onError?: 'fail' | 'skip' | 'dead-letter' } = {}) {
    super('RECORD_INVALID', message, options)
    this.onError = options.onError
  }
}

/** A sink took every record of the put but these (by batch and position in it). */
export class RejectedRecords extends KtsError {
  readonly rejected: readonly { readonly batch: number; readonly record: number; readonly reason: string }[]

  constructor(rejected: readonly { batch: number; record: number; reason: string }[]) {
    super('RECORD_INVALID', `${rejected.length} records rejected; first: ${rejected[0]?.reason ?? ''}`)
    this.rejected = rejected
  }
}
