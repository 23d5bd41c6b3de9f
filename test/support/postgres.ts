import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { freePort } from './kafka.ts'
import { as, debianClients, type PostgresVersion, postgresBinaries, serverUser } from './postgres-binaries.ts'

const READY_MS = 60_000

/** For tests: quick and small, and everything on that capturing changes can need. */
const SETTINGS: Record<string, string> = {
  fsync: 'off',
  synchronous_commit: 'on',
  full_page_writes: 'off',
  wal_level: 'logical',
  max_replication_slots: '40',
  max_wal_senders: '40',
  max_prepared_transactions: '20',
  max_connections: '120',
  shared_buffers: '32MB',
  max_wal_size: '512MB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  listen_addresses: '127.0.0.1',
  logging_collector: 'off',
}

export interface PostgresOptions {
  /** Default 17. */
  readonly version?: PostgresVersion
  /** Default embedded. Debian has 15 only, with PostGIS. */
  readonly source?: 'embedded' | 'debian'
  /** Of postgresql.conf, unquoted, above those for tests. */
  readonly settings?: Record<string, string>
  /** Whole pg_hba.conf. Default: everybody is trusted. */
  readonly hba?: string
  /** The password of user postgres, for a pg_hba.conf that asks for one; stored as SCRAM-SHA-256. */
  readonly password?: string
  /** Further files in the data folder, by name (a certificate and its key, say), readable to the server alone. */
  readonly files?: Record<string, string>
  /** A copy of this data folder (of a stopped server of the same version) in place of a new one. */
  readonly copyOf?: string
}

export interface PostgresServer {
  /** Major version. */
  readonly version: number
  readonly host: string
  readonly port: number
  readonly socketDir: string
  /** The data folder. */
  readonly directory: string
  /** Of postgresql's own output. */
  readonly logFile: string
  /** The postmaster's, while it runs. */
  readonly pid: number | undefined
  /** Over TCP, as the superuser `postgres`. */
  url(database?: string): string
  query(sql: string, database?: string): Promise<pg.QueryResult>
  /** A whole SQL script through psql: statement by statement, each a transaction of its own, to the first error. */
  run(script: string, database?: string): Promise<void>
  /** Answers its name, a new one when none is given. */
  createDatabase(name?: string): Promise<string>
  start(): Promise<void>
  stop(mode: 'smart' | 'fast' | 'immediate'): Promise<void>
  /** SIGKILL to all of its processes, as if the machine had stopped (what was not synced stays, though). */
  kill(): Promise<void>
  /** Stops it and removes its folder. */
  close(): Promise<void>
}

/** A server of its own: use it where the test stops it, or needs settings; else `sharedPostgres`. */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const version = options.version ?? (options.source === 'debian' ? 15 : 17)
  const binaries = await postgresBinaries(version, options.source ?? 'embedded')
  debianClients()
  const server = new Server(version, binaries, await freePort(), options)
  try {
    await server.initialize()
    await server.start()
  } catch (error) {
    await server.close()
    throw error
  }
  return server
}

const shared = new Map<string, Promise<PostgresServer>>()

/**
 * One server per version and test file's worker, for tests that only need databases of their own. Nobody closes it: it ends
 * with the process. `15` is Debian's, with PostGIS.
 */
export function sharedPostgres(version: PostgresVersion = 17): Promise<PostgresServer> {
  const key = String(version)
  let server = shared.get(key)
  if (server === undefined) {
    server = startPostgres({ version, source: version === 15 ? 'debian' : 'embedded' })
    shared.set(key, server)
  }
  return server
}

class Server implements PostgresServer {
  readonly version: number
  readonly host = '127.0.0.1'
  readonly port: number
  readonly socketDir: string
  readonly directory: string
  readonly logFile: string
  readonly #binaries: string
  readonly #options: PostgresOptions
  readonly #user = serverUser()
  #postmaster: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()
  #databases = 0

  constructor(version: number, binaries: string, port: number, options: PostgresOptions) {
    this.version = version
    this.#binaries = binaries
    this.port = port
    this.#options = options
    this.socketDir = mkdtempSync(join(tmpdir(), 'kts-postgres-'))
    chmodSync(this.socketDir, 0o755)
    this.#give(this.socketDir)
    this.directory = join(this.socketDir, 'data')
    this.logFile = join(this.socketDir, 'server.log')
    this.logFile = join(this.socketDir, 'server.log')
    reapAtEnd(this.socketDir)
  }

  get pid(): number | undefined {
    return this.#postmaster?.pid
  }

