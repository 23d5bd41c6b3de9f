import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket, connect as tcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { nodeFiles, silentLogger, systemClock } from '../../../base/index.ts'
import type { ChangeHandler, OldRow } from '../../../connectors/postgres/changes.ts'
import { formatLsn, parseLsn } from '../../../connectors/postgres/lsn.ts'
import type { Relation } from '../../../connectors/postgres/relation.ts'
import { ReplicationStream, type ReplicationStreamOptions } from '../../../connectors/postgres/replication-stream.ts'
import { NULL, TEXT, type Tuple, UNCHANGED } from '../../../connectors/postgres/tuple.ts'
import type { PostgresServer } from '../../support/postgres.ts'

/** Writes down every call as a line. Without LSNs, since those of two servers or runs differ. */
export class Recorder implements ChangeHandler {
  readonly lines: string[] = []
  readonly ends: number[] = []
  /** Full after so many more calls. */
  room = Number.POSITIVE_INFINITY
  #relation = ''

  get full(): boolean {
    return this.room <= 0
  }

  begin(): void {
    this.#add('begin')
  }

  async relation(relation: Relation): Promise<void> {
    await new Promise(resolve => setImmediate(resolve))
    this.#relation = `${relation.schema}.${relation.table}(${relation.columns.map(c => c.name + (c.isKey ? '*' : ''))})`
  }

  insert(relation: Relation, row: Tuple): void {
    this.#add(`insert ${nameOf(relation)} ${show(row)}`)
  }

  update(relation: Relation, old: OldRow | undefined, row: Tuple): void {
    this.#add(`update ${nameOf(relation)} ${old === undefined ? '' : `${old.kind} ${show(old.tuple)} `}${show(row)}`)
  }

  delete(relation: Relation, old: OldRow): void {
    this.#add(`delete ${nameOf(relation)} ${old.kind} ${show(old.tuple)}`)
  }

  truncate(relations: readonly Relation[], options: { cascade: boolean; restartIdentity: boolean }): void {
    const flags = `${options.cascade ? ' cascade' : ''}${options.restartIdentity ? ' restart' : ''}`
    this.#add(`truncate ${relations.map(nameOf).sort().join(' ')}${flags}`)
  }

  message(message: { transactional: boolean; prefix: string; content: Buffer }): void {
    this.#add(`message ${message.transactional ? 'in' : 'alone'} ${message.prefix} ${message.content}`)
  }

  commit(_transaction: unknown, endLsn: number): void {
    this.#add('commit')
    this.ends.push(endLsn)
  }

  /** The last definition that was told. */
  get lastRelation(): string {
    return this.#relation
  }

  #add(line: string): void {
    this.room--
    this.lines.push(line)
  }
}

function nameOf(relation: Relation): string {
  return `${relation.table}/${relation.columns.map(({ name }) => name).join('')}`
}

function show(row: Tuple): string {
  const values: string[] = []
  for (let i = 0; i < row.count; i++) {
    const kind = row.kinds[i]
    const bytes = row.bytes.subarray(row.starts[i]!, row.ends[i]!)
    const value = bytes.length > 40 ? `${bytes.length} bytes` : bytes.toString(kind === TEXT ? 'utf8' : 'hex')
    values.push(kind === NULL ? '-' : kind === UNCHANGED ? '?' : kind === TEXT ? value : `x${value}`)
  }
  return values.join('|')
}

/** A slot of a database of its own, and streams of it. */
export class Source {
  readonly server: PostgresServer
  readonly database: string
  readonly #folder = mkdtempSync(join(tmpdir(), 'kts-stream-'))
  readonly #streams: ReplicationStream[] = []
  /** In place of the server's, for a proxy. */
  port: number | undefined

  constructor(server: PostgresServer, database: string) {
    this.server = server
    this.database = database
  }

