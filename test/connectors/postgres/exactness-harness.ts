import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterEach, beforeAll, vi } from 'vitest'
import { parseLsn } from '../../../connectors/postgres/lsn.ts'
import { POSTGRES_OPTIONS, type PostgresOptions } from '../../../connectors/postgres/options.ts'
import { PostgresSourceTask } from '../../../connectors/postgres/source-task.ts'
import {
  type Clock,
  type JsonObject,
  parseJson,
  type SourceCheckpoint,
  type SourcePart,
  stringifyJson,
  systemClock,
} from '../../../runtime/api/index.ts'
import { type PostgresServer, sharedPostgres } from '../../support/postgres.ts'
import type { PostgresVersion } from '../../support/postgres-binaries.ts'
import { type LogLine, recordingLogger } from '../../support/recording-logger.ts'
import { type TestContext, testContext } from '../../support/task-context.ts'

/** All with EXACTNESS_VERSIONS=14,15,16,17,18. */
export const VERSIONS = (process.env.EXACTNESS_VERSIONS ?? '17').split(',').map(text => Number(text) as PostgresVersion)

/** For the tests of one describe block: connectors of databases of their own, closed behind each test. */
export class Connectors {
  readonly #made: Connector[] = []
  #server: PostgresServer | undefined

  constructor(version: PostgresVersion) {
    beforeAll(async () => {
      this.#server = await sharedPostgres(version)
    }, 120_000)
    afterEach(async () => {
      vi.restoreAllMocks()
      for (const connector of this.#made.splice(0)) await connector.close()
    })
  }

  get server(): PostgresServer {
    return this.#server!
  }

  async make(schema: string, settings: Record<string, unknown> = {}): Promise<Connector> {
    const connector = await Connector.make(this.server, schema, settings)
    this.#made.push(connector)
    return connector
  }
}

/** What is done every 5 s beside the stream is done sooner. */
const impatientClock: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic(),
  timer: (ms, ring) => systemClock.timer(ms === 5000 ? 250 : ms, ring),
}

export interface Event {
  readonly table: string
  readonly op: string
  readonly before: JsonObject | null
  readonly after: JsonObject | null
  readonly source: JsonObject
  /** Of a logical message, as text. */
  readonly message: string | undefined
}

/** The source's task with a log in memory, which is committed, or cut off, where a test says so. */
export class Connector {
  readonly #server: PostgresServer
  readonly database: string
  /** Of the next `open`. */
  settings: Record<string, unknown>
  readonly committed: Event[] = []
  /** What all runs have logged. */
  readonly logged: LogLine[] = []
  checkpoints = new Map<string, SourceCheckpoint>()
  readonly #scratch = mkdtempSync(join(tmpdir(), 'kts-exactness-'))
  #open: Event[] = []
  #waiting: SourceCheckpoint[] = []
  #whole = true
  #task: PostgresSourceTask | undefined
  #context: TestContext | undefined
  #seed = 1
  finished = false

  private constructor(server: PostgresServer, database: string, settings: Record<string, unknown>) {
    this.#server = server
    this.database = database
    this.settings = settings
  }

  static async make(
    server: PostgresServer,
    schema: string,
    settings: Record<string, unknown> = {},
  ): Promise<Connector> {
    const database = await server.createDatabase()
    if (schema !== '') await server.run(schema, database)
    return new Connector(server, database, settings)
  }

  sql(text: string) {
    return this.#server.query(text, this.database)
  }

