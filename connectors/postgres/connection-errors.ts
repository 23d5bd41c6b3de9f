import { errorCode, errorMessage, KtsError } from '../../runtime/api/index.ts'
import { serverError } from './server-error.ts'

/** Of the client: the server answered N to the request for TLS. */
const TLS_REFUSED = 'The server does not support SSL connections'

const TRIED_AGAIN =
  '; a running connector tries it again and again, so once the server lets it in nothing else is to be done (SIGHUP has secrets in files read anew)'

/** True when the same server may let us in with (or without) TLS, where the mode leaves that open. */
export function worthTheOtherWay(error: unknown): boolean {
  return errorMessage(error) === TLS_REFUSED || errorCode(error) === '28000' || isTlsError(error)
}

/**
 * What a failed connection means, with place and remedy. RETRIABLE: the server is away, starts, stops or is full, or does
 * not let this role in, as while a password is changed. CONFIG_INVALID: it will say the same again. What is a KtsError
 * already stays.
 */
export function connectionError(error: unknown, place: string): KtsError {
  if (error instanceof KtsError) return error
  const told = serverError(error, `PostgreSQL at ${place}`)
  const remedy = remedyOf(errorCode(error), error)
  const message = remedy === '' ? told.message : `${told.message}; ${remedy}`
  return new KtsError(reactionCode(error, told), message, { cause: error })
}

function reactionCode(error: unknown, told: KtsError): string {
  if (isTlsError(error) || errorMessage(error) === TLS_REFUSED || /^SASL: /.test(errorMessage(error)))
    return 'CONFIG_INVALID'
  // A name may be unknown for a moment, while a service starts or moves; roles and pg_hba.conf are mended at the server.
  return ['ENOTFOUND', '28P01', '28000'].includes(errorCode(error)) ? 'RETRIABLE' : told.code
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
      return `check database.user and database.password${TRIED_AGAIN}`
    case '28000':
      return `expected a role that may log in and a line for it in pg_hba.conf (database replication is not needed, the name of the database is)${TRIED_AGAIN}`
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
