import { errorCode, errorMessage, KtsError } from '../runtime/api/index.ts'

/** The body of every error answer, as Kafka Connect gives it; `code` is ours, where the error has one. */
export interface ErrorBody {
  readonly error_code: number
  readonly message: string
  readonly code?: string
}

/** An answer other than 2xx that a route decides on. */
export class HttpError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

const STATUS_OF_CODE: Readonly<Record<string, number>> = {
  UNKNOWN_TOPIC_OR_PARTITION: 404,
  INVALID_TOPIC: 400,
  INVALID_CONFIG: 400,
  INVALID_RECORD: 400,
  DESTRUCTIVE_CHANGE: 409,
  RECORD_INVALID: 400,
  OFFSET_OUT_OF_RANGE: 400,
  MESSAGE_TOO_LARGE: 413,
  NO_CONNECTOR: 404,
  NOT_RUNNING: 409,
  CONFIG_INVALID: 400,
  CLOSED: 503,
  DISK_FULL: 507,
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  409: 'Conflict',
  413: 'Payload Too Large',
  415: 'Unsupported Media Type',
}

/** Connect's words where a status says everything: `HTTP 404 Not Found`. */
export function httpMessage(status: number): string {
  return `HTTP ${status} ${REASONS[status] ?? 'Error'}`
}

/**
 * The answer to any error: our own messages are meant to be read; of others only the message's first line is given, and
 * never a stack.
 */
export function errorBody(error: unknown): ErrorBody {
  if (error instanceof HttpError) return { error_code: error.status, message: error.message }
  if (error instanceof KtsError) {
    const status = STATUS_OF_CODE[error.code] ?? 500
    return { error_code: status, message: error.message, code: error.code }
  }
  const status = statusCodeOf(error)
  if (status !== undefined && status < 500) return { error_code: status, message: httpMessage(status) }
  return { error_code: 500, message: errorMessage(error).split('\n', 1)[0] ?? '', code: errorCode(error) }
}

/** What fastify's own errors carry (body too large, unsupported media type). */
function statusCodeOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return undefined
  return typeof error.statusCode === 'number' ? error.statusCode : undefined
}
