import pg from 'pg'
import { type Clock, errorMessage, type Files, KtsError, type Logger } from '../../runtime/api/index.ts'
import { type ConnectionOptions, SESSION_ATTRS, SSL_MODES } from './connection-options.ts'
import { lumpSocket } from './lump-socket.ts'
import { connectionError, isRefusal, serverError, worthTheOtherWay } from './server-error.ts'
import { describeAddress, parseAddresses, type ServerAddress } from './server-address.ts'
import { type TlsSettings, tlsOptions } from './tls.ts'

/** What is handed in from outside; `env` stands in for the process's environment. */
export interface ConnectionWorld {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly files: Files
  readonly clock: Clock
  readonly log: Logger
  /** Shown by the server as `kts-connect <connector>`. */
  readonly connector: string
  /** The server did let this connector in before: where it does not now, that is RETRIABLE. Default: false. */
  readonly known?: boolean
}

/**
 * Values come in one text form whatever the role or the database is set to, a policy of row level security fails instead
 * of hiding rows, and no timeout of the server ends what waits on purpose.
 */
const SESSION = [
  'client_encoding=UTF8',
  'datestyle=ISO',
  'intervalstyle=postgres',
  'timezone=UTC',
  'extra_float_digits=3',
  'bytea_output=hex',
  'row_security=off',
  'statement_timeout=0',
  'idle_in_transaction_session_timeout=0',
  'idle_session_timeout=0',
]
const LOCK_TIMEOUT_MS = 30_000
const KEEP_ALIVE_MS = 10_000
const CLOSE_MS = 2_000

type Target = (typeof SESSION_ATTRS)[number]

/** Makes connections to one database, each from the first server that fits. */
export class Connections {
  readonly #addresses: readonly ServerAddress[]
  readonly #user: string
  readonly #database: string
  readonly #password: string | undefined
  readonly #tls: TlsSettings
  readonly #target: Target
  readonly #keepAlive: boolean
  readonly #statements: readonly string[]
  readonly #timeoutMs: number
  readonly #world: ConnectionWorld
  #known: boolean