  /** Makes the database with this schema, publication `pub` of all tables, and slot `<database>`. */
  static async make(server: PostgresServer, schema: string, twoPhase = false): Promise<Source> {
    const source = new Source(server, await server.createDatabase())
    await source.sql(`${schema}; CREATE PUBLICATION pub FOR ALL TABLES`)
    await source.slot(source.database, twoPhase)
    return source
  }

  async slot(name: string, twoPhase = false): Promise<void> {
    const more = this.server.version >= 15 || twoPhase ? `, false, ${twoPhase}` : ''
    await this.sql(`SELECT pg_create_logical_replication_slot('${name}', 'pgoutput'${more})`)
  }

  sql(text: string): Promise<pg.QueryResult> {
    return this.server.query(text, this.database)
  }

  async now(): Promise<number> {
    return parseLsn((await this.sql('SELECT pg_current_wal_insert_lsn() AS lsn')).rows[0].lsn)
  }

  get scratch(): string {
    return join(this.#folder, 'scratch')
  }

  async open(
    options: Partial<ReplicationStreamOptions> & { workMem?: string; settings?: string } = {},
  ): Promise<ReplicationStream> {
    const stream = await ReplicationStream.open({
      connect: async () => {
        const settings = `-c logical_decoding_work_mem=${options.workMem ?? '64MB'} -c wal_sender_timeout=2s ${options.settings ?? ''}`
        const { host } = this.server
        const port = this.port ?? this.server.port
        const parts = { host, port, user: 'postgres', database: this.database, options: settings }
        const client = new pg.Client({ ...parts, replication: 'database' } as pg.ClientConfig)
        await client.connect()
        return client
      },
      slot: this.database,
      publications: ['pub'],
      startLsn: 0,
      serverVersion: this.server.version * 10000,
      binary: false,
      messages: true,
      twoPhase: false,
      scratch: this.scratch,
      files: nodeFiles,
      clock: systemClock,
      log: silentLogger,
      statusIntervalMs: 300,
      ...options,
    })
    this.#streams.push(stream)
    return stream
  }

  async confirmed(slot = this.database): Promise<string> {
    const { rows } = await this.sql(
      `SELECT confirmed_flush_lsn AS lsn FROM pg_replication_slots WHERE slot_name = '${slot}'`,
    )
    return rows[0].lsn
  }

  async close(): Promise<void> {
    for (const stream of this.#streams) await stream.close()
    const { rows } = await this.sql(
      'SELECT slot_name, active_pid FROM pg_replication_slots WHERE database = current_database()',
    )
    for (const { slot_name, active_pid } of rows) {
      if (active_pid !== null) await this.sql(`SELECT pg_terminate_backend(${active_pid}, 5000)`)
      await this.sql(`SELECT pg_drop_replication_slot('${slot_name}')`)
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** Reads until everything committed below `lsn` was told. */
export async function readTo(stream: ReplicationStream, changes: ChangeHandler, lsn: number): Promise<void> {
  const signal = AbortSignal.timeout(60_000)
  while (stream.toldUpTo < lsn) {
    signal.throwIfAborted()
    await stream.read(changes, 500, signal)
    if (changes instanceof Recorder && changes.full) changes.room = 3
  }
}

export const shown = formatLsn

/** A proxy that cuts each connection after so many bytes to the client, as `next` says. */
export async function cuttingProxy(
  server: PostgresServer,
  next: () => number,
): Promise<{ port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const proxy: Server = createServer(client => {
    let left = next()
    const upstream = tcp(server.port, server.host)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        client.destroy()
        upstream.destroy()
        sockets.delete(socket)
      })
    }
    client.pipe(upstream)
    upstream.on('data', chunk => {
      const part = chunk.subarray(0, left)
      left -= part.length
      client.write(part, () => {
        if (left <= 0) client.destroy()
      })
    })
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  return {
    port: (proxy.address() as { port: number }).port,
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise(resolve => proxy.close(() => resolve()))
    },
  }
}
