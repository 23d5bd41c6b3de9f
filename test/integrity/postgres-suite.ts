import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Random, randomInt, SeededRandom } from '../../base/index.ts'
import type { PostgresVersion } from '../support/postgres-binaries.ts'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import { TopicsChecker } from './postgres/checker.ts'
import { KillMoments } from './postgres/kill-moments.ts'
import { PGBENCH_TABLES, Pgbench } from './postgres/pgbench.ts'
import { LOAD_TABLES, type LoadTable, SCHEMA, SIGNALS } from './postgres/tables.ts'
import { Writer } from './postgres/writer.ts'
import type { Load, Suite } from './suite.ts'

export const PREFIX = 'load'
export const SLOT = 'kts_load'
const DATABASE = 'load'
const WRITERS = 3
/** Steps between two incremental snapshots of a table that is written to. */
const SNAPSHOT_EVERY = 150
const SNAPSHOTS_OF = ['accounts', 'documents', 'moves', 'whole', 'shaped']
/** Transactions a second; our own writers write about 2,000 rows a second beside. */
const PGBENCH_RATE = 150

/** Small limits, so that kills meet commits, spooled transactions, chunks and rolls often. */
export function loadPipeline(server: PostgresServer, settings: Record<string, string | number> = {}): string {
  const source = {
    type: 'postgres',
    'database.hostname': server.host,
    'database.port': server.port,
    'database.user': 'postgres',
    'database.dbname': DATABASE,
    'database.sslmode': 'disable',
    'topic.prefix': PREFIX,
    'slot.name': SLOT,
    'publication.name': SLOT,
    'table.include.list': 'public\\..*',
    'signal.data.collection': `public.${SIGNALS}`,
    'decimal.handling.mode': 'string',
    'provide.transaction.metadata': true,
    'skipped.operations': 'none',
    'incremental.snapshot.chunk.size': 500,
    'status.update.interval.ms': 200,
    ...settings,
  }
  const pipeline = {
    name: 'integrity',
    worker: { 'rest.port': 0, 'offset.flush.interval.ms': '100ms' },
    sources: { database: source },
  }
  return JSON.stringify(pipeline)
}

export interface PostgresLoad extends Load {
  readonly server: PostgresServer
  readonly database: string
  /** Where the worker keeps its log. */
  readonly data: string
}

/** Seeded writers on a server of their own (of version 17 by default), and the pipeline that captures them. */
export function preparePostgres(
  directory: string,
  random: Random,
  settings: Record<string, string | number> = {},
  version?: PostgresVersion,
): Promise<PostgresLoad> {
  return prepare(directory, random, settings, { beside: [], version })
}

/** `beside`: tables that pgbench makes and writes to, with our own writers. */
async function prepare(
  directory: string,
  random: Random,
  settings: Record<string, string | number>,
  { beside, version = 17 }: { readonly beside: readonly LoadTable[]; readonly version?: PostgresVersion | undefined },
): Promise<PostgresLoad> {
  const server = await startPostgres({
    version,
    // Transactions of more than this are sent before they are decided.
    settings: { logical_decoding_work_mem: '64kB', autovacuum: 'off' },
  })
  const database = await server.createDatabase(DATABASE)
  await server.run(SCHEMA, database)
  const pgbench = new Pgbench(server, database, [`--rate=${PGBENCH_RATE}`])
  if (beside.length > 0) await pgbench.initialize(500)
  const config = join(directory, 'pipeline.yaml')
  writeFileSync(config, loadPipeline(server, settings))
  const data = join(directory, '.kts-connect')
  const seeds = Array.from({ length: WRITERS }, () => randomInt(random, 2 ** 31))
  const writers = seeds.map((seed, id) => new Writer(id, server.url(database), new SeededRandom(seed)))
  const tables = [...LOAD_TABLES, ...beside]
  const checker = new TopicsChecker(server, database, data, PREFIX, tables)
  const rows = () => writers.reduce((sum, writer) => sum + writer.written, 0)
  const snapshotOf = (table: string, id: string) => askForSnapshot(server, database, table, id)
  const moments = new KillMoments({
    data,
    checker,
    random,
    // With the one for signals.
    tables: tables.length + 1,
    rows: rowsOf(tables),
    snapshot: { rows: rowsOf(beside), ask: id => snapshotOf(beside[0]?.name ?? 'accounts', id) },
    large: () => writers[0]!.large(),
  })
  let steps = 0
  // What was written before the slot was there comes with the snapshot.
  let inSnapshot = 0
  return {
    server,
    database,
    data,
    config,
    moments,
    get written() {
      return rows() - inSnapshot
    },
    async step() {
      if (beside.length > 0) pgbench.run()
      await Promise.all(writers.map(writer => writer.transaction()))
      if (++steps % SNAPSHOT_EVERY !== 0) return
      await snapshotOf(SNAPSHOTS_OF[Math.floor(steps / SNAPSHOT_EVERY) % SNAPSHOTS_OF.length]!, String(steps))
    },
    known() {
      inSnapshot = rows()
      moments.known()
    },
    async finish() {
      await pgbench.stop()
      for (const writer of writers) await writer.mark()
    },
    check: () => checker.check(),
    async close() {
      await Promise.all(writers.map(writer => writer.close()))
      await pgbench.stop().finally(() => server.close())
    },
  }
}

function rowsOf(tables: readonly LoadTable[]): number {
  return tables.reduce((sum, { initial }) => sum + (initial?.rows ?? 0), 0)
}

async function askForSnapshot(server: PostgresServer, database: string, table: string, id: string): Promise<void> {
  const data = JSON.stringify({ 'data-collections': [`public.${table}`], type: 'incremental' })
  await server.query(`INSERT INTO ${SIGNALS} VALUES ('${id}', 'execute-snapshot', '${data}')`, database)
}

/** Rows of a busy database through its write-ahead log into topics. */
export const postgresSuite: Suite = {
  name: 'postgres',
  doc: 'PostgreSQL → log, killed mid-transaction and mid-snapshot: pgbench, TOAST, new keys, truncates, DDL, incremental snapshots; each change once, tables equal',
  recordsMin: 20_000,
  prepare: (directory, random) => prepare(directory, random, {}, { beside: PGBENCH_TABLES }),
}
