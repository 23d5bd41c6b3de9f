import { errorCode, errorMessage, KtsError } from '../../runtime/api/index.ts'

/** Connection trouble by its nature, and what passes by itself: the server stops, starts, recovers, is out of something. */
const PASSING = /^(08...|53...|57P0[1235]|58030|40001|40P01|55006|25P03|57014)$/
/** Of the client: the server answered N to the request for TLS. */
const TLS_REFUSED = 'The server does not support SSL connections'

/** The server does not let the role in: a wrong password, or no line for it in pg_hba.conf. */
const NOT_LET_IN = /^28(P01|000)$/
const TRIED_AGAIN =
  '; it did let this connector in before, so it is tried again and again: once it does so again nothing else is to be done (SIGHUP has secrets in files read anew)'

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

/** True when the same server may let us in with (or without) TLS, where the mode leaves that open. */
export function worthTheOtherWay(error: unknown): boolean {
  return errorMessage(error) === TLS_REFUSED || errorCode(error) === '28000' || isTlsError(error)
}

/**
 * What a failed connection means, with place and remedy. RETRIABLE: the server is away, starts, stops or is full, or does
 * not let in whom it did let in before (`known`), as while a password is changed. CONFIG_INVALID: it will say the same
 * again; a role that was never let in is not tried on, since some servers lock it after so many times. What is a KtsError
 * already stays.
 */
export function connectionError(error: unknown, place: string, known: boolean): KtsError {
  if (error instanceof KtsError) return error
  const told = serverError(error, `PostgreSQL at ${place}`)
  const remedy = `${remedyOf(errorCode(error), error)}${known && isRefusal(error) ? TRIED_AGAIN : ''}`
  const message = remedy === '' ? told.message : `${told.message}; ${remedy}`
  return new KtsError(reactionCode(error, told, known), message, { cause: error, details: told.details ?? {} })
}

/** The server is there, and does not let the role in. */
export function isRefusal(error: unknown): boolean {
  return NOT_LET_IN.test(error instanceof KtsError ? errorCode(error.cause) : errorCode(error))
}

function reactionCode(error: unknown, told: KtsError, known: boolean): string {
  if (isTlsError(error) || errorMessage(error) === TLS_REFUSED || /^SASL: /.test(errorMessage(error)))
    return 'CONFIG_INVALID'
  // A name may be unknown for a moment, while a service starts or moves.
  if (errorCode(error) === 'ENOTFOUND' || (known && isRefusal(error))) return 'RETRIABLE'
  return told.code
}

function remedyOf(code: string, error: unknown): string {
  const said = errorMessage(error)
  if (said === TLS_REFUSED)
    return 'expected TLS, as database.sslmode says: turn it on at the server (ssl = on), or set database.sslmode to prefer or disable'
  if (isTlsError(error)) return tlsRemedy(code)
  if (/^SASL: /.test(said))
    return 'expected a SCRAM exchange that proves both sides: check database.password, and that this is the right server'
  switch (code) {
    case '28P01':
      return 'check database.user and database.password'
    case '28000':
      return 'expected a role that may log in and a line for it in pg_hba.conf (database replication is not needed, the name of the database is)'
    case '3D000':
      return 'check database.dbname'
    case '42501':
      return 'the role lacks a privilege: for replication ALTER ROLE … REPLICATION, for the database GRANT CONNECT'
    case '42704':
      return 'expected PostgreSQL 14 or later'
    case '53300':
      return 'expected a free connection: end others, or raise max_connections (for replication max_wal_senders)'
    case 'ECONNREFUSED':
      return 'expected a server that listens there: start it, or check database.hostname, database.port and listen_addresses'
    case 'ENOENT':
      return 'expected the unix socket of a running server: start it, or check database.hostname (a folder) and database.port'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'expected a name that resolves: check database.hostname'
    default:
      return ''
  }
}

function isTlsError(error: unknown): boolean {
  const code = errorCode(error)
  return (
    /^(ERR_SSL|ERR_TLS|ERR_OSSL|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE)/.test(
      code,
    ) || errorMessage(error) === 'There was an error establishing an SSL connection'
  )
}

function tlsRemedy(code: string): string {
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
    case 'HOSTNAME_MISMATCH':
      return 'expected a certificate with the name in database.hostname, as verify-full demands: use the name it has, or verify-ca'
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return 'expected a certificate that is valid now: renew it, or set the clock'
    case 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED':
    case 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE':
      return 'the server demands a client certificate: set database.sslcert and database.sslkey'
    default:
      return 'expected a certificate that database.sslrootcert vouches for: give the PEM file of the authority that signed it'
  }
}
