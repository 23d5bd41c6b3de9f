import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ConnectionOptions } from '../../../connectors/postgres/connection-options.ts'
import { closeClient, cut } from '../../../connectors/postgres/connection.ts'
import { errorCode, errorMessage, systemClock } from '../../../runtime/api/index.ts'
import { type PostgresServer, startPostgres } from '../../support/postgres.ts'
import { connectionsTo } from './server-harness.ts'

const SECRET = 'correct horse ü'

/** An authority, a server's certificate for `localhost` alone, a client's for the role `holder`, and a stranger's authority. */
class Certificates {
  readonly folder = mkdtempSync(join(tmpdir(), 'kts-tls-'))

  constructor() {
    this.#authority('ca')
    this.#authority('stranger')
    this.#signed('server', '/CN=localhost', 'subjectAltName=DNS:localhost')
    this.#signed('holder', '/CN=holder', 'extendedKeyUsage=clientAuth')
    this.#openssl('pkcs8', '-topk8', '-in', 'holder.key', '-out', 'holder-locked.key', '-passout', 'pass:unlock')
    this.#openssl('pkcs8', '-topk8', '-nocrypt', '-in', 'holder.key', '-outform', 'DER', '-out', 'holder.der')
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  text(name: string): string {
    return readFileSync(this.path(name), 'utf8')
  }

  #authority(name: string): void {
    this.#openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.crt`,
    )
  }

  #signed(name: string, subject: string, extension: string): void {
    this.#openssl(
      'req',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      subject,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
    )
    writeFileSync(this.path(`${name}.ext`), extension)
    this.#openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      `${name}.ext`,
      '-out',
      `${name}.crt`,
    )
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { cwd: this.folder, stdio: 'pipe' })
  }
}

let certificates: Certificates
let server: PostgresServer
/** Accepts connections and never says anything. */
let mute: Server
let mutePort: number

beforeAll(async () => {
  certificates = new Certificates()
  server = await startPostgres({
    password: SECRET,
    settings: { ssl: 'on', ssl_ca_file: 'ca.crt' },
    files: {
      'server.crt': certificates.text('server.crt'),
      'server.key': certificates.text('server.key'),
      'ca.crt': certificates.text('ca.crt'),
    },
    hba: [
      'local all all trust',
      'hostssl all holder 127.0.0.1/32 cert',
      'hostssl all encrypted 127.0.0.1/32 trust',
      'hostnossl all bare 127.0.0.1/32 trust',
      'host all postgres 127.0.0.1/32 scram-sha-256',
      'host all nobody 127.0.0.1/32 trust',
    ].join('\n'),
  })
  await server.run('CREATE ROLE holder LOGIN; CREATE ROLE encrypted LOGIN; CREATE ROLE bare LOGIN;')
  mute = createServer(() => {}).listen(0, '127.0.0.1')
  await new Promise(resolve => mute.once('listening', resolve))
  mutePort = (mute.address() as { port: number }).port
}, 60_000)

afterAll(async () => {
  mute?.close()
  await server?.close()
  if (certificates !== undefined) rmSync(certificates.folder, { recursive: true })
})

const withPassword = { 'database.password': SECRET }

/** `tls` or `plain`, as the server sees the connection; the code and message of the refusal otherwise. */
async function attempt(
  given: Partial<ConnectionOptions>,
  env: Record<string, string> = {},
  known = false,
): Promise<{ got: string; message: string }> {
  try {
    const client = await connectionsTo(server, 'postgres', given, { env, known }).regular()
    const { rows } = await client.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')
    await closeClient(client, systemClock)
    return { got: rows[0].ssl ? 'tls' : 'plain', message: '' }
  } catch (error) {
    return { got: errorCode(error), message: errorMessage(error) }
  }
}

