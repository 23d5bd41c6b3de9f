import { execFile, spawn } from 'node:child_process'
import { cp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type PostgresServer, startPostgres } from '../test/support/postgres.ts'
import { debianClients } from '../test/support/postgres-binaries.ts'
import { lsnOf } from '../test/support/postgres-lsn.ts'
import type { Broker } from '../broker/index.ts'
import { openWorker } from './open-log.ts'

export type Transport = 'unix' | 'tcp'

const DATABASE = 'bench'
const SLOT = 'kts_bench'
/** Stands where the backlog begins; every run reads a copy of it. */
const BASE_SLOT = 'kts_bench_base'
export const TOPIC = 'bench.public.orders'
const WAITS_MS = 600_000

/** Eight columns, whose event is about 715 bytes of JSON. */
const TABLE = `CREATE TABLE orders(id bigint PRIMARY KEY, customer int NOT NULL, status text NOT NULL, total numeric(12,2) NOT NULL,
  paid boolean NOT NULL, created timestamptz NOT NULL, weight double precision, note text)`

const ROW = `i, (i % 9973)::int, 'shipped', (i % 100000) / 100.0, i % 3 = 0, '2026-01-01'::timestamptz + i * interval '1 second', i / 7.0,
  'order number ' || i || ' of a customer who has ordered before and likes notes of some length'`

/** PostgreSQL 15 of Debian with a table of rows or a backlog of changes, and our connector as the benchmarks start it. */
export class CdcDatabase {
  readonly server: PostgresServer
  readonly #directory: string
  #runs = 0

  private constructor(server: PostgresServer, directory: string) {
    this.server = server
    this.#directory = directory
  }

  static async open(directory: string, settings: Record<string, string> = {}): Promise<CdcDatabase> {
    const server = await startPostgres({
      source: 'debian',
      settings: { shared_buffers: '256MB', max_wal_size: '8GB', autovacuum: 'off', ...settings },
    })
    await server.createDatabase(DATABASE)
    await server.run(TABLE, DATABASE)
    return new CdcDatabase(server, directory)
  }

  async fill(rows: number): Promise<void> {
    await this.server.run(
      `INSERT INTO orders SELECT ${ROW} FROM generate_series(1, ${rows}) i; VACUUM ANALYZE orders`,
      DATABASE,
    )
  }