  async initialize(): Promise<void> {
    const { copyOf, password, hba, settings, files } = this.#options
    if (copyOf !== undefined) await this.#asServer('cp', ['-a', copyOf, this.directory])
    else {
      const secret = join(this.socketDir, 'password')
      if (password !== undefined) this.#write(secret, password)
      await this.#asServer(join(this.#binaries, 'initdb'), [
        `--pgdata=${this.directory}`,
        '--username=postgres',
        '--auth=trust',
        '--encoding=UTF8',
        '--locale=C.UTF-8',
        '--no-sync',
        ...(password === undefined ? [] : [`--pwfile=${secret}`]),
      ])
    }
    const all = { ...SETTINGS, ...settings, port: String(this.port), unix_socket_directories: this.socketDir }
    const lines = Object.entries(all).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`)
    this.#write(join(this.directory, 'kts-test.conf'), lines.join(''))
    const main = join(this.directory, 'postgresql.conf')
    const include = "include 'kts-test.conf'\n"
    const text = readFileSync(main, 'utf8')
    if (!text.endsWith(include)) writeFileSync(main, `${text}\n${include}`)
    if (hba !== undefined) this.#write(join(this.directory, 'pg_hba.conf'), hba)
    else if (copyOf === undefined) this.#write(join(this.directory, 'pg_hba.conf'), TRUST)
    for (const [name, content] of Object.entries(files ?? {})) this.#write(join(this.directory, name), content)
  }

  async start(): Promise<void> {
    if (this.#postmaster !== undefined) throw new Error('this server runs already')
    const deadline = Date.now() + READY_MS
    for (;;) {
      const came = await this.#tryStart(deadline)
      if (came) return
      const log = existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8').slice(-3000) : ''
      // Backends of a killed postmaster take a moment to notice.
      const stillThere = /pre-existing shared memory block|lock file .* already exists|Address already in use/.test(log)
      if (!stillThere || Date.now() > deadline) throw new Error(`PostgreSQL ${this.version} did not start:\n${log}`)
      await pause(200)
    }
  }

  async #tryStart(deadline: number): Promise<boolean> {
    const user = this.#user === undefined ? [] : ['setpriv', ...as(this.#user)]
    const command = [...user, join(this.#binaries, 'postgres'), '-D', this.directory]
    const shell = `exec ${command.map(quoted).join(' ')} >>${quoted(this.logFile)} 2>&1`
    const child = spawn('sh', ['-c', shell], { stdio: 'ignore', cwd: '/' })
    this.#postmaster = child
    this.#ended = new Promise<void>(resolve => {
      child.once('error', () => resolve())
      child.once('exit', () => resolve())
    }).then(() => {
      this.#postmaster = undefined
    })
    while (this.#postmaster !== undefined && Date.now() < deadline) {
      if (await this.#answers()) return true
      await pause(25)
    }
    return false
  }

  async #answers(): Promise<boolean> {
    const status = join(this.directory, 'postmaster.pid')
    const lines = existsSync(status) ? readFileSync(status, 'utf8').split('\n') : []
    // Its eighth line; a standby never gets to "ready" without hot_standby.
    return Number(lines[0]) === this.#postmaster?.pid && /^(ready|standby)/.test(lines[7] ?? '')
  }

  url(database = 'postgres'): string {
    const password = this.#options.password
    const user = password === undefined ? 'postgres' : `postgres:${encodeURIComponent(password)}`
    return `postgresql://${user}@${this.host}:${this.port}/${encodeURIComponent(database)}`
  }

  async query(sql: string, database?: string): Promise<pg.QueryResult> {
    const client = new pg.Client({ connectionString: this.url(database) })
    client.on('error', () => {})
    await client.connect()
    try {
      return await client.query(sql)
    } finally {
      await client.end().catch(() => {})
    }
  }

  run(script: string, database?: string): Promise<void> {
    const psql = spawn(join(debianClients(), 'psql'), [
      '--no-psqlrc',
      '--quiet',
      '--set=ON_ERROR_STOP=1',
      '--output=/dev/null',
      `--dbname=${this.url(database)}`,
      '--file=-',
    ])
    return new Promise((resolve, reject) => {
      const errors: Buffer[] = []
      psql.stderr.on('data', chunk => errors.push(chunk))
      psql.stdin.on('error', () => {})
      psql.once('error', reject)
      psql.once('close', code => {
        if (code === 0) resolve()
        else reject(new Error(`psql ended with ${code}: ${Buffer.concat(errors).toString().slice(-4000)}`))
      })
      psql.stdin.end(script)
    })
  }

  async createDatabase(name?: string): Promise<string> {
    const database = name ?? `test_${process.pid}_${++this.#databases}`
    await this.query(`CREATE DATABASE ${pg.escapeIdentifier(database)}`)
    return database
  }

  async stop(mode: 'smart' | 'fast' | 'immediate'): Promise<void> {
    this.#postmaster?.kill(({ smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const)[mode])
    await this.#ended
  }

  async kill(): Promise<void> {
    const pid = this.#postmaster?.pid
    if (pid === undefined) return
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
    this.#postmaster?.kill('SIGKILL')
    for (const child of children) {
      try {
        process.kill(Number(child), 'SIGKILL')
      } catch {
        // Has just ended by itself.
      }
    }
    await this.#ended
  }

  async close(): Promise<void> {
    if (this.#postmaster !== undefined) {
      const timer = setTimeout(() => this.#postmaster?.kill('SIGKILL'), 10_000)
      await this.stop('immediate')
      clearTimeout(timer)
    }
    rmSync(this.socketDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }

  async #asServer(command: string, args: readonly string[]): Promise<void> {
    const [name, ...rest] =
      this.#user === undefined ? [command, ...args] : ['setpriv', ...as(this.#user), command, ...args]
    await promisify(execFile)(name!, rest, { cwd: '/' })
  }

  #write(path: string, content: string): void {
    writeFileSync(path, content, { mode: 0o600 })
    this.#give(path)
  }

  #give(path: string): void {
    if (this.#user !== undefined) chownSync(path, this.#user.uid, this.#user.gid)
  }
}

const TRUST = `local all all trust
host all all 127.0.0.1/32 trust
local replication all trust
host replication all 127.0.0.1/32 trust
`

/**
 * Ends the server and removes its folder once the worker is gone, however it went (a killed one runs nothing at its end):
 * this process reads from a pipe that only the worker holds.
 */
const REAPER = `cat >/dev/null
status="$1/data/postmaster.pid"
[ -f "$status" ] && kill -QUIT "$(head -n 1 "$status")" 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do [ -f "$status" ] || break; sleep 0.3; done
rm -rf "$1"`

function reapAtEnd(folder: string): void {
  const reaper = spawn('sh', ['-c', REAPER, 'reaper', folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    cwd: '/',
  })
  reaper.unref()
  if (reaper.stdin instanceof Socket) reaper.stdin.unref()
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