describe('a connection', () => {
  it.each([
    ['disable', 'plain'],
    ['allow', 'plain'],
    ['prefer', 'tls'],
    ['require', 'tls'],
  ] as const)('with sslmode %s to a server that can both is %s', async (mode, got) => {
    expect(await attempt({ ...withPassword, 'database.sslmode': mode })).toEqual({ got, message: '' })
  })

  it('with sslmode prefer takes the other way where pg_hba.conf allows one alone', async () => {
    expect((await attempt({ 'database.user': 'bare' })).got).toBe('plain')
    expect((await attempt({ 'database.user': 'encrypted' })).got).toBe('tls')
    expect((await attempt({ 'database.user': 'encrypted', 'database.sslmode': 'allow' })).got).toBe('tls')
  })

  it('verifies the authority with verify-ca, and the name too with verify-full', async () => {
    const ca = { ...withPassword, 'database.sslrootcert': certificates.path('ca.crt') }
    const stranger = { ...withPassword, 'database.sslrootcert': certificates.path('stranger.crt') }
    expect((await attempt({ ...ca, 'database.sslmode': 'verify-ca' })).got).toBe('tls')
    expect((await attempt({ ...ca, 'database.sslmode': 'verify-full', 'database.hostname': 'localhost' })).got).toBe(
      'tls',
    )
    const wrongName = await attempt({ ...ca, 'database.sslmode': 'verify-full' })
    expect(wrongName.got).toBe('CONFIG_INVALID')
    expect(wrongName.message).toContain('database.hostname, as verify-full demands')
    for (const mode of ['require', 'verify-ca', 'verify-full'] as const) {
      const refused = await attempt({ ...stranger, 'database.sslmode': mode, 'database.hostname': 'localhost' })
      expect(refused.got).toBe('CONFIG_INVALID')
      expect(refused.message).toContain('database.sslrootcert')
    }
    // Without an authority of its own verify-full trusts the world's, which did not sign this.
    expect(
      (await attempt({ ...withPassword, 'database.sslmode': 'verify-full', 'database.hostname': 'localhost' })).got,
    ).toBe('CONFIG_INVALID')
  })

  it('shows a client certificate: key in PEM, with a password, or in DER', async () => {
    const user = { 'database.user': 'holder', 'database.sslcert': certificates.path('holder.crt') }
    const keys = { 'holder.key': undefined, 'holder-locked.key': 'unlock', 'holder.der': undefined }
    for (const [key, password] of Object.entries(keys)) {
      const given = { ...user, 'database.sslkey': certificates.path(key), 'database.sslpassword': password }
      expect(await attempt(given)).toEqual({ got: 'tls', message: '' })
    }
    const locked = await attempt({ ...user, 'database.sslkey': certificates.path('holder-locked.key') })
    expect(locked).toMatchObject({ got: 'CONFIG_INVALID', message: expect.stringContaining('database.sslpassword') })
    const missing = await attempt({ ...user, 'database.sslkey': certificates.path('nothing') })
    expect(missing).toMatchObject({ got: 'CONFIG_INVALID', message: expect.stringContaining('database.sslkey') })
  })

  it('says what was expected and never the password when it is refused; who was let in before tries again', async () => {
    const refused: [Partial<ConnectionOptions>, string][] = [
      [{}, 'asks for the password of postgres'],
      [{ ...withPassword, 'database.dbname': 'atlantis' }, 'database.dbname'],
    ]
    // A password is changed here and there, one after the other: who gave up between would stay stopped.
    const known: [Partial<ConnectionOptions>, string][] = [
      [{ 'database.password': 'wrong secret' }, 'database.password'],
      [{ 'database.user': 'nobody' }, 'role "nobody" does not exist'],
      [{ 'database.user': 'stranger' }, 'pg_hba.conf'],
    ]
    const tries = [...refused, ...known].map(([given, words]) => ({ given, words, isKnown: false }))
    for (const { given, words, isKnown } of [
      ...tries,
      ...known.map(([given, words]) => ({ given, words, isKnown: true })),
    ]) {
      const { got, message } = await attempt(given, {}, isKnown)
      expect(got).toBe(isKnown ? 'RETRIABLE' : 'CONFIG_INVALID')
      expect(message.includes('tried again and again')).toBe(isKnown)
      expect(message).toContain(words)
      expect(message).toContain(`127.0.0.1:${server.port}`)
      expect(message).not.toMatch(/wrong secret|correct horse/)
    }
  })

  it('is tried again where nobody listens, no socket is, no name resolves, or nothing answers', async () => {
    const away: [Partial<ConnectionOptions>, string][] = [
      [{ 'database.hostname': '127.0.0.1:1' }, 'ECONNREFUSED'],
      [{ 'database.hostname': certificates.folder }, 'unix socket'],
      [{ 'database.hostname': `127.0.0.1:${mutePort}`, 'connection.timeout.ms': 200 }, 'within 200 ms'],
    ]
    for (const [given, words] of away) {
      const { got, message } = await attempt({ ...withPassword, ...given })
      expect(got).toBe('RETRIABLE')
      expect(message).toContain(words)
    }
  })

  it('ends at once when the connector stops', async () => {
    const stop = new AbortController()
    const connections = connectionsTo({ host: '127.0.0.1', port: mutePort }, 'postgres')
    const connecting = connections.regular(stop.signal)
    stop.abort()
    await expect(connecting).rejects.toMatchObject({ code: 'RETRIABLE' })
    await expect(connections.replication(stop.signal)).rejects.toMatchObject({ code: 'RETRIABLE' })
  })

  it('goes over a unix socket, and takes the first server that is there', async () => {
    expect((await attempt({ 'database.hostname': server.socketDir, 'database.sslmode': 'verify-full' })).got).toBe(
      'plain',
    )
    const hosts = `127.0.0.1:1,${server.host}:${server.port}`
    expect((await attempt({ ...withPassword, 'database.hostname': hosts })).got).toBe('tls')
    const none = await attempt({ 'database.hostname': '127.0.0.1:1,127.0.0.1:2' })
    expect(none).toMatchObject({ got: 'RETRIABLE', message: expect.stringMatching(/127\.0\.0\.1:1.*127\.0\.0\.1:2/) })
  })

  it('takes from the PG* variables what the options leave out', async () => {
    const unset = Object.fromEntries(
      ['hostname', 'port', 'user', 'dbname'].map(name => [`database.${name}`, undefined]),
    ) as Partial<ConnectionOptions>
    const env = {
      PGHOST: server.host,
      PGPORT: String(server.port),
      PGUSER: 'postgres',
      PGDATABASE: 'postgres',
      PGPASSWORD: SECRET,
    }
    expect((await attempt(unset, { ...env, PGSSLMODE: 'disable' })).got).toBe('plain')
    expect((await attempt({ ...unset, 'database.sslmode': 'require' }, { ...env, PGSSLMODE: 'disable' })).got).toBe(
      'tls',
    )
    const wrong = await attempt(unset, { ...env, PGSSLMODE: 'maybe' })
    expect(wrong).toMatchObject({ got: 'CONFIG_INVALID', message: expect.stringContaining('PGSSLMODE') })
  })

  it('of either kind has the settings that values are read by, whatever the role has', async () => {
    await server.query(
      `ALTER ROLE postgres SET datestyle = 'SQL, DMY'; ALTER ROLE postgres SET timezone = 'Asia/Tokyo';
       ALTER ROLE postgres SET statement_timeout = '1s'; ALTER ROLE postgres SET bytea_output = 'escape'`,
    )
    const connections = connectionsTo(server, 'postgres', withPassword)
    for (const client of [await connections.regular(), await connections.replication()]) {
      const { rows } = await client.query(
        `SELECT concat_ws(' ', split_part(current_setting('datestyle'), ',', 1), current_setting('timezone'),
           current_setting('statement_timeout'), current_setting('bytea_output'), current_setting('intervalstyle'),
           current_setting('row_security'), current_setting('application_name')) AS settings`,
      )
      expect(rows[0].settings).toBe('ISO UTC 0 hex postgres off kts-connect test')
      await closeClient(client, systemClock)
    }
    await server.query('ALTER ROLE postgres RESET ALL')
  })

  it('that breaks while idle ends nothing but itself', async () => {
    const client = await connectionsTo(server, 'postgres', withPassword).regular()
    await server.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kts-connect test'`,
    )
    await expect(client.query('SELECT 1')).rejects.toThrow()
    await closeClient(client, systemClock)
    const other = await connectionsTo(server, 'postgres', withPassword).regular()
    cut(other)
    await closeClient(other, systemClock)
  })

  it('to a server that stops and starts is refused for a while, then made', async () => {
    const connections = connectionsTo(server, 'postgres', withPassword)
    await server.stop('fast')
    await expect(connections.regular()).rejects.toMatchObject({ code: 'RETRIABLE' })
    await server.start()
    await closeClient(await connections.regular(), systemClock)
  })

  it('beyond max_connections is tried again', async () => {
    await server.query('CREATE DATABASE narrow CONNECTION LIMIT 0')
    const role = { 'database.user': 'encrypted', 'database.dbname': 'narrow' }
    expect(await attempt(role)).toMatchObject({ got: 'RETRIABLE', message: expect.stringContaining('53300') })
  })
})
