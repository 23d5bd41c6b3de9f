import type pg from 'pg'
import {
  KtsError,
  type SourceBatch,
  type SourceCheckpoint,
  type TaskContext,
  type TaskSignal,
} from '../../runtime/api/index.ts'
import { Capture } from './capture.ts'
import type { Connections } from './connection.ts'
import { type EventBatch, EventColumns, type Events } from './events/index.ts'
import { formatLsn, type Lsn, parseLsn } from './lsn.ts'
import type { PostgresOptions } from './options.ts'
import { isStreamPartition, positionToJson, type StreamPosition, streamPartition } from './position.ts'
import type { Relation } from './relation.ts'
import { ReplicationStream } from './replication-stream.ts'
import { serverError } from './server-error.ts'
import type { Session } from './session.ts'
import { confirmedPlace } from './slot.ts'
import { checkConfirmed } from './slot-check.ts'
import { type LiveSnapshots, openLiveSnapshots, type SnapshotPlan } from './snapshot/index.ts'
import { SnapshotRows } from './snapshot-rows.ts'
import type { TableInfo, Types } from './table-info.ts'

/** How long a poll waits for changes. */
const WAIT_MS = 500
/** A stretch of the log without events for us is written down when it is that long, or once in a status interval. */
const QUIET_BYTES = 16 << 20

export interface StreamParts {
  readonly session: Session
  readonly plan: Pick<SnapshotPlan, 'live' | 'skipped'>
  readonly options: PostgresOptions
  readonly checkpoints: readonly SourceCheckpoint[]
  readonly events: Events
  readonly batch: EventBatch
  readonly discarded: EventBatch
  readonly binary: boolean
  readonly context: TaskContext
  /** A change came of a table that has another name now, or had one then: it is not told. */
  readonly left: (oid: number) => void
  readonly truncated: (oid: number, xid: number) => void
}

/** Follows the stream, and reads tables beside it where a snapshot is asked for. */
export class StreamPhase {
  readonly #parts: StreamParts
  readonly #stream: ReplicationStream
  readonly #live: LiveSnapshots
  readonly #capture: Capture
  readonly #rows: SnapshotRows
  readonly #server: string
  /** Aborts when a snapshot beside the stream has rows while changes are waited for. */
  readonly #waiting: { abort: AbortController }
  #stopsFor: AbortSignal | undefined
  #given: StreamPosition
  #givenAt: number
  #heartbeatAt: number

  private constructor(
    parts: StreamParts,
    open: {
      readonly stream: ReplicationStream
      readonly live: LiveSnapshots
      readonly waiting: { abort: AbortController }
    },
  ) {
    const { session, events, batch, discarded, binary, options, context, truncated } = parts
    this.#parts = parts
    this.#stream = open.stream
    this.#live = open.live
    this.#waiting = open.waiting
    this.#server = options['topic.prefix']
    this.#rows = new SnapshotRows(events, batch)
    const { position } = session
    const tableOf = async (relation: Relation) => {
      const table = await capturedTable(session, relation)
      if (table === undefined) parts.left(relation.oid)
      return table
    }
    this.#capture = new Capture({ events, batch, discarded, tableOf, live: open.live, binary, position, truncated })
    this.#given = position
    this.#givenAt = context.clock.monotonic()
    this.#heartbeatAt = this.#givenAt
  }

  static async open(parts: StreamParts, tables: () => readonly TableInfo[]): Promise<StreamPhase> {
    const { session, plan, options, checkpoints, binary, context } = parts
    const { connections, catalog, filter, position, generatedColumns, twoPhase } = session
    const { clock, random, files, log, signal, scratch } = context
    const waiting = { abort: new AbortController() }
    const columns = new EventColumns(options)
    const live = await openLiveSnapshots({
      connect: () => connections.regular(signal),
      replication: () => connections.replication(signal),
      server: options['topic.prefix'],
      checkpoints,
      plan,
      tables,
      // One that has got another name is no longer captured.
      table: async oid => {
        const info = await catalog.table(oid)
        return info !== undefined && filter.captures(info.schema, info.table) ? info : undefined
      },
      options,
      binary,
      generatedColumns,
      needed: ({ relation, info }) => columns.of(relation, info),
      clock,
      random,
      log,
      report: facts => context.report(facts),
      count: (name, by) => context.count(name, by),
      wake: () => waiting.abort.abort(),
    })
    try {
      const slot = options['slot.name']
      const stream = await ReplicationStream.open({
        connect: () => connectedAt(connections, slot, position.end, signal),
        slot,
        publications: [options['publication.name']],
        startLsn: position.end,
        serverVersion: catalog.serverVersion,
        binary,
        messages: true,
        twoPhase,
        scratch,
        files,
        clock,
        log,
        statusIntervalMs: options['status.update.interval.ms'],
      })
      log.info({ slot, lsn: formatLsn(position.end) }, 'changes are streamed from here on')
      return new StreamPhase(parts, { stream, live, waiting })
    } catch (error) {
      await live.close()
      throw error
    }
  }

