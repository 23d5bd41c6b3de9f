import type pg from 'pg'
import { KtsError, randomId, type SourceCheckpoint, type TaskContext } from '../../runtime/api/index.ts'
import { Catalog } from './catalog.ts'
import { Connections, closeClient } from './connection.ts'
import { formatLsn, type Lsn } from './lsn.ts'
import type { PostgresOptions } from './options.ts'
import { positionOf, type StreamPosition } from './position.ts'
import { ensurePublication, publicationState } from './publication.ts'
import { setReplicaIdentities } from './replica-identity-rules.ts'
import { createSlot, dropSlot, makeFailover, type SlotState, type SlotWait, slotState, waitForSlot } from './slot.ts'
import { checkPublication, checkSlot, checkUnread } from './slot-check.ts'
import { checkCondition, planSnapshots, type SnapshotPlan, staleProgress } from './snapshot/index.ts'
import { rowsToRead } from './snapshot-overrides.ts'
import { checkTableCount, TableFilter } from './table-filter.ts'
import type { TableInfo } from './table-info.ts'
import { timelineHistory } from './timeline.ts'

/** What a run of the connector found and made at the server before its first event. */
export interface Session {
  readonly connections: Connections
  /** Of the catalogue alone. */
  readonly client: pg.Client
  readonly catalog: Catalog
  readonly filter: TableFilter
  readonly tables: readonly TableInfo[]
  /** Where the stream begins, or goes on. */
  readonly position: StreamPosition
  /** It goes on: the position is durable. */
  readonly resumes: boolean
  /** Partitions that were attached by this transaction or a later one were not seen by an earlier run, which stopped before. */
  readonly attachedSince: string
  readonly plan: SnapshotPlan
  /** Those of tables that are captured still, and of the stream. */
  readonly checkpoints: readonly SourceCheckpoint[]
  /** Those of others, and all of an earlier place in the stream that was lost: their tables count as never read. */
  readonly stale: readonly SourceCheckpoint[]
  /** The slot decodes prepared transactions. */
  readonly twoPhase: boolean
  /** Stored generated columns are in the stream (publish_generated_columns, PostgreSQL 18). */
  readonly generatedColumns: boolean
  /** What the initial snapshot reads; the connection keeps it. */
  readonly exported: ExportedSnapshot | undefined
}

export interface ExportedSnapshot {
  readonly name: string
  readonly lsn: Lsn
  readonly keeper: pg.Client
}

/**
 * Holds the slot against the checkpoint, and makes publication and slot where there are none. Rejects with POSITION_LOST
 * when changes were lost in between; never goes on in silence.
 */
export async function openSession(
  options: PostgresOptions,
  checkpoints: readonly SourceCheckpoint[],
  context: TaskContext,
): Promise<Session> {
  const { env, files, clock, log, connector } = context
  const known = checkpoints.length > 0
  const connections = new Connections(options, { env, files, clock, log, connector, known })
  const client = await connections.regular(context.signal)
  try {
    return await begin(connections, client, options, checkpoints, context)
  } catch (error) {
    await closeClient(client, context.clock)
    throw error
  }
}

async function begin(
  connections: Connections,
  client: pg.Client,
  options: PostgresOptions,
  checkpoints: readonly SourceCheckpoint[],
  context: TaskContext,
): Promise<Session> {
  const { log } = context
  const server = options['topic.prefix']
  const catalog = await Catalog.open(client, options['publication.name'])
  const filter = new TableFilter(options)
  const position = await resumable(connections, client, catalog, options, checkpoints, context)
  await setReplicaIdentities(client, options, filter, log)
  await ensurePublication(client, options, filter, log)
  const publication = (await publicationState(client, options['publication.name']))?.oid
  const tables = await catalog.tables(filter, { publication: options['publication.name'] })
  checkTableCount(options, tables.length, log)
  const plan = planSnapshots({ options, server, checkpoints, tables, resumes: position !== undefined })
  const stale = plan.stream ? staleProgress(server, checkpoints, position === undefined ? [] : tables) : []
  const known = checkpoints.filter(checkpoint => !stale.includes(checkpoint))
  const generatedColumns = await sendsGeneratedColumns(client, options['publication.name'])
  const resumes = position !== undefined
  const common = { connections, client, catalog, filter, tables, generatedColumns, checkpoints: known, stale, resumes }
  const lists = listsOf(options)
  if (position !== undefined) {
    const slot = await ourSlot(connections, client, options, catalog, context)
    const twoPhase = slot?.twoPhase ?? false
    const streamed =
      position.lists === lists ? await tablesSince(client, options['publication.name'], filter, position.since) : []
    const since = await nextTransaction(client)
    return {
      ...common,
      plan: withoutStreamed(plan, streamed),
      twoPhase,
      position: { ...position, since, lists, publication },
      attachedSince: position.since,
      exported: undefined,
    }
  }
  await checkConditions(client, plan.initial, options)
  const first = await firstPlace(connections, client, options, plan, catalog, context)
  const { systemId, timeline } = catalog.server
  // Behind the making of the slot: what was made before it, and after the tables were listed, is not in the stream.
  const since = await nextTransaction(client)
  // No transaction is behind: the first to come may have its commit record at the very place.
  const binary = options['slot.stream.params'] === 'binary=true'
  const begins = { commitLsn: 0, changes: undefined, lastCommit: 0, messageLsn: 0, commitTime: 0, binary }
  const begun = { ...begins, end: first.lsn, systemId, timeline, since, lists, publication }
  return { ...common, plan, position: begun, attachedSince: since, ...first }
}

