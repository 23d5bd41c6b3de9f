import { errorCode, errorMessage, KtsError } from '../../runtime/api/index.ts'

/** Connection trouble by its nature, and what passes by itself: the server stops, starts, recovers, is out of something. */
const PASSING = /^(08...|53...|57P0[1235]|58030|40001|40P01|55006|25P03|57014)$/
/** What nobody but the user can mend: names and rights. */
const REFUSED = /^(0A...|28...|3D...|3F...|42...|22023)$/
/** Of the system or of `pg`, for a socket that went away. */
const CUT = /^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOENT$|EAI_|ERR_STREAM_|ERR_SSL)/
const CUT_MESSAGE =
  /Connection terminated|Client has encountered a connection error|connection error and is not queryable/

/** A value cannot be sent as UTF-8: the database takes any bytes (SQL_ASCII), or holds some that its encoding has not. */
const NO_TEXT = /^(22021|22P05)$/
const NO_TEXT_REMEDY =
  '; a value of a captured table is no text: mend it, leave the table out (table.exclude.list), or have the database in UTF8'

/**
 * What a failure of a connection means for the task: RETRIABLE for connection trouble and a server that comes and goes,
 * CONFIG_INVALID for names and rights, POSTGRES_FAILED (fatal: tried again from the committed state) for all else. An error
 * of ours passes as it is. `doing` begins the message: `reading replication slot "a"`.
 */
export function serverError(error: unknown, doing: string): KtsError {
  if (error instanceof KtsError) return error
  const code = errorCode(error)
  const text = errorMessage(error)
  const isState = /^[0-9A-Z]{5}$/.test(code) && !CUT.test(code)
  const message = `${doing}: ${text}${isState ? ` (SQLSTATE ${code})` : ''}${NO_TEXT.test(code) ? NO_TEXT_REMEDY : ''}`
  const options = { cause: error, details: isState ? { sqlState: code } : {} }
  if (isState) {
    const ours = PASSING.test(code) ? 'RETRIABLE' : REFUSED.test(code) ? 'CONFIG_INVALID' : 'POSTGRES_FAILED'
    return new KtsError(ours, message, options)
  }
  return new KtsError(CUT.test(code) || CUT_MESSAGE.test(text) ? 'RETRIABLE' : 'POSTGRES_FAILED', message, options)
}
