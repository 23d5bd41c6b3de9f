import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { debianClients } from '../../support/postgres-binaries.ts'
import type { PostgresServer } from '../../support/postgres.ts'
import { eventually } from './part.ts'
import type { LoadTable } from './tables.ts'

const ACCOUNTS_PER_SCALE = 100_000
const CLIENTS = 4

/** What `pgbench --initialize` makes; the history has no key. */
export const PGBENCH_TABLES: readonly LoadTable[] = [
  {
    name: 'pgbench_accounts',
    columns: ['aid', 'bid', 'abalance', 'filler'],
    key: ['aid'],
    initial: { rows: ACCOUNTS_PER_SCALE, column: 'aid' },
    // The server's cast to text takes the blanks away that char(n) is padded with.
    texts: { filler: "to_json(filler) #>> '{}'" },
  },
  { name: 'pgbench_branches', columns: ['bid', 'bbalance', 'filler'], key: ['bid'] },
  { name: 'pgbench_tellers', columns: ['tid', 'bid', 'tbalance', 'filler'], key: ['tid'] },
  {
    name: 'pgbench_history',
    columns: ['tid', 'bid', 'aid', 'delta', 'mtime', 'filler'],
    key: [],
    // io.debezium.time.MicroTimestamp
    texts: { mtime: '(extract(epoch FROM mtime) * 1000000)::bigint::text' },
  },
]

/** PostgreSQL's own benchmark: transactions as TPC-B has them, of three updates and an insert each. */
export class Pgbench {
  readonly #server: PostgresServer
  readonly #database: string
  readonly #options: readonly string[]
  #child: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()

  /** `options`: what it is to do, once its tables are there. */
  constructor(server: PostgresServer, database: string, options: readonly string[]) {
    this.#server = server
    this.#database = database
    this.#options = options
  }

  /** Makes its tables and runs so many transactions, so that none of them is empty. */
  async initialize(transactions: number): Promise<void> {
    await this.#call(['--initialize', '--init-steps=dtGp', '--quiet'])
    await this.#call(['--no-vacuum', `--transactions=${transactions}`])
  }

  /** It goes on from now; nothing when it does already. One that the server's restart has ended is started anew. */
  run(): void {
    if (this.#child !== undefined) return
    const args = ['--no-vacuum', `--client=${CLIENTS}`, '--time=1000000', ...this.#options]
    const child = spawn(this.#program, [...args, ...this.#where], { stdio: 'ignore' })
    this.#child = child
    this.#ended = new Promise<void>(resolve => {
      child.once('error', () => resolve())
      child.once('exit', () => resolve())
    }).then(() => {
      this.#child = undefined
    })
  }

  /** Resolves once none of its transactions is under way any more. */
  async stop(): Promise<void> {
    this.#child?.kill('SIGTERM')
    await this.#ended
    const sessions = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'pgbench'"
    const gone = async () => (await this.#server.query(sessions)).rows.length === 0
    if (!(await eventually(gone, 30_000))) throw new Error('sessions of pgbench do not end')
  }

  async #call(args: readonly string[]): Promise<void> {
    await promisify(execFile)(this.#program, [...args, ...this.#where])
  }

  get #program(): string {
    return join(debianClients(), 'pgbench')
  }

  get #where(): string[] {
    const { host, port } = this.#server
    return [`--host=${host}`, `--port=${port}`, '--username=postgres', this.#database]
  }
}
