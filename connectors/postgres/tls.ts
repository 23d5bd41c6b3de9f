import { createPrivateKey } from 'node:crypto'
import type { ConnectionOptions as TlsOptions } from 'node:tls'
import { errorCode, type Files, KtsError, readWhole } from '../../runtime/api/index.ts'
import type { SSL_MODES } from './connection-options.ts'

export type SslMode = (typeof SSL_MODES)[number]

/** Paths are absolute; undefined where nothing was said. */
export interface TlsSettings {
  readonly mode: SslMode
  readonly rootCert: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly keyPassword: string | undefined
}

const PEM_MAX = 1 << 20

/**
 * For `tls.connect`. The files are read at each connection, so renewed certificates are taken without a restart. As in
 * libpq, `require` with a root certificate verifies as `verify-ca`. Throws CONFIG_INVALID.
 */
export async function tlsOptions(files: Files, settings: TlsSettings): Promise<TlsOptions> {
  const { mode, rootCert } = settings
  if (mode === 'verify-ca' && rootCert === undefined) {
    // Any of the world's authorities could vouch for anyone, since the name is not looked at.
    const message =
      'database.sslrootcert: expected the authority that signs the certificate, beside database.sslmode verify-ca; name its PEM file, or use verify-full'
    throw new KtsError('CONFIG_INVALID', message)
  }
  const verify = mode === 'verify-full' || mode === 'verify-ca' || (mode === 'require' && rootCert !== undefined)
  return {
    rejectUnauthorized: verify,
    ...(verify && rootCert !== undefined ? { ca: await pem(files, 'database.sslrootcert', rootCert) } : {}),
    ...(verify && mode !== 'verify-full' ? { checkServerIdentity: () => undefined } : {}),
    ...(await clientCertificate(files, settings)),
  }
}

async function clientCertificate(files: Files, { cert, key, keyPassword }: TlsSettings): Promise<TlsOptions> {
  if (cert === undefined && key === undefined) return {}
  if (cert === undefined || key === undefined)
    throw new KtsError('CONFIG_INVALID', 'expected database.sslcert and database.sslkey, or neither; got one alone')
  return {
    cert: await pem(files, 'database.sslcert', cert),
    key: privateKey(await pem(files, 'database.sslkey', key), key, keyPassword),
  }
}

/** PEM without password, from PEM or from the PKCS-8 DER that Debezium wants. */
function privateKey(bytes: Buffer, path: string, password: string | undefined): string {
  const passphrase = password === undefined ? {} : { passphrase: password }
  try {
    const key = bytes.includes('-----BEGIN')
      ? createPrivateKey({ key: bytes, format: 'pem', ...passphrase })
      : createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8', ...passphrase })
    return key.export({ type: 'pkcs8', format: 'pem' }).toString()
  } catch (cause) {
    const message = `database.sslkey ${path}: expected a private key in PEM or PKCS-8 DER, with its password in database.sslpassword if it has one`
    throw new KtsError('CONFIG_INVALID', message, { cause })
  }
}

async function pem(files: Files, option: string, path: string): Promise<Buffer> {
  let why = 'nothing'
  try {
    const bytes = await readWhole(files, path, PEM_MAX)
    if (bytes !== undefined) return bytes
  } catch (error) {
    why = errorCode(error)
  }
  throw new KtsError('CONFIG_INVALID', `${option} ${path}: expected a readable file of at most 1 MiB, got ${why}`)
}
