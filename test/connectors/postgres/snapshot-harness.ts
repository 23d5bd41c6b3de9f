import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { Catalog } from '../../../connectors/postgres/catalog.ts'
import type {
  ChangeHandler,
  CommittedTransaction,
  LogicalMessage,
  OldRow,
} from '../../../connectors/postgres/changes.ts'
import { type Lsn, parseLsn } from '../../../connectors/postgres/lsn.ts'
import type { Relation } from '../../../connectors/postgres/relation.ts'
import { ReplicationStream } from '../../../connectors/postgres/replication-stream.ts'
import {
  type InitialSnapshot,
  type LiveSnapshots,
  openInitialSnapshot,
  openLiveSnapshots,
  planSnapshots,
  type RowHandler,
  type SnapshotSource,
  type SnapshotTable,
} from '../../../connectors/postgres/snapshot/index.ts'
import { SNAPSHOT_OPTIONS, type SnapshotOptions } from '../../../connectors/postgres/snapshot-options.ts'
import type { TableInfo } from '../../../connectors/postgres/table-info.ts'
import { NULL, type Tuple, UNCHANGED } from '../../../connectors/postgres/tuple.ts'
import {
  type Logger,
  nodeFiles,
  SeededRandom,
  type SourceCheckpoint,
  silentLogger,
  stringifyJson,
  systemClock,
  type TaskSignal,
} from '../../../runtime/api/index.ts'
import type { PostgresServer } from '../../support/postgres.ts'
import { followed, interrupted } from './snapshot-clients.ts'
import { connectTo, type Row, realRows, type Told } from './snapshot-told.ts'

export interface TaskOptions {
  readonly server: PostgresServer
  readonly database: string
  readonly tables: readonly string[]
  readonly options?: Partial<SnapshotOptions>
  readonly binary?: boolean
  readonly seed?: number
  /** Events that a batch takes. */
  readonly batch?: number
  readonly log?: Logger
  /** Is waited for in front of each statement of those who read beside the stream. */
  readonly between?: () => Promise<void>
  /** Is waited for when a place in the stream is known to the server, and not yet to who asked for it. */
  readonly placed?: () => Promise<void>
}

export { connectTo }

const SERVER = 'test'

/** A connector's task in little: snapshot, stream, live snapshots, and a log that is committed batch by batch. */
export class TestTask implements ChangeHandler {
  readonly committedLog: Told[] = []
  readonly counts = new Map<string, number>()
  readonly facts: Readonly<Record<string, unknown>>[] = []
  checkpoints = new Map<string, SourceCheckpoint>()
  #open: Told[] = []
  /** Of the batch since it was taken. */
  #batched = 0
  readonly #options: TaskOptions
  readonly #slot: string
  position: { commit: Lsn; changes: number | undefined } | undefined
  #at: { commit: Lsn; changes: number | undefined } | undefined
  #transaction: CommittedTransaction | undefined
  #index = 0
  #behind = 0
  live: LiveSnapshots | undefined
  initial: InitialSnapshot | undefined
  #stream: ReplicationStream | undefined
  #catalogClient: pg.Client | undefined
  #catalog: Catalog | undefined
  #infos: TableInfo[] = []
  readonly #clients: pg.Client[] = []

  readonly #rows: RowHandler

