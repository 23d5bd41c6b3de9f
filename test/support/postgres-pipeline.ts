import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { INTERNAL_TOPICS } from '../../broker/internal-topics.ts'
import { type Pipeline, startPipeline } from '../../cli/index.ts'
import { committedRecords, type PlainRecord, readPlainLog } from '../integrity/log/plain-log.ts'
import { lsnOf } from './postgres-lsn.ts'
import type { PostgresServer } from './postgres.ts'

/** Without anything new from the connector: a busy machine may take long for many small steps. */
const CAUGHT_UP_MS = 60_000
const LOOK_MS = 20

export interface PostgresPipelineOptions {
  readonly server: PostgresServer
  readonly database: string
  /** Also the publication's name. */
  readonly slot: string
  /** Of the source, beside where the server is. */
  readonly settings: Readonly<Record<string, string | number | boolean>>
}

/** Our connector in a worker of its own, in this process, with a log of its own in a temporary folder. */
export class PostgresPipeline {
  readonly #options: PostgresPipelineOptions
  readonly #directory = mkdtempSync(join(tmpdir(), 'kts-postgres-pipeline-'))
  #pipeline: Pipeline | undefined

  constructor(options: PostgresPipelineOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    const { server, database, slot, settings } = this.#options
    const file = join(this.#directory, 'pipeline.yaml')
    const source = {
      type: 'postgres',
      'database.hostname': server.host,
      'database.port': server.port,
      'database.user': 'postgres',
      'database.dbname': database,
      'database.sslmode': 'disable',
      'slot.name': slot,
      'publication.name': slot,
      'status.update.interval.ms': 50,
      ...settings,
    }
    writeFileSync(file, JSON.stringify({ name: 'replay', worker: { 'rest.port': 0 }, sources: { source } }))
    this.#pipeline = await startPipeline([file])
  }

  /** Everything that was committed on the server before this call is durable here. Rejects when the connector stops. */
  async caughtUp(): Promise<void> {
    const { server, database } = this.#options
    // A new slot is confirmed up to its beginning while the snapshot is still read: something must lie behind that.
    await this.#confirmed(0)
    await server.query("COMMENT ON ROLE postgres IS 'here everyone has to come by'", database)
    const { rows } = await server.query('SELECT pg_current_wal_flush_lsn() AS lsn', database)
    await this.#confirmed(lsnOf(rows[0].lsn))
  }

  async #confirmed(target: number): Promise<void> {
    const { server, slot } = this.#options
    let deadline = Date.now() + CAUGHT_UP_MS
    let told = ''
    const sql = `SELECT confirmed_flush_lsn AS lsn FROM pg_replication_slots WHERE slot_name = '${slot}'`
    for (;;) {
      const confirmed = (await server.query(sql)).rows[0]?.lsn
      if (confirmed != null && lsnOf(confirmed) >= target) return
      const status = await this.#pipeline!.status()
      const [task] = status.connectors[0]?.tasks ?? []
      if (status.connectors[0]?.state === 'FAILED') throw new Error(`the connector failed: ${task?.trace}`)
      const counts = JSON.stringify([confirmed, status.connectors[0]?.counters])
      if (counts !== told) deadline = Date.now() + CAUGHT_UP_MS
      told = counts
      if (Date.now() > deadline)
        throw new Error(`${slot} stands at ${confirmed}, and not at ${target}: ${JSON.stringify(status.connectors[0])}`)
      await new Promise(resolve => setTimeout(resolve, LOOK_MS))
    }
  }

  /** Why the connector failed for good, once it has. */
  async failure(): Promise<string> {
    const deadline = Date.now() + CAUGHT_UP_MS
    for (;;) {
      const status = await this.#pipeline!.status()
      const [connector] = status.connectors
      if (connector?.state === 'FAILED') return String(connector.tasks[0]?.trace)
      if (Date.now() > deadline) throw new Error(`the connector goes on: ${JSON.stringify(connector)}`)
      await new Promise(resolve => setTimeout(resolve, LOOK_MS))
    }
  }

  async stop(): Promise<void> {
    await this.#pipeline?.stop()
    this.#pipeline = undefined
  }

  /** What a consumer of committed records finds in the files, by topic, in each partition's order. */
  topics(): Map<string, readonly PlainRecord[]> {
    const data = join(this.#directory, '.kts-connect')
    const found = new Map<string, PlainRecord[]>()
    for (const folder of readdirSync(data).sort()) {
      const topic = /^(.*)-\d+$/.exec(folder)?.[1]
      if (topic === undefined || INTERNAL_TOPICS.includes(topic)) continue
      const records = committedRecords(readPlainLog(join(data, folder)))
      found.set(topic, [...(found.get(topic) ?? []), ...records])
    }
    return found
  }

  /** Stops it and removes its folder; the slot goes with the server or its database. */
  async close(): Promise<void> {
    await this.stop()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
