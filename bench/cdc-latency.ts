import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import type { Broker } from '../broker/index.ts'
import { debianClients } from '../test/support/postgres-binaries.ts'
import type { Bench } from './bench.ts'
import { CdcDatabase, TOPIC } from './cdc-database.ts'

const TRANSACTIONS_PER_SECOND = 1000
const RUN_S = 5
/** From 1970 to 2000, where PostgreSQL's clock begins, in milliseconds. */
const EPOCH_2000 = 946_684_800_000

/**
 * Commit → readable (fsynced) in the log at 1,000 transactions a second, against a client that only takes the messages off
 * its socket. The time of a commit is the server's, on the same clock.
 */
function latency(percentile: number, must: number, goal: number): Bench {
  return {
    name: `cdc-latency-p${percentile}`,
    unit: 'ms',
    against: `raw socket client, p${percentile}`,
    must,
    goal,
    lowerIsBetter: true,
    runsMax: 5,
    open: async ({ directory }) => {
      const database = await CdcDatabase.open(directory, { fsync: 'on' })
      const script = join(directory, 'insert.sql')
      await writeFile(
        script,
        "INSERT INTO orders VALUES (nextval('ids'), 1, 'shipped', 12.5, true, now(), 0.5, 'a note of the length that such notes have');\n",
      )
      await database.server.run('CREATE SEQUENCE ids', 'bench')
      await database.server.query('CREATE PUBLICATION peer FOR TABLE orders', 'bench')
      const load = () => pgbench(database, script)
      return {
        ours: async () => quantile(await ourLatencies(database, load), percentile / 100),
        theirs: async () => quantile(await rawLatencies(database, load), percentile / 100),
        close: () => database.close(),
      }
    },
  }
}

export const cdcLatency: readonly Bench[] = [latency(50, 4, 2.5), latency(99, 10, 6)]

async function pgbench({ server }: CdcDatabase, script: string): Promise<void> {
  const args = ['-n', '-f', script, '-R', String(TRANSACTIONS_PER_SECOND), '-c', '4', '-T', String(RUN_S)]
  const where = ['-h', server.socketDir, '-p', String(server.port), '-U', 'postgres', 'bench']
  const child = spawn(join(debianClients(), 'pgbench'), [...args, ...where], { stdio: 'ignore' })
  await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
}

async function ourLatencies(database: CdcDatabase, load: () => Promise<void>): Promise<number[]> {
  const worker = await database.stream('unix')
  try {
    // The first run meets a connector that has just begun.
    await database.caughtUp()
    const stop = new AbortController()
    const reading = readLatencies(worker.broker, stop.signal)
    await load()
    await database.caughtUp()
    stop.abort()
    return await reading
  } finally {
    await worker.stop()
    await database.dropSlot()
  }
}

async function readLatencies(broker: Broker, signal: AbortSignal): Promise<number[]> {
  const latencies: number[] = []
  let offset = 0
  while (!signal.aborted) {
    if ((await broker.topic(TOPIC)) === undefined) {
      await new Promise(resolve => setTimeout(resolve, 2))
      continue
    }
    const options = { isolation: 'read_committed', bytesMax: 1 << 20, waitMs: 100, signal } as const
    const read = await broker.read(TOPIC, 0, offset, options)
    const now = wallClock()
    for (const { records, nextOffset } of read.batches) {
      for (let i = 0; i < records.count; i++) {
        const committed = /"ts_us":(\d+)/.exec(records.value(i)!.toString('latin1'))
        latencies.push(now - Number(committed![1]) / 1000)
      }
      offset = nextOffset
    }
    read.release()
  }
  return latencies
}

/** The least that a client in Node can do: look at each Commit message. */
async function rawLatencies(database: CdcDatabase, load: () => Promise<void>): Promise<number[]> {
  const latencies: number[] = []
  const { server } = database
  const where = { host: server.socketDir, port: server.port, user: 'postgres', database: 'bench' }
  // `replication` is read by pg and not in its types.
  const client = new pg.Client({ ...where, replication: 'database' } as pg.ClientConfig)
  client.on('error', () => {})
  await client.connect()
  await client.query('CREATE_REPLICATION_SLOT raw TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT')
  const { connection } = client as unknown as { connection: NodeJS.EventEmitter }
  connection.on('copyData', ({ chunk }: { chunk: Buffer }) => {
    if (chunk[0] !== 0x77 || chunk[25] !== 0x43) return
    latencies.push(wallClock() - (EPOCH_2000 + Number(chunk.readBigInt64BE(43)) / 1000))
  })
  client.query("START_REPLICATION SLOT raw LOGICAL 0/0 (proto_version '1', publication_names 'peer')").catch(() => {})
  await load()
  await new Promise(resolve => setTimeout(resolve, 200))
  await client.end().catch(() => {})
  return latencies
}

function wallClock(): number {
  return performance.timeOrigin + performance.now()
}

function quantile(values: readonly number[], q: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!
}