  /** A session beside, for transactions that stay open. */
  async connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.#server.url(this.database) })
    client.on('error', () => undefined)
    await client.connect()
    return client
  }

  get slot(): string {
    return `x_${this.database}`
  }

  get #options(): PostgresOptions {
    const defaults = Object.entries(POSTGRES_OPTIONS).map(([name, spec]) => [
      name,
      (spec as { default?: unknown }).default ?? undefined,
    ])
    const { host, port } = this.#server
    return {
      ...Object.fromEntries(defaults),
      'database.hostname': host,
      'database.port': port,
      'database.user': 'postgres',
      'database.dbname': this.database,
      'database.sslmode': 'disable',
      'topic.prefix': 'x',
      'slot.name': this.slot,
      'publication.name': this.slot,
      'status.update.interval.ms': 50,
      'skipped.operations': ['none'],
      ...this.settings,
    } as unknown as PostgresOptions
  }

  async open(): Promise<void> {
    const context = testContext({ clock: impatientClock, scratch: join(this.#scratch, 's'), seed: this.#seed++ })
    this.#context = { ...context, log: recordingLogger(this.logged) }
    this.#task = await PostgresSourceTask.open(this.#options, [...this.checkpoints.values()], this.#context)
  }

  /** One poll; false: nothing came. */
  async poll(): Promise<boolean> {
    const batch = await this.#task!.poll(this.#context!.signal)
    if (batch === 'finished') this.finished = true
    if (typeof batch === 'string') return false
    this.#open.push(...eventsOf(batch.parts))
    this.#waiting.push(...batch.checkpoints)
    this.#whole = batch.checkpoints.length > 0
    return true
  }

  /** Makes durable what was polled, where the connector may resume behind it. */
  commit(): boolean {
    if (!this.#whole) return false
    const checkpoints = this.#waiting
    this.#waiting = []
    this.committed.push(...this.#open)
    this.#open = []
    for (const checkpoint of checkpoints) {
      const name = stringifyJson(checkpoint.partition)
      // As they come back from the log.
      if (checkpoint.position === null) this.checkpoints.delete(name)
      else this.checkpoints.set(name, parseJson(stringifyJson(checkpoint as unknown as JsonObject)) as never)
    }
    if (checkpoints.length > 0) this.#task!.committed(checkpoints)
    return true
  }

  /** Forgets what was not committed. */
  async kill(): Promise<void> {
    const task = this.#task
    this.#task = undefined
    this.#context?.stop.abort()
    await task?.close()
    this.#open = []
    this.#waiting = []
    this.#whole = true
  }

  async restart(): Promise<void> {
    await this.kill()
    await this.open()
  }

  /** Asks for a table to be read beside the stream. */
  async signal(table: string): Promise<void> {
    const data = { type: 'incremental', 'data-collections': [`public.${table}`] }
    await this.#task!.signal({ id: 's', type: 'execute-snapshot', data }).catch(() => undefined)
  }

  /** The log is at its disk reserve. */
  waitForDisk(): void {
    this.#task!.paused(true)
  }

  get position(): JsonObject | undefined {
    return this.checkpoints.get(stringifyJson({ server: 'x' }))?.position ?? undefined
  }

  /** Progress of a table, as it is durable. */
  progress(table: string): JsonObject | undefined {
    const found = [...this.checkpoints.values()].find(c => c.partition.table === table)
    return found?.position ?? undefined
  }

  /** Polls and commits until all that is committed at the server now is durable here, and these tables are read. */
  async caughtUp(read: readonly string[] = [], withinMs = 20_000): Promise<void> {
    const { rows } = await this.sql(
      `SELECT pg_current_wal_insert_lsn() AS lsn, pg_logical_emit_message(true, 'kts-connect.end', '')`,
    )
    const target = parseLsn(rows[0].lsn)
    const deadline = Date.now() + withinMs
    const isRead = (table: string) => this.progress(table)?.done === true
    while (parseLsn(String(this.position?.lsn ?? '0/0')) <= target || !read.every(isRead)) {
      if (Date.now() > deadline) throw new Error(`not there: ${stringifyJson([...this.checkpoints.values()] as never)}`)
      await this.poll()
      this.commit()
    }
  }

  /** Polls and commits until it is so, or for as long as that. */
  async pollUntil(isSo: () => boolean, withinMs = 20_000): Promise<void> {
    const deadline = Date.now() + withinMs
    while (!isSo() && Date.now() < deadline) {
      await this.poll()
      this.commit()
    }
  }

  /** Warnings that all runs have logged. */
  warnings(pattern: RegExp): string[] {
    return this.logged.flatMap(({ level, message }) => (level === 'warn' && pattern.test(message) ? [message] : []))
  }

  events(table: string): Event[] {
    return this.committed.filter(event => event.table === table)
  }

  /** The rows of a table as its events leave them, sorted; by `id`. */
  rebuilt(table: string): string[] {
    const rows = new Map<string, JsonObject>()
    for (const { op, before, after } of this.events(table)) {
      if (op === 't') rows.clear()
      if (before !== null) rows.delete(String(before.id))
      if (after !== null) rows.set(String(after.id), after)
    }
    return [...rows.values()].map(row => stringifyJson(row)).sort()
  }

  async real(table: string): Promise<string[]> {
    const { rows } = await this.sql(`SELECT to_json(t)::text AS row FROM ${table} t`)
    return rows.map(({ row }) => stringifyJson(parseJson(row))).sort()
  }

  async close(): Promise<void> {
    await this.kill()
    const { rows } = await this.sql(`SELECT active_pid FROM pg_replication_slots WHERE slot_name = '${this.slot}'`)
    if (rows[0]?.active_pid) await this.sql(`SELECT pg_terminate_backend(${rows[0].active_pid}, 5000)`)
    if (rows.length > 0) await this.sql(`SELECT pg_drop_replication_slot('${this.slot}')`)
    rmSync(this.#scratch, { recursive: true, force: true })
  }
}

function eventsOf(parts: readonly SourcePart[]): Event[] {
  return parts.flatMap(part => {
    if (part.kind !== 'packed') throw new Error('expected packed events')
    return Array.from({ length: part.packed.count }, (_, i) => part.packed.value(i)).flatMap(value => {
      if (value === null) return []
      const { op, before, after, source, message } = parseJson(Buffer.from(value).toString()) as Record<string, never>
      if (source === undefined) return []
      const { content } = (message ?? {}) as { content?: string }
      const event = { op: String(op), before: before ?? null, after: after ?? null, source }
      const text = content === undefined ? undefined : Buffer.from(content, 'base64').toString()
      return [{ ...event, message: text, table: String((source as JsonObject).table) }]
    })
  })
}
