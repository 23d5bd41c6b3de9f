import type pg from 'pg'
import { type Clock, type Logger, type Random, randomId, type SourceCheckpoint } from '../../../runtime/api/index.ts'
import { closeClient } from '../connection.ts'
import type { Lump } from '../copy-stream.ts'
import type { Lsn } from '../lsn.ts'
import { serverError } from '../server-error.ts'
import type { SnapshotOptions } from '../snapshot-options.ts'
import type { RowsToRead } from '../snapshot-overrides.ts'
import type { TableInfo } from '../table-info.ts'
import { CopyRows } from './copy-rows.ts'
import { HeldRow } from './held-row.ts'
import { type Leaf, leavesOf, spanOf } from './leaves.ts'
import { type Part, PartReader } from './part-reader.ts'
import type { Place } from './place.ts'
import { newProgress, progressCheckpoint, type TableProgress } from './progress.ts'
import {
  type NeededColumns,
  type RowHandler,
  type SnapshotMark,
  type SnapshotSource,
  type SnapshotTable,
  snapshotTable,
} from './rows.ts'

export interface InitialSnapshotParts {
  /** A connection of its own for each call, with the settings that every session has; it is closed here. */
  readonly connect: () => Promise<pg.Client>
  /** Exported, and kept so until `open` has resolved. */
  readonly snapshotName: string
  /** The slot's consistent point: the rows are those of this place in the stream. */
  readonly lsn: Lsn
  /** `topic.prefix`, which names the connector's checkpoints. */
  readonly server: string
  /** In the order they are read in. */
  readonly tables: readonly TableInfo[]
  readonly options: Pick<
    SnapshotOptions,
    'snapshot.max.threads' | 'snapshot.fetch.size' | 'snapshot.tables.order.by.row.count'
  >
  readonly rowsToRead?: RowsToRead | undefined
  /** Rows come in the binary form: only where every column of every table can be read from it. */
  readonly binary: boolean
  /** The server sends stored generated columns (publish_generated_columns). */
  readonly generatedColumns: boolean
  readonly needed?: NeededColumns | undefined
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly report: (facts: Readonly<Record<string, string | number>>) => void
}

export interface InitialSnapshot {
  /**
   * Tells rows until `rows.full`, or until a part of a table is whole; finished once all of them are told. Rejects
   * RETRIABLE when the server goes: the snapshot is gone with it, and live ones take over (`planSnapshots`).
   */
  read(rows: RowHandler, signal: AbortSignal): Promise<'more' | 'finished'>
  /**
   * Of the tables that have gone on since the last call, to be committed with all rows told so far. Undefined inside of a
   * part: what was told goes into one transaction of the log with what follows.
   */
  checkpoints(): SourceCheckpoint[] | undefined
  /** Tables that were rewritten meanwhile (DDL, TRUNCATE), so that the snapshot sees them empty: to be read live. */
  readonly rewritten: readonly TableInfo[]
  close(): Promise<void>
}

/**
 * A part's table bytes, about. A part is one transaction of the log, where it takes some five times as much. Smaller ones
 * cost more statements and commits, larger ones more memory, since what is being committed is held.
 */
const PART_BYTES = 2 << 20
const REPORT_MS = 1000

/** What was not begun of a leaf. Its parts are made one by one: a large table has millions. */
interface Rest {
  readonly table: SnapshotTable
  readonly leaf: Leaf
  readonly span: Place
  from: Place
}

/** Rows as of an exported snapshot, part by part, each with `SET TRANSACTION SNAPSHOT`, several connections at once. */
export async function openInitialSnapshot(parts: InitialSnapshotParts): Promise<InitialSnapshot> {
  const snapshot = new ExportedSnapshot(parts)
  try {
    await snapshot.open()
    return snapshot
  } catch (error) {
    await snapshot.close()
    throw serverError(error, 'snapshot')
  }
}

class ExportedSnapshot implements InitialSnapshot {
  readonly #parts: InitialSnapshotParts
  /** Keeps the snapshot for the others, which begin a transaction for each part. */
  #keeper: pg.Client | undefined
  readonly #idle: PartReader[] = []
  /** In the order of their parts: the first one's turn it is. */
  readonly #busy: PartReader[] = []
  /** Parts that are read at once. One more is begun, so that it is there when a part ends. */
  #threads = 1
  #rest: Rest[] = []
  /** Parts that are not read to their end, by table: there may be hundreds of thousands. */
  readonly #open = new Map<SnapshotTable, number>()
  #sources: Record<SnapshotMark, SnapshotSource> | undefined
  readonly #rewritten = new Set<TableInfo>()
  readonly #progress = new Map<SnapshotTable, TableProgress>()
  /** Progress behind rows that were told, and behind those and the held one. */
  readonly #told = new Map<SnapshotTable, TableProgress>()
  readonly #closed = new Map<SnapshotTable, TableProgress>()
  #atBoundary = true
  #lump: Lump | undefined
  #index = 0
  #rows: CopyRows | undefined
  readonly #held = new HeldRow()
  #heldTable: SnapshotTable | undefined
  #isFirst = true
  #tableBegun: SnapshotTable | undefined
  #count = 0
  #tableRows = 0
  #bytes = 0
  #estimate = 0
  #reportAt = 0