  async poll(signal: AbortSignal): Promise<SourceBatch | 'idle'> {
    if (this.#capture.needsText && this.#given.binary === false) throw textNeeded()
    await this.#read(signal)
    this.#capture.passed(this.#stream.toldUpTo)
    this.#heartbeat()
    const tables = this.#live.checkpoints()
    const more = this.#parts.batch.halfFull
    const parts = this.#parts.batch.take()
    if (tables === undefined) return parts.length === 0 ? 'idle' : { parts, checkpoints: [] }
    const position = { ...this.#capture.position, binary: this.#parts.binary && !this.#capture.needsText }
    if (parts.length === 0 && tables.length === 0 && !this.#isDue(position)) return 'idle'
    this.#given = position
    this.#givenAt = this.#parts.context.clock.monotonic()
    return {
      parts,
      checkpoints: [{ partition: streamPartition(this.#server), position: positionToJson(position) }, ...tables],
      more,
    }
  }

  /** Everything committed below was given to be made durable. */
  get given(): Lsn {
    return this.#given.end
  }

  /** The slot is told no more than what is durable here. */
  committed(checkpoints: readonly SourceCheckpoint[]): void {
    for (const { partition, position } of checkpoints)
      if (isStreamPartition(partition) && position !== null) this.#stream.confirm(parseLsn(String(position.lsn)))
    this.#live.committed(checkpoints)
  }

  signal(signal: TaskSignal): Promise<string> {
    return this.#live.signal(signal)
  }

  /** As LiveSnapshots.add. */
  add(tables: readonly TableInfo[], streamed: readonly TableInfo[]): void {
    this.#live.add(tables, streamed)
  }

  /** As LiveSnapshots.forget. */
  forget(tables: readonly TableInfo[]): void {
    this.#live.forget(tables)
  }

  /** Ends the connection, which tells the server for the last time how far we are. */
  async close(): Promise<void> {
    await Promise.all([this.#stream.close(), this.#live.close()])
  }

  async #read(signal: AbortSignal): Promise<void> {
    if (this.#live.ready) {
      await this.#live.read(this.#rows, signal)
      return
    }
    const waits = !this.#live.changedState
    if (this.#waiting.abort.signal.aborted) this.#waiting.abort = new AbortController()
    if (this.#stopsFor !== signal) {
      this.#stopsFor = signal
      signal.addEventListener('abort', () => this.#waiting.abort.abort(), { once: true })
    }
    if (signal.aborted) this.#waiting.abort.abort()
    await this.#stream.read(this.#capture, waits ? WAIT_MS : 0, this.#waiting.abort.signal)
  }

  #heartbeat(): void {
    const { options, context, events, batch } = this.#parts
    const everyMs = options['heartbeat.interval.ms']
    const now = context.clock.monotonic()
    if (everyMs === 0 || now - this.#heartbeatAt < everyMs) return
    this.#heartbeatAt = now
    events.heartbeat(batch)
  }

  /** Is a position without events worth a commit? */
  #isDue(position: StreamPosition): boolean {
    const { context, options } = this.#parts
    if (this.#capture.needsText) return true
    const moved = position.end - this.#given.end
    if (moved === 0 && position.commitLsn === this.#given.commitLsn) return false
    const sinceMs = context.clock.monotonic() - this.#givenAt
    return moved >= QUIET_BYTES || sinceMs >= options['status.update.interval.ms']
  }
}

/**
 * A connection to stream by. The slot is looked at once more: this may be another server than before, after a failover, and
 * what lies between our place and a slot that is ahead of it would be passed over in silence.
 */
async function connectedAt(connections: Connections, slot: string, from: Lsn, signal: AbortSignal): Promise<pg.Client> {
  const client = await connections.replication(signal)
  try {
    checkConfirmed(slot, await confirmedPlace(client, slot), from)
    return client
  } catch (error) {
    await client.end().catch(() => {})
    throw serverError(error, `slot ${slot}`)
  }
}

/** What the catalogue knows of a table of the stream; undefined for one that is not captured. */
async function capturedTable({ filter, catalog }: Session, relation: Relation): Promise<TableInfo | undefined> {
  if (!filter.captures(relation.schema, relation.table)) return undefined
  // Labels of an enum may have been added since.
  const types = catalog.types()
  await catalog.refreshTypes(relation.columns.flatMap(({ typeOid }) => withParts(types, typeOid)))
  return (await catalog.table(relation.oid)) ?? goneTable(relation)
}

/** The types that a value of this one is made of, as far as they may change. */
function withParts(types: Types, oid: number): number[] {
  const type = types.get(oid)
  if (type === undefined) return [oid]
  if (type.kind === 'e' || type.kind === 'c') return [oid]
  return [type.elementOid, type.baseOid].flatMap(part => (part === 0 ? [] : withParts(types, part)))
}

/** A table that was dropped since: all that is known of it is what the stream says. */
function goneTable({ oid, schema, table, replicaIdentity, columns }: Relation): TableInfo {
  const key = columns.filter(column => column.isKey).map(column => column.name)
  return {
    oid,
    schema,
    table,
    kind: 'r',
    replicaIdentity,
    primaryKey: replicaIdentity === 'd' && key.length > 0 ? key : undefined,
    identityIndex: replicaIdentity === 'i' ? key : undefined,
    uniqueIndex: undefined,
    columns: columns.map(({ name, typeOid, typeModifier, isKey }) => ({
      name,
      typeOid,
      typeModifier,
      notNull: isKey && replicaIdentity !== 'f',
      default: undefined,
      generated: undefined,
      identity: false,
    })),
  }
}

function textNeeded(): KtsError {
  return new KtsError(
    'RETRIABLE',
    'a table has a column that can only be read as text: the stream is opened anew for it',
  )
}