  constructor(options: TaskOptions) {
    this.#options = options
    const isFull = () => this.#batchFull
    this.#rows = {
      row: (table, row, source) => this.#row(table, row, source),
      get full() {
        return isFull()
      },
    }
    this.#slot = `slot_${options.database}`
  }

  #connect = async (replication = false): Promise<pg.Client> => {
    const client = await connectTo(this.#options.server, this.#options.database, replication)
    this.#clients.push(client)
    return client
  }

  get #snapshotOptions(): SnapshotOptions {
    const defaults = Object.fromEntries(
      Object.entries(SNAPSHOT_OPTIONS).map(([name, spec]) => [name, spec.default ?? undefined]),
    )
    return { ...defaults, ...this.#options.options } as SnapshotOptions
  }

  async open(): Promise<void> {
    const { tables } = this.#options
    this.#catalogClient = await this.#connect()
    const catalog = await Catalog.open(this.#catalogClient)
    this.#catalog = catalog
    const { rows } = await this.#catalogClient.query<{ oid: string }>(
      `SELECT oid::int8::text AS oid FROM unnest($1::regclass[]) AS t(oid) ORDER BY oid::regclass::text COLLATE "C"`,
      [tables],
    )
    this.#infos = []
    for (const { oid } of rows) this.#infos.push((await catalog.table(Number(oid)))!)
    const checkpoints = [...this.checkpoints.values()]
    const resumes = this.position !== undefined
    const options = this.#snapshotOptions
    const plan = planSnapshots({ options, server: SERVER, checkpoints, tables: this.#infos, resumes })
    const shared = {
      server: SERVER,
      options,
      binary: this.#options.binary ?? false,
      generatedColumns: false,
      clock: systemClock,
      random: new SeededRandom(this.#options.seed ?? 1),
      log: this.#options.log ?? silentLogger,
      report: (facts: object) => void this.facts.push({ ...facts }),
      connect: () => this.#connect(),
    }
    if (!resumes) {
      const replication = await this.#connect(true)
      const created = await replication.query(
        `CREATE_REPLICATION_SLOT "${this.#slot}" LOGICAL pgoutput EXPORT_SNAPSHOT`,
      )
      const { consistent_point, snapshot_name } = created.rows[0] as Record<string, string>
      const lsn = parseLsn(consistent_point!)
      this.#at = { commit: lsn, changes: undefined }
      this.initial = await openInitialSnapshot({ ...shared, tables: plan.initial, lsn, snapshotName: snapshot_name! })
      await replication.end()
    } else this.#at = { ...this.position! }
    this.live = await openLiveSnapshots({
      ...shared,
      connect: async () => interrupted(await this.#connect(), this.#options.between),
      checkpoints,
      plan: { live: plan.live, skipped: plan.skipped },
      tables: () => this.#infos,
      table: oid => catalog.table(oid),
      replication: async () => followed(await this.#connect(true), this.#options.placed),
      count: (name, by = 1) => void this.counts.set(name, (this.counts.get(name) ?? 0) + by),
      wake: () => undefined,
    })
  }

  /** One poll: a batch told, and committed where it may be. False when the initial snapshot has ended by it. */
  async poll(): Promise<boolean> {
    const signal = new AbortController().signal
    this.#batched = 0
    if (this.initial !== undefined) {
      const state = await this.initial.read(this.#rows, signal)
      this.#commit(this.initial.checkpoints())
      if (state === 'more') return true
      await this.initial.close()
      this.initial = undefined
      return false
    }
    this.#stream ??= await ReplicationStream.open({
      connect: () => this.#connect(true),
      slot: this.#slot,
      publications: ['pub'],
      startLsn: 0,
      serverVersion: this.#options.server.version * 10_000,
      binary: this.#options.binary ?? false,
      messages: true,
      twoPhase: false,
      scratch: mkdtempSync(join(tmpdir(), 'kts-snapshot-')),
      files: nodeFiles,
      clock: systemClock,
      log: silentLogger,
      statusIntervalMs: 1000,
    })
    if (this.live!.ready) await this.live!.read(this.#rows, signal)
    else await this.#stream.read(this, 20, signal)
    this.#commit(this.live!.checkpoints())
    return true
  }

  #commit(checkpoints: SourceCheckpoint[] | undefined): void {
    if (checkpoints === undefined) return
    for (const checkpoint of checkpoints) {
      const key = stringifyJson(checkpoint.partition)
      if (checkpoint.position === null) this.checkpoints.delete(key)
      else this.checkpoints.set(key, checkpoint)
    }
    // As they come back from the log.
    this.position =
      this.initial === undefined || this.position !== undefined || checkpoints.length > 0 ? { ...this.#at! } : undefined
    if (this.#transaction !== undefined && this.#behind !== Infinity)
      this.position = { commit: this.#transaction.commitLsn, changes: Math.max(this.#index, this.#behind) }
    this.committedLog.push(...this.#open)
    this.#open = []
    this.live?.committed(checkpoints)
  }

  signal(signal: TaskSignal): Promise<string> {
    return this.live!.signal(signal)
  }

  /** A request, followed once it is durable; rejects as the connector would. */
  async ask(type: string, data: TaskSignal['data'] = {}): Promise<string> {
    let answer: string | undefined
    let failure: { error: unknown } | undefined
    this.signal({ id: type, type, data }).then(
      text => {
        answer = text
      },
      error => {
        failure = { error }
      },
    )
    while (answer === undefined && failure === undefined) await this.poll()
    if (failure !== undefined) throw failure.error
    return answer!
  }

  /** A table that has been made since, as the connector finds it. */
  async found(table: string): Promise<void> {
    const { rows } = await this.#catalogClient!.query('SELECT $1::regclass::oid::int8::text AS oid', [table])
    const info = (await this.#catalog!.table(Number(rows[0].oid)))!
    this.#infos = [...this.#infos, info]
    this.live!.add([info], [])
  }

  async pollUntil(condition: () => boolean): Promise<void> {
    while (!condition()) await this.poll()
  }

  /** Rows that were read, of one table. */
  reads(table: string): Told[] {
    return this.committedLog.filter(t => t.op === 'r' && t.table === `public.${table}`)
  }

  /** Nothing of the tables is left to be read. */
  get finished(): boolean {
    const states = [...this.checkpoints.values()].filter(({ partition }) => partition.table !== undefined)
    return states.every(({ partition, position }) => partition.snapshot === undefined && position!.done === true)
  }

  rows(table: string): Promise<string[]> {
    return realRows(this.#options.server, this.#options.database, table)
  }

  /** Everything is cut, and what was not committed is forgotten. */
  async kill(): Promise<void> {
    for (const client of this.#clients)
      (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
    this.#clients.length = 0
    await Promise.all([this.initial?.close(), this.live?.close(), this.#stream?.close().catch(() => undefined)])
    this.#open = []
    this.#transaction = undefined
    this.initial = undefined
    this.live = undefined
    this.#stream = undefined
  }

  async close(): Promise<void> {
    await this.kill()
    const client = await connectTo(this.#options.server, this.#options.database)
    for (;;) {
      const { rows } = await client.query(
        `SELECT active_pid FROM pg_replication_slots WHERE slot_name = '${this.#slot}'`,
      )
      if (rows.length === 0) break
      if (rows[0].active_pid === null) await client.query(`SELECT pg_drop_replication_slot('${this.#slot}')`)
    }
    await client.end()
  }

  /** Are all changes up to now told and committed? */
  async caughtUp(): Promise<void> {
    const client = await connectTo(this.#options.server, this.#options.database)
    const { rows } = await client.query(
      `SELECT pg_current_wal_lsn() AS lsn, pg_logical_emit_message(true, 'kts-connect.end', '')`,
    )
    const target = parseLsn(rows[0].lsn)
    await client.end()
    while ((this.position?.commit ?? 0) < target || this.#open.length > 0) await this.poll()
  }

  get #batchFull(): boolean {
    return this.#batched >= (this.#options.batch ?? 500)
  }

  get full(): boolean {
    return this.#batchFull || this.live?.ready === true
  }

  begin(transaction: CommittedTransaction): void {
    const { commit, changes } = this.#at!
    this.#transaction = transaction
    this.#index = 0
    if (transaction.commitLsn > commit) this.#behind = 0
    else this.#behind = transaction.commitLsn === commit ? (changes ?? Infinity) : Infinity
    if (this.#behind !== Infinity) this.live!.begin(transaction)
  }

  relation(): void {}

  #isNew(): boolean {
    return ++this.#index > this.#behind
  }

  insert(relation: Relation, row: Tuple): void {
    if (!this.#isNew()) return
    this.live!.changed(relation, undefined, row)
    this.#tell(relation, 'c', row, undefined)
  }

  update(relation: Relation, old: OldRow | undefined, row: Tuple): void {
    if (!this.#isNew()) return
    this.live!.changed(relation, old, row)
    this.#tell(relation, 'u', row, old?.tuple)
  }

  delete(relation: Relation, old: OldRow): void {
    if (!this.#isNew()) return
    this.live!.changed(relation, old, undefined)
    this.#tell(relation, 'd', undefined, old.tuple)
  }

  truncate(relations: readonly Relation[]): void {
    const isNew = relations.map(() => this.#isNew()).at(-1)
    if (isNew !== true) return
    this.live!.truncated(relations)
    for (const relation of relations) this.#tell(relation, 't', undefined, undefined)
  }

  message(message: LogicalMessage): void {
    if (this.#isNew() && message.prefix.startsWith('kts-connect.')) this.live!.message(message)
  }

  commit(transaction: CommittedTransaction): void {
    if (this.#behind !== Infinity) this.#at = { commit: transaction.commitLsn, changes: undefined }
    this.#transaction = undefined
  }

  #row(table: SnapshotTable, row: Tuple, { snapshot: mark, lsn: commit }: SnapshotSource): void {
    this.#batched++
    const name = `${table.info.schema}.${table.info.table}`
    this.#open.push({ table: name, op: 'r', mark, row: rowOf(table.relation, row), old: undefined, commit })
  }

  #tell(relation: Relation, op: Told['op'], row: Tuple | undefined, old: Tuple | undefined): void {
    this.#batched++
    this.#open.push({
      table: `${relation.schema}.${relation.table}`,
      op,
      mark: 'false',
      row: row === undefined ? {} : rowOf(relation, row),
      old: old === undefined ? undefined : rowOf(relation, old),
      commit: this.#transaction!.commitLsn,
    })
  }
}

function rowOf(relation: Relation, row: Tuple): Row {
  return Object.fromEntries(
    relation.columns.map(({ name }, i) => {
      if (row.kinds[i] === NULL) return [name, null]
      if (row.kinds[i] === UNCHANGED) return [name, undefined]
      const bytes = row.bytes.subarray(row.starts[i], row.ends[i])
      return [name, row.kinds[i] === 3 ? bytes.toString('hex') : bytes.toString('utf8')]
    }),
  )
}