  constructor(parts: InitialSnapshotParts) {
    this.#parts = parts
  }

  get rewritten(): readonly TableInfo[] {
    return [...this.#rewritten]
  }

  async open(): Promise<void> {
    const { connect, snapshotName, options, tables, binary, rowsToRead, clock, generatedColumns, random, log } =
      this.#parts
    this.#keeper = await connect()
    await this.#keeper.query(
      `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '${snapshotName}'; SET LOCAL idle_in_transaction_session_timeout = 0`,
    )
    const exported = await this.#keeper.query<{ name: string; xid: string }>(
      `SELECT pg_export_snapshot() AS name, pg_snapshot_xmax(pg_current_snapshot())::text AS xid`,
    )
    const { name, xid } = exported.rows[0]!
    this.#sources = sourcesOf(this.#parts.lsn, Number(BigInt(xid) % 2n ** 32n), clock.now() * 1000)
    const id = randomId(random)
    const found = []
    for (const info of tables) {
      const leaves = await leavesOf(this.#keeper, info.oid)
      found.push({ info, leaves, rows: leaves.reduce((sum, leaf) => sum + leaf.rows, 0) })
    }
    const order = { disabled: 0, ascending: 1, descending: -1 }[options['snapshot.tables.order.by.row.count']]
    for (const { info, leaves, rows } of found.sort((a, b) => order * (a.rows - b.rows))) {
      const table = snapshotTable(info, generatedColumns)
      const progress = newProgress(info, id, { adHoc: false, blocking: false, filter: rowsToRead?.(info) })
      this.#progress.set(table, progress)
      this.#estimate += rows
      for (const leaf of leaves) this.#plan(table, leaf)
      if (leaves.every(leaf => leaf.end === 0)) this.#closed.set(table, { ...progress, done: true })
    }
    const work = [...this.#open.values()].reduce((sum, open) => sum + open, 0)
    log.info({ tables: tables.length, parts: work }, 'snapshot begins')
    this.#threads = Math.max(1, Math.min(options['snapshot.max.threads'], work))
    for (let i = 0; i < Math.min(this.#threads + 1, work); i++) {
      this.#idle.push(
        new PartReader(await connect(), { snapshot: name, binary, rowsToRead, needed: this.#parts.needed, clock }),
      )
    }
  }

  #plan(table: SnapshotTable, leaf: Leaf): void {
    const span = spanOf(leaf, this.#parts.options['snapshot.fetch.size'], PART_BYTES)
    if (leaf.end > 0) this.#rest.push({ table, leaf, span, from: 0 })
    this.#open.set(table, (this.#open.get(table) ?? 0) + Math.ceil(leaf.end / span))
  }

  async read(rows: RowHandler, signal: AbortSignal): Promise<'more' | 'finished'> {
    this.#report()
    while (!rows.full && !signal.aborted) {
      if (this.#lump !== undefined) {
        if (this.#tell(rows, this.#lump)) return 'more'
        continue
      }
      this.#employ()
      const reader = this.#busy[0]
      if (reader === undefined) {
        this.#finish(rows)
        return 'finished'
      }
      this.#lump = await reader.next()
      this.#index = 0
      if (this.#lump === undefined) this.#endPart(reader)
    }
    return 'more'
  }

  #employ(): void {
    while (this.#idle.length > 0 && this.#rest.length > 0) {
      const reader = this.#idle.shift()!
      reader.start(this.#nextPart())
      this.#busy.push(reader)
    }
    for (let i = 1; i < this.#threads; i++) this.#busy[i]?.fill()
  }

  #nextPart(): Part {
    const rest = this.#rest[0]!
    const { table, leaf, span, from } = rest
    rest.from += span
    if (rest.from >= leaf.end) this.#rest.shift()
    return { table, leaf, from, to: rest.from }
  }

  /**
   * Each row is told when it is known whether another one follows, since the last one of a table is marked. So a lump's last
   * row is kept until the next. True when a part became whole by it.
   */
  #tell(rows: RowHandler, lump: Lump): boolean {
    const { table } = this.#busy[0]!.part!
    if (this.#rows === undefined) this.#rows = new CopyRows(table.relation.columns.length, this.#parts.binary)
    const last = lump.count - 1
    while (this.#index <= last) {
      if (rows.full) return false
      const at = this.#index++
      if (!this.#rows.read(lump.bytes, lump.starts[at]!, lump.ends[at]!)) continue
      if (this.#heldTable !== undefined) this.#release(rows, table)
      this.#bytes += lump.ends[at]! - lump.starts[at]!
      if (this.#closed.size > 0 || at === last || (this.#parts.binary && at === last - 1)) {
        this.#held.keep(this.#rows.tuple)
        this.#heldTable = table
        // What was closed before this row was read is behind what is told now.
        if (this.#settle()) return true
      } else this.#emit(rows, table, this.#rows.tuple, undefined)
    }
    this.#lump = undefined
    return false
  }

  #release(rows: RowHandler, next: SnapshotTable): void {
    const table = this.#heldTable!
    this.#heldTable = undefined
    this.#emit(rows, table, this.#held.tuple, next === table ? undefined : 'last_in_data_collection')
  }

  #emit(rows: RowHandler, table: SnapshotTable, row: HeldRow['tuple'], closing: SnapshotMark | undefined): void {
    const isNew = this.#tableBegun !== table
    this.#tableBegun = table
    this.#tableRows = isNew ? 1 : this.#tableRows + 1
    const opening = this.#isFirst ? 'first' : isNew ? 'first_in_data_collection' : 'true'
    const mark = this.#isFirst && closing !== 'last' ? 'first' : (closing ?? opening)
    this.#isFirst = false
    this.#atBoundary = false
    this.#count++
    rows.row(table, row, this.#sources![mark])
  }

  #settle(): boolean {
    if (this.#closed.size === 0) return false
    for (const [table, progress] of this.#closed) this.#told.set(table, progress)
    this.#closed.clear()
    this.#atBoundary = true
    return true
  }

  #endPart(reader: PartReader): void {
    const { table, leaf, to } = reader.part!
    this.#rows = undefined
    this.#busy.shift()
    this.#idle.push(reader)
    if (reader.rewritten) this.#giveUp(table)
    if (this.#rewritten.has(table.info)) return
    const open = this.#open.get(table)! - 1
    this.#open.set(table, open)
    const { filenode, oid } = leaf
    const progress = {
      ...this.#progress.get(table)!,
      leaf: oid,
      filenode,
      next: to,
      done: open === 0,
      rows: this.#tableRows,
    }
    this.#progress.set(table, progress)
    this.#closed.set(table, progress)
  }

  #giveUp(table: SnapshotTable): void {
    const { schema, table: name } = table.info
    this.#rewritten.add(table.info)
    this.#rest = this.#rest.filter(rest => rest.table !== table)
    this.#open.set(table, 0)
    const { id, filter } = this.#progress.get(table)!
    const progress = newProgress(table.info, id, { adHoc: false, blocking: false, filter })
    this.#closed.set(table, progress)
    this.#parts.log.warn(
      { table: `${schema}.${name}` },
      'was rewritten while the snapshot ran: it is read again beside the stream',
    )
  }

  #finish(rows: RowHandler): void {
    const table = this.#heldTable
    this.#heldTable = undefined
    if (table !== undefined) this.#emit(rows, table, this.#held.tuple, 'last')
    this.#settle()
    this.#atBoundary = true
    this.#reportAt = 0
    this.#report()
    const { log, tables } = this.#parts
    log.info({ tables: tables.length, rows: this.#count, bytes: this.#bytes }, 'snapshot is finished')
  }

  checkpoints(): SourceCheckpoint[] | undefined {
    if (!this.#atBoundary) return undefined
    const checkpoints = [...this.#told.values()].map(progress => progressCheckpoint(this.#parts.server, progress))
    this.#told.clear()
    return checkpoints
  }

  #report(): void {
    const { clock, report, tables } = this.#parts
    if (clock.monotonic() < this.#reportAt) return
    this.#reportAt = clock.monotonic() + REPORT_MS
    const open = [...this.#open.values()].filter(parts => parts > 0).length
    report({
      'snapshot tables': `${tables.length - open} of ${tables.length}`,
      'snapshot rows': `${this.#count}${open > 0 && this.#estimate > this.#count ? ` of about ${this.#estimate}` : ''}`,
      'snapshot bytes': this.#bytes,
    })
  }

  async close(): Promise<void> {
    await Promise.all([...this.#idle, ...this.#busy].map(reader => reader.close()))
    if (this.#keeper !== undefined) await closeClient(this.#keeper, this.#parts.clock)
  }
}

function sourcesOf(lsn: Lsn, xid: number, commitTime: number): Record<SnapshotMark, SnapshotSource> {
  const of = (snapshot: SnapshotMark): SnapshotSource => ({
    snapshot,
    lsn,
    lastCommitLsn: undefined,
    xid,
    commitTime,
    origin: undefined,
  })
  return {
    true: of('true'),
    first: of('first'),
    first_in_data_collection: of('first_in_data_collection'),
    last_in_data_collection: of('last_in_data_collection'),
    last: of('last'),
    incremental: of('incremental'),
  }
}