/** Before a slot is made for a snapshot: throws CONFIG_INVALID where the server does not take what chooses its rows. */
async function checkConditions(
  client: pg.Client,
  tables: readonly TableInfo[],
  options: PostgresOptions,
): Promise<void> {
  const rows = rowsToRead(options)
  for (const table of tables) {
    const condition = rows(table)
    if (condition !== undefined) await checkCondition(client, table, condition)
  }
}

/** Which tables are captured, as far as the configuration says. */
function listsOf(options: PostgresOptions): string {
  const names = ['schema.include.list', 'schema.exclude.list', 'table.include.list', 'table.exclude.list'] as const
  return JSON.stringify(names.map(name => options[name]))
}

/** Tables whose whole life is in the stream are written down as read. */
function withoutStreamed(plan: SnapshotPlan, streamed: readonly number[]): SnapshotPlan {
  const isStreamed = ({ oid }: TableInfo) => streamed.includes(oid)
  return {
    ...plan,
    live: plan.live.filter(table => !isStreamed(table)),
    skipped: [...plan.skipped, ...plan.live.filter(isStreamed)],
  }
}

/** Whoever has this number or a later one began after this question. */
async function nextTransaction(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ xid: string }>('SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xid')
  return rows[0]!.xid
}

/**
 * Tables that were made by the transaction `since` or later, and of which the publication and the lists let every row
 * through from the first on; those of which that is not certain are left out. A table's first system column is written when
 * the table is made, and not again; its row type has the same age until the table gets another name or schema, and rows that
 * were not in the WAL (of an unlogged table, or one that was rewritten) lie in another file than the first.
 */
export async function tablesSince(
  client: pg.Client,
  publication: string,
  filter: TableFilter,
  since: string,
): Promise<readonly number[]> {
  const { rows } = await client.query<{ oid: number }>(
    `SELECT c.oid
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = c.reltype
     JOIN pg_publication p ON p.pubname = $1 AND p.puballtables
     WHERE a.attnum = -1 AND c.relkind = 'r' AND NOT pg_is_in_recovery()
       -- Below 0: of an earlier round of the transaction ids, and frozen.
       AND age(a.xmin) >= 0 AND pg_snapshot_xmax(pg_current_snapshot())::text::bigint - age(a.xmin) >= $2::bigint
       AND ($3 OR (t.xmin = a.xmin AND t.cmin = a.cmin)) AND pg_relation_filenode(c.oid) = c.oid
       -- A partition that was detached since was told of by the name of its root.
       AND (NOT p.pubviaroot OR c.xmin = a.xmin)`,
    [publication, since, filter.capturesAll],
  )
  return rows.map(row => row.oid)
}

interface FirstPlace {
  readonly lsn: Lsn
  readonly twoPhase: boolean
  readonly exported: ExportedSnapshot | undefined
}

/**
 * Where a connector without a position begins. A slot that is there already (made by hand, or by a run that was killed
 * before its first commit) has no snapshot any more: a temporary one gives a snapshot further on, from where the stream then
 * begins. Without rows to read it begins where that slot stands.
 */