  /** Throws CONFIG_INVALID. Connects to nothing yet. */
  constructor(options: ConnectionOptions, world: ConnectionWorld) {
    const { env } = world
    const port = options['database.port']
    this.#addresses = parseAddresses(
      options['database.hostname'] ?? nonEmpty(env.PGHOST) ?? 'localhost',
      port === undefined ? env.PGPORT : String(port),
    )
    const user = options['database.user'] ?? nonEmpty(env.PGUSER) ?? nonEmpty(env.USER)
    if (user === undefined)
      throw new KtsError('CONFIG_INVALID', 'database.user: expected a role to connect as; set it, or PGUSER')
    this.#user = user
    this.#database = options['database.dbname'] ?? nonEmpty(env.PGDATABASE) ?? user
    this.#password = options['database.password'] ?? nonEmpty(env.PGPASSWORD)
    this.#tls = {
      mode: options['database.sslmode'] ?? oneOf(SSL_MODES, 'PGSSLMODE', env.PGSSLMODE) ?? 'prefer',
      rootCert: options['database.sslrootcert'] ?? nonEmpty(env.PGSSLROOTCERT),
      cert: options['database.sslcert'] ?? nonEmpty(env.PGSSLCERT),
      key: options['database.sslkey'] ?? nonEmpty(env.PGSSLKEY),
      keyPassword: options['database.sslpassword'],
    }
    this.#target =
      options['database.target.session.attrs'] ??
      oneOf(SESSION_ATTRS, 'PGTARGETSESSIONATTRS', env.PGTARGETSESSIONATTRS) ??
      'primary'
    this.#keepAlive = options['database.tcpKeepAlive']
    this.#statements = statementsOf(options['database.initial.statements'] ?? '')
    this.#timeoutMs = options['connection.timeout.ms']
    this.#world = world
    this.#known = world.known === true
  }

  /** For queries. Rejects with RETRIABLE or CONFIG_INVALID. The caller closes it with closeClient. */
  regular(signal?: AbortSignal): Promise<pg.Client> {
    return this.#connect(false, signal)
  }

  /** For the replication protocol on this database; takes simple queries too (no parameters). */
  replication(signal?: AbortSignal): Promise<pg.Client> {
    return this.#connect(true, signal)
  }

  /** `db:5432/shop`, for messages. */
  describe(): string {
    return `${this.#addresses.map(describeAddress).join(',')}/${this.#database}`
  }

  async #connect(replication: boolean, signal: AbortSignal | undefined): Promise<pg.Client> {
    const failures: KtsError[] = []
    for (const address of this.#addresses) {
      try {
        const client = await this.#connectTo(address, replication, signal)
        this.#known = true
        return client
      } catch (error) {
        const told = connectionError(error, `${describeAddress(address)}/${this.#database}`, this.#known)
        const isLast = this.#addresses.length === 1 || signal?.aborted === true
        if (isLast || (told.code !== 'RETRIABLE' && !isRefusal(told))) throw told
        failures.push(told)
      }
    }
    const code = failures.some(failure => failure.code === 'RETRIABLE') ? 'RETRIABLE' : 'CONFIG_INVALID'
    throw new KtsError(code, failures.map(errorMessage).join(' | '), { cause: failures[0] })
  }

  async #connectTo(address: ServerAddress, replication: boolean, signal: AbortSignal | undefined): Promise<pg.Client> {
    const ways = address.host.startsWith('/') ? [false] : WAYS[this.#tls.mode]
    for (const [at, encrypted] of ways.entries()) {
      try {
        return await this.#attempt(address, encrypted, replication, signal)
      } catch (error) {
        if (at === ways.length - 1 || !worthTheOtherWay(error)) throw error
      }
    }
    throw new KtsError('INTERNAL', 'internal invariant broken: a connection without a way')
  }

  /** One server, one way. The timeout covers all of it: a stopped server takes connections and says nothing. */
  async #attempt(
    address: ServerAddress,
    encrypted: boolean,
    replication: boolean,
    signal: AbortSignal | undefined,
  ): Promise<pg.Client> {
    const client = await this.#client(address, encrypted, replication)
    const { clock, log } = this.#world
    // Without a listener a connection that breaks while idle would end the process. Queries reject by themselves.
    client.on('error', error => log.debug({ server: describeAddress(address) }, `connection lost: ${error.message}`))
    let given: KtsError | undefined
    const because = (why: string) =>
      new KtsError('RETRIABLE', `PostgreSQL at ${describeAddress(address)}/${this.#database}: ${why}`)
    const giveUp = (why: string) => {
      given = because(why)
      cut(client, given)
    }
    const stopped = 'gave up connecting, since the connector stops'
    // Before it connects nobody listens to the errors of its socket.
    if (signal?.aborted) throw because(stopped)
    const stop = () => giveUp(stopped)
    const timer = clock.timer(this.#timeoutMs, () =>
      giveUp(
        `expected to be let in within ${this.#timeoutMs} ms (connection.timeout.ms), got no answer; check the server and the network to it`,
      ),
    )
    signal?.addEventListener('abort', stop, { once: true })
    try {
      await client.connect()
      await this.#expectTarget(client, address)
      if (!replication) await this.#prepare(client)
      return client
    } catch (error) {
      cut(client)
      throw given ?? error
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', stop)
    }
  }

  async #client(address: ServerAddress, encrypted: boolean, replication: boolean): Promise<pg.Client> {
    const { files, connector } = this.#world
    const settings = [...SESSION, `lock_timeout=${replication ? 0 : LOCK_TIMEOUT_MS}`]
    // Everything is said, since the client takes from the process's environment what is not.
    const config: pg.ClientConfig & { replication?: 'database' } = {
      host: address.host,
      port: address.port,
      user: this.#user,
      database: this.#database,
      password: () => this.#askedPassword(address),
      ssl: encrypted ? await tlsOptions(files, this.#tls) : false,
      sslnegotiation: 'postgres',
      // SCRAM then proves that the one who knows the password is the one who holds the certificate.
      enableChannelBinding: encrypted,
      stream: lumpSocket,
      application_name: `kts-connect ${connector}`,
      options: settings.map(setting => `-c ${setting}`).join(' '),
      keepAlive: this.#keepAlive,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
      ...(replication ? { replication: 'database' } : {}),
    }
    return new pg.Client(config)
  }

  #askedPassword(address: ServerAddress): string {
    if (this.#password !== undefined && this.#password !== '') return this.#password
    throw new KtsError(
      'CONFIG_INVALID',
      `PostgreSQL at ${describeAddress(address)}/${this.#database}: the server asks for the password of ${this.#user}; set database.password, or PGPASSWORD`,
    )
  }

  /** Statements of the user, which may set anything but what values and snapshots rely on. */
  async #prepare(client: pg.Client): Promise<void> {
    if (this.#statements.length === 0) return
    try {
      for (const statement of this.#statements) await client.query(statement)
      const settings = SESSION.map(setting => setting.split('=') as [string, string])
      const calls = settings.map((_, i) => `set_config($${2 * i + 1}, $${2 * i + 2}, false)`)
      await client.query(`SELECT ${calls.join(', ')}`, settings.flat())
    } catch (error) {
      throw serverError(error, 'database.initial.statements')
    }
  }

  async #expectTarget(client: pg.Client, address: ServerAddress): Promise<void> {
    if (this.#target === 'any') return
    const sql = "SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') AS read_only"
    const { rows } = await client.query<{ standby: boolean; read_only: string }>(sql)
    const { standby, read_only } = rows[0]!
    if (this.#target === 'standby' ? standby : !standby && (this.#target === 'primary' || read_only === 'off')) return
    const got = standby ? 'a standby' : this.#target === 'standby' ? 'the primary' : 'one that is read-only'
    const expected = this.#target === 'standby' ? 'a standby' : 'the primary'
    throw new KtsError(
      'RETRIABLE',
      `PostgreSQL at ${describeAddress(address)}/${this.#database}: expected ${expected} (database.target.session.attrs), got ${got}; name all servers in database.hostname, or promote this one`,
    )
  }
}

/** Whether to encrypt, in the order of trying. */
const WAYS: Readonly<Record<TlsSettings['mode'], readonly boolean[]>> = {
  disable: [false],
  allow: [false, true],
  prefer: [true, false],
  require: [true],
  'verify-ca': [true],
  'verify-full': [true],
}

/** Separated by `;`; two of them stand for one. */
function statementsOf(text: string): readonly string[] {
  const parts = text.match(/(?:[^;]|;;)+/g) ?? []
  return parts.map(part => part.replaceAll(';;', ';').trim()).filter(part => part !== '')
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}

function oneOf<T extends string>(values: readonly T[], name: string, text: string | undefined): T | undefined {
  if (text === undefined || text === '') return undefined
  const value = values.find(candidate => candidate === text)
  if (value !== undefined) return value
  throw new KtsError('CONFIG_INVALID', `${name}: expected one of ${values.join(', ')}, got ${text}`)
}

/** Cuts a client's connection at once; what it still runs at the server goes on there until it notices. */
export function cut(client: pg.Client, reason?: Error): void {
  // The client's own socket, which its types leave out: `end` waits for an answer of the server.
  const { connection } = client as unknown as { connection: { stream: { destroy(error?: Error): void } } }
  connection.stream.destroy(reason)
}

/** Ends a connection, politely for two seconds. Never rejects. */
export async function closeClient(client: pg.Client, clock: Clock): Promise<void> {
  const timer = clock.timer(CLOSE_MS, () => cut(client))
  // A connection that is broken already says so here; it is closed then.
  await client.end().catch(() => {})
  timer.cancel()
}
