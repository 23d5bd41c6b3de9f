import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Random, randomInt, SeededRandom } from '../../base/index.ts'
import { type PostgresServer, startPostgres } from '../support/postgres.ts'
import { TopicsChecker } from './postgres/checker.ts'
import { LEDGER, SCHEMA, SIGNALS } from './postgres/tables.ts'
import { Writer } from './postgres/writer.ts'
import type { Load, Suite } from './suite.ts'

export const PREFIX = 'load'
export const SLOT = 'kts_load'
const DATABASE = 'load'
const WRITERS = 3
/** Steps between two incremental snapshots of a table that is written to. */
const SNAPSHOT_EVERY = 150
const SNAPSHOTS_OF = ['accounts', 'documents', 'moves', 'whole']

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

/** Seeded writers on a server of their own, and the pipeline that captures them. */
export async function preparePostgres(
  directory: string,
  random: Random,
  settings: Record<string, string | number> = {},
): Promise<PostgresLoad> {
  const server = await startPostgres({
    // Transactions of more than this are sent before they are decided.
    settings: { logical_decoding_work_mem: '64kB', autovacuum: 'off' },
  })
  const database = await server.createDatabase(DATABASE)
  await server.run(SCHEMA, database)
  const config = join(directory, 'pipeline.yaml')
  writeFileSync(config, loadPipeline(server, settings))
  const data = join(directory, '.kts-connect')
  const seeds = Array.from({ length: WRITERS }, () => randomInt(random, 2 ** 31))
  const writers = seeds.map((seed, id) => new Writer(id, server.url(database), new SeededRandom(seed)))
  const checker = new TopicsChecker(server, database, data, PREFIX)
  const rows = () => writers.reduce((sum, writer) => sum + writer.written, 0)
  let steps = 0
  // What was written before the slot was there comes with the snapshot.
  let inSnapshot = 0
  return {
    server,
    database,
    data,
    config,
    get written() {
      return rows() - inSnapshot
    },
    async step() {
      await Promise.all(writers.map(writer => writer.transaction()))
      if (++steps % SNAPSHOT_EVERY === 0) await askForSnapshot(server, database, steps)
    },
    known() {
      inSnapshot = rows()
    },
    async finish() {
      for (const writer of writers) await writer.mark()
    },
    check: () => checker.check(),
    async close() {
      await Promise.all(writers.map(writer => writer.close()))
      await server.close()
    },
  }
}

async function askForSnapshot(server: PostgresServer, database: string, steps: number): Promise<void> {
  const table = SNAPSHOTS_OF[Math.floor(steps / SNAPSHOT_EVERY) % SNAPSHOTS_OF.length]!
  const data = JSON.stringify({ 'data-collections': [`public.${table}`], type: 'incremental' })
  await server.query(`INSERT INTO ${SIGNALS} VALUES ('${steps}', 'execute-snapshot', '${data}')`, database)
}

/** Rows of a busy database through its write-ahead log into topics. */
export const postgresSuite: Suite = {
  name: 'postgres',
  doc: `PostgreSQL → log: transactions, TOAST, new keys, truncates and incremental snapshots; each change once, tables and ${LEDGER} equal`,
  recordsMin: 50_000,
  prepare: preparePostgres,
}