async function firstPlace(
  connections: Connections,
  client: pg.Client,
  options: PostgresOptions,
  plan: SnapshotPlan,
  catalog: Catalog,
  context: TaskContext,
): Promise<FirstPlace> {
  const { serverVersion } = catalog
  const name = options['slot.name']
  const slot = await ourSlot(connections, client, options, catalog, context)
  const twoPhase = slot?.twoPhase ?? false
  const reads = plan.initial.length > 0
  if (!reads && (slot?.confirmedFlushLsn !== undefined || !plan.stream))
    return { lsn: slot?.confirmedFlushLsn ?? 0, twoPhase, exported: undefined }
  const keeper = await connections.replication(context.signal)
  try {
    const temporary = slot !== undefined || !plan.stream
    const newSlot = { name: temporary ? temporaryName(name, context) : name, serverVersion, temporary }
    const failover = options['slot.failover'] && !temporary
    const made = await createSlot(keeper, { ...newSlot, failover }, { client, ...context })
    const lsn = made.consistentPoint
    context.log.info({ slot: newSlot.name, lsn: formatLsn(lsn), temporary }, 'made a replication slot')
    if (reads) return { lsn, twoPhase, exported: { name: made.snapshotName, lsn, keeper } }
    await closeClient(keeper, context.clock)
    return { lsn, twoPhase, exported: undefined }
  } catch (error) {
    await closeClient(keeper, context.clock)
    throw error
  }
}

/** Another one at each start, since that of a connection that was cut stays for a while. Names have 63 characters at most. */
function temporaryName(name: string, { random }: TaskContext): string {
  return `${name.slice(0, 45)}_${randomId(random)
    .replaceAll(/[^a-z0-9]/gi, '')
    .slice(0, 12)
    .toLowerCase()}`
}

/** Once nobody reads it, and altered to what the options ask for; undefined when there is none. */
async function ourSlot(
  connections: Connections,
  client: pg.Client,
  options: PostgresOptions,
  { server, serverVersion }: Catalog,
  context: TaskContext,
): Promise<SlotState | undefined> {
  const slot = await waitForSlot(client, options['slot.name'], slotWait(options, context))
  if (slot === undefined || !options['slot.failover'] || slot.failover || server.standby) return slot
  const replication = await connections.replication(context.signal)
  try {
    await makeFailover(replication, slot.name, serverVersion, slotWait(options, context))
  } finally {
    await closeClient(replication, context.clock)
  }
  context.log.info({ slot: slot.name }, 'the slot is one now that standbys keep a copy of (slot.failover)')
  return { ...slot, failover: true }
}

function slotWait(options: PostgresOptions, { clock, log, signal }: TaskContext): SlotWait {
  return { retries: options['slot.max.retries'], delayMs: options['slot.retry.delay.ms'], clock, log, signal }
}

async function sendsGeneratedColumns(client: pg.Client, publication: string): Promise<boolean> {
  // All columns, since which there are depends on the version.
  const { rows } = await client.query<{ columns: { pubgencols?: string } }>(
    'SELECT to_jsonb(p) AS columns FROM pg_publication p WHERE pubname = $1',
    [publication],
  )
  return rows[0]?.columns.pubgencols === 's'
}

/** The position from which the stream goes on; undefined at the very first start, or where `when_needed` begins again. */
async function resumable(
  connections: Connections,
  client: pg.Client,
  catalog: Catalog,
  options: PostgresOptions,
  checkpoints: readonly SourceCheckpoint[],
  { clock, log }: TaskContext,
): Promise<StreamPosition | undefined> {
  const position = positionOf(checkpoints, options['topic.prefix'])
  const slotName = options['slot.name']
  const slot = await slotState(client, slotName)
  const publication = await publicationState(client, options['publication.name'])
  const replication = await connections.replication()
  try {
    const { server } = catalog
    const history = position === undefined ? [] : await timelineHistory(replication, server.timeline, log)
    checkSlot(slot, slotName, position, { ...server, history })
    if (position === undefined) {
      if (slot !== undefined) checkUnread(slot, options['snapshot.mode'], log)
      return undefined
    }
    checkPublication(options['publication.name'], publication?.oid, position)
    return { ...position, timeline: server.timeline }
  } catch (error) {
    const isLost = error instanceof KtsError && error.code === 'POSITION_LOST'
    if (!isLost || options['snapshot.mode'] !== 'when_needed') throw error
    log.warn(
      { err: error },
      'the place in the stream was lost: snapshot.mode is when_needed, so all tables are read anew',
    )
    if (slot !== undefined) await dropSlot(client, slotName)
    return undefined
  } finally {
    await closeClient(replication, clock)
  }
}