  /**
   * A connector that has begun is stopped, then `rows` are inserted in transactions of `each`: what a worker finds that
   * was away for a while.
   */
  async makeBacklog(rows: number, each: number, transport: Transport): Promise<void> {
    const worker = await openWorker(await this.#yaml(transport, { 'snapshot.mode': 'no_data' }), this.#begun)
    const active = async () => {
      const { rows: slots } = await this.#slots(`SELECT active FROM pg_replication_slots WHERE slot_name = '${SLOT}'`)
      return slots[0]?.active === true
    }
    await until(active)
    // Its position is in its log once something was confirmed.
    await this.server.query(
      'CREATE TABLE IF NOT EXISTS touched(i int PRIMARY KEY); INSERT INTO touched VALUES (0) ON CONFLICT DO NOTHING',
      DATABASE,
    )
    await this.caughtUp()
    await worker.stop()
    await until(async () => !(await active()))
    await this.server.query(`SELECT pg_copy_logical_replication_slot('${SLOT}', '${BASE_SLOT}')`, DATABASE)
    await this.server.run(
      `DO $$ BEGIN FOR start IN 1..${rows} BY ${each} LOOP
        INSERT INTO orders SELECT ${ROW} FROM generate_series(start, start + ${each} - 1) i; COMMIT;
      END LOOP; END $$; CHECKPOINT`,
      DATABASE,
    )
  }

  /** Changes a second from the start of a worker to the last one readable in its log. */
  async drain(rows: number, transport: Transport): Promise<number> {
    const dataDir = await this.#backAtTheBeginning()
    const yaml = await this.#yaml(transport, { 'snapshot.mode': 'no_data' })
    return workedOff(rows, yaml, dataDir)
  }

  /** For a worker in a process of its own: the arguments of `kts-connect start`. */
  async workerArguments(transport: Transport): Promise<readonly string[]> {
    const dataDir = await this.#backAtTheBeginning()
    return ['start', await this.#yaml(transport, { 'snapshot.mode': 'no_data' }), '--data-dir', dataDir]
  }

  /** The same backlog by pg_recvlogical, thrown away. */
  async recvlogical(rows: number, transport: Transport): Promise<number> {
    const copy = `kts_peer_${this.#runs++}`
    await this.server.query(`SELECT pg_copy_logical_replication_slot('${BASE_SLOT}', '${copy}')`, DATABASE)
    const { rows: now } = await this.server.query('SELECT pg_current_wal_flush_lsn() AS lsn')
    const host = transport === 'unix' ? this.server.socketDir : this.server.host
    const started = performance.now()
    await promisify(execFile)(join(debianClients(), 'pg_recvlogical'), [
      ...['--host', host, '--port', String(this.server.port), '--username', 'postgres', '--dbname', DATABASE],
      ...['--slot', copy, '--start', '--file', '/dev/null', '--no-loop', '--endpos', now[0].lsn],
      ...['--option', 'proto_version=1', '--option', `publication_names=${SLOT}`],
    ])
    const rate = rows / ((performance.now() - started) / 1000)
    await this.server.query(`SELECT pg_drop_replication_slot('${copy}')`, DATABASE)
    return rate
  }

  /** Rows a second of an initial snapshot, until the last is readable in the log. */
  async snapshot(rows: number, transport: Transport): Promise<number> {
    const dataDir = join(this.#directory, `snapshot-${this.#runs++}`)
    const yaml = await this.#yaml(transport, { 'snapshot.mode': 'initial_only' })
    try {
      return await workedOff(rows, yaml, dataDir)
    } finally {
      await this.dropSlot()
      await rm(dataDir, { recursive: true, force: true })
    }
  }

  async copyToNull(rows: number, transport: Transport): Promise<number> {
    const host = transport === 'unix' ? this.server.socketDir : this.server.host
    const started = performance.now()
    const psql = spawn(
      join(debianClients(), 'psql'),
      [
        '-Xq',
        '-h',
        host,
        '-p',
        String(this.server.port),
        '-U',
        'postgres',
        '-d',
        DATABASE,
        '-c',
        'COPY orders TO STDOUT',
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    )
    await new Promise((resolve, reject) => psql.once('error', reject).once('close', resolve))
    return rows / ((performance.now() - started) / 1000)
  }

  /** A worker that streams, for changes that are still to be made. */
  async stream(transport: Transport) {
    const yaml = await this.#yaml(transport, { 'snapshot.mode': 'no_data' })
    return openWorker(yaml, join(this.#directory, `stream-${this.#runs++}`))
  }

  async caughtUp(): Promise<void> {
    const { rows } = await this.server.query('SELECT pg_current_wal_flush_lsn() AS lsn')
    await until(async () => {
      const slots = await this.#slots(
        `SELECT confirmed_flush_lsn AS lsn FROM pg_replication_slots WHERE slot_name = '${SLOT}'`,
      )
      return slots.rows[0]?.lsn != null && lsnOf(slots.rows[0].lsn) >= lsnOf(rows[0].lsn)
    })
  }

  async dropSlot(): Promise<void> {
    await until(async () => {
      const { rows } = await this.#slots(`SELECT active FROM pg_replication_slots WHERE slot_name = '${SLOT}'`)
      if (rows.length === 0) return true
      if (!rows[0].active) await this.server.query(`SELECT pg_drop_replication_slot('${SLOT}')`)
      return false
    })
  }

  close(): Promise<void> {
    return this.server.close()
  }

  get url(): string {
    return this.server.url(DATABASE)
  }

  get #begun(): string {
    return join(this.#directory, 'begun')
  }

  #slots(sql: string) {
    return this.server.query(sql, DATABASE)
  }

  /** Log and slot as they were before the backlog. */
  async #backAtTheBeginning(): Promise<string> {
    const dataDir = join(this.#directory, 'run')
    await rm(dataDir, { recursive: true, force: true })
    await cp(this.#begun, dataDir, { recursive: true })
    await this.dropSlot()
    await this.server.query(`SELECT pg_copy_logical_replication_slot('${BASE_SLOT}', '${SLOT}')`, DATABASE)
    return dataDir
  }

  async #yaml(transport: Transport, settings: Record<string, string>): Promise<string> {
    const path = join(this.#directory, 'cdc.yaml')
    const source = {
      type: 'postgres',
      'database.hostname': transport === 'unix' ? this.server.socketDir : this.server.host,
      'database.port': this.server.port,
      'database.user': 'postgres',
      'database.dbname': DATABASE,
      'database.sslmode': 'disable',
      'topic.prefix': 'bench',
      'slot.name': SLOT,
      'publication.name': SLOT,
      'status.update.interval.ms': 200,
      ...settings,
    }
    await writeFile(path, JSON.stringify({ name: 'cdc', worker: { 'rest.port': 0 }, sources: { database: source } }))
    return path
  }
}

/** Records of committed transactions, and their markers: fewer than one in a thousand. */
async function readable(broker: Broker): Promise<number> {
  try {
    const { lastStableOffset } = await broker.partition(TOPIC, 0)
    return lastStableOffset
  } catch {
    // The topic comes with its first record.
    return 0
  }
}

async function until(ask: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + WAITS_MS
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(`it was not so within ${WAITS_MS / 1000} s: ${ask}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** Records a second, from the start of a worker until so many are readable in its log. */
async function workedOff(rows: number, yaml: string, dataDir: string): Promise<number> {
  const started = performance.now()
  const worker = await openWorker(yaml, dataDir)
  try {
    await until(async () => (await readable(worker.broker)) >= rows)
    return rows / ((performance.now() - started) / 1000)
  } finally {
    await worker.stop()
  }
}
