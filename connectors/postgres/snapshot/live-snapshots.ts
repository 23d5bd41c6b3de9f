import {
  errorMessage,
  randomId,
  reactionTo,
  type SourceCheckpoint,
  sleep,
  type TaskSignal,
} from '../../../runtime/api/index.ts'
import type { CommittedTransaction, LogicalMessage, OldRow } from '../changes.ts'
import type { Lsn } from '../lsn.ts'
import type { Relation } from '../relation.ts'
import { serverError } from '../server-error.ts'
import type { TableInfo } from '../table-info.ts'
import type { Tuple } from '../tuple.ts'
import { BlockingSnapshot } from './blocking-snapshot.ts'
import { DeniedTables, isDenied } from './denied-tables.ts'
import type { LiveSnapshotParts, LiveSnapshots } from './live-contract.ts'
import { LiveReader, type Reading, type ReadOutcome } from './live-reader.ts'
import type { LiveTable } from './live-table.ts'
import { LiveTables } from './live-tables.ts'
import type { RowHandler } from './rows.ts'
import { SignalTable } from './signal-table.ts'
import { type SnapshotSignal, snapshotSignal } from './signals.ts'
import { SnapshotView, ToldTransactions } from './told-transactions.ts'
import { newUnder, type Under } from './under.ts'
import { watermarkOf } from './watermark.ts'

const REPORT_MS = 1000
const LOOK_MS = 5
/** Before a chunk is read again that lacked a commit: at once as a rule, but a standby that is away may hold one for hours. */
const UNSEEN_MS = 20
/** Before a chunk is read again whose connection was cut; and how often in a row before the task begins anew. */
const CUT_MS = 100
const CUTS_MAX = 10
/** How soon a table is tried again that may not be read. */
const DENIED_MS = 5000

export async function openLiveSnapshots(parts: LiveSnapshotParts): Promise<LiveSnapshots> {
  const live = new Live(parts)
  live.start()
  return live
}

/**
 * One table at a time, chunk by chunk: a low watermark into the stream, rows read, a high watermark. When the stream brings
 * the high one, the rows whose keys it did not bring since the low one are as they are at this place, and are told.
 */
class Live implements LiveSnapshots {
  readonly #parts: LiveSnapshotParts
  readonly #tables: LiveTables
  readonly #reader: LiveReader
  readonly #signals: SignalTable
  readonly #told = new ToldTransactions()
  readonly #denied: DeniedTables
  #transaction: CommittedTransaction | undefined
  #under: Under | undefined
  #blocking: BlockingSnapshot | undefined
  #error: unknown
  #closed = false
  /** Readings in a row that a cut ended. */
  #cuts = 0
  #work: () => void = () => undefined
  #driving: Promise<void> = Promise.resolve()
  #reportAt = 0

  constructor(parts: LiveSnapshotParts) {
    this.#parts = parts
    this.#denied = new DeniedTables(parts)
    this.#tables = new LiveTables(parts)
    this.#reader = new LiveReader({ ...parts, chunkRows: parts.options['incremental.snapshot.chunk.size'] })
    this.#signals = new SignalTable(parts.options)
  }

  start(): void {
    this.#driving = this.#drive().catch(error => {
      if (this.#closed) return
      this.#error = error
      this.#parts.wake()
    })
  }

  begin(transaction: CommittedTransaction): void {
    this.#transaction = transaction
    this.#told.add(transaction.xid)
    this.#blocking?.passed(transaction.commitLsn)
    const under = this.#under
    if (under?.held !== true || under.due || under.reading === undefined) return
    if (!new SnapshotView(under.reading.chunk.snapshot).sees(transaction.xid)) this.#due(under)
  }

  changed(relation: Relation, old: OldRow | undefined, row: Tuple | undefined): void {
    if (old === undefined && row !== undefined) this.#signalRow(relation, row)
    this.#tables.of(relation.oid)?.changed(relation, old, row, this.#transaction!.commitLsn)
  }

  leftOut(relation: Relation, old: OldRow | undefined, row: Tuple): void {
    this.#tables.of(relation.oid)?.leftOut(relation, old, row)
  }

  truncated(relations: readonly Relation[]): void {
    for (const { oid } of relations) this.#tables.of(oid)?.truncated(this.#transaction!.commitLsn)
  }

  message(message: LogicalMessage): void {
    const mark = watermarkOf(message)
    const under = this.#under
    if (mark === undefined || under === undefined || mark.id !== under.id || under.held) return
    if (mark.kind === 'low') {
      under.lowAt = this.#told.count
      under.table.openWindow()
      return
    }
    const { table, reading, lowAt } = under
    // No DDL or TRUNCATE lies between the reading and this: its transaction holds the lock until here.
    if (mark.kind !== 'high' || reading === undefined) return
    const isUnseen = lowAt === undefined || this.#told.anyUnseen(reading.chunk.snapshot, lowAt)
    if (!isUnseen && this.#tables.has(table)) {
      this.#due(under)
      return
    }
    if (isUnseen) this.#unseen(under)
    table.closeWindow()
    under.settle()
  }

  #unseen(under: Under): void {
    under.unseen = true
    this.#parts.count('snapshot chunks read again')
  }

  #due(under: Under): void {
    const { xid, commitTime, commitLsn: lsn } = this.#transaction!
    under.source = { snapshot: 'incremental', lsn, lastCommitLsn: undefined, xid, commitTime, origin: undefined }
    under.due = true
  }

  get #waits(): boolean {
    return this.#under?.held === true && this.#under.reading === undefined
  }

  get ready(): boolean {
    return this.#error !== undefined || this.#under?.due === true || this.#waits || this.#blocking?.holds === true
  }

  async read(rows: RowHandler, signal: AbortSignal): Promise<void> {
    if (this.#error !== undefined) throw serverError(this.#error, 'snapshot beside the stream')
    if (this.#under?.due === true) this.#tell(this.#under, rows)
    else if (this.#blocking?.holds === true) await this.#blocking.read(rows, signal)
    else if (this.#waits) await sleep(this.#parts.clock, LOOK_MS, signal)
  }

  #tell(under: Under, rows: RowHandler): void {
    const { table, source } = under
    const { chunk } = under.reading!
    while (!rows.full) {
      const row = chunk.next()
      if (row === undefined) {
        if (chunk.asked !== undefined) {
          table.settle(chunk.asked)
          table.stalled = table.owed >= under.owed
          this.#parts.count('snapshot rows read by key', under.told)
        }
        table.closeWindow()
        if (under.dropped > 0) this.#parts.count('snapshot rows changed while they were read', under.dropped)
        this.#reader.advance(table, under.reading!, under.told)
        if (table.leaves?.length === 0 && table.owed === 0) this.#tables.finish(table)
        under.due = false
        under.settle()
        this.#report(table)
        return
      }
      if (!table.tells(row)) {
        under.dropped++
        continue
      }
      under.told++
      rows.row(chunk.table, row, source!)
    }
  }

  checkpoints(): SourceCheckpoint[] | undefined {
    if (this.#under?.due === true && this.#under.told > 0) return undefined
    return this.#tables.checkpoints()
  }

  get changedState(): boolean {
    return this.#tables.changedState
  }

  committed(checkpoints: readonly SourceCheckpoint[]): void {
    this.#tables.committed(checkpoints)
  }

  async signal(signal: TaskSignal): Promise<string> {
    const request = snapshotSignal(signal, this.#parts.tables())
    if (request.kind === 'execute') {
      const checker = new LiveReader({ ...this.#parts, chunkRows: 1 })
      try {
        await checker.checkPrimary()
        for (const { info, filter } of request.tables) {
          if (filter !== undefined) await checker.checkFilter(info, filter)
        }
      } finally {
        await checker.close()
      }
    }
    const answer = this.#follow(signal.id, request)
    await this.#tables.durable()
    return answer
  }

  #signalRow(relation: Relation, row: Tuple): void {
    const signal = this.#signals.read(relation, row)
    if (signal === undefined) return
    const { log, tables } = this.#parts
    try {
      const asked = typeof signal === 'string' ? signal : this.#follow(signal.id, snapshotSignal(signal, tables()))
      if (typeof signal === 'string') log.warn({}, `a row of the signal table is no signal: ${asked}`)
      else log.info({ signal: signal.id }, asked)
    } catch (error) {
      log.warn({}, `a row of the signal table cannot be followed: ${errorMessage(error)}`)
    }
  }

  #follow(id: string, request: SnapshotSignal): string {
    const answer = this.#tables.follow(id, request)
    this.#drop()
    this.#work()
    return answer
  }

  /** What was read of a table that is not wanted any more is dropped, unless it is half told. */
  #drop(): void {
    const under = this.#under
    if (under !== undefined && under.told === 0 && !this.#tables.has(under.table)) {
      under.due = false
      under.table.closeWindow()
      if (under.reading !== undefined) under.settle()
    }
    const blocking = this.#blocking
    if (blocking !== undefined && !this.#tables.has(blocking.table)) blocking.giveUp()
  }

  forget(tables: readonly TableInfo[]): void {
    for (const { oid } of tables) this.#tables.forget(oid)
    this.#drop()
    this.#work()
  }

  add(tables: readonly TableInfo[], streamed: readonly TableInfo[]): void {
    this.#tables.add(tables, streamed)
    this.#work()
  }

  async #drive(): Promise<void> {
    while (!this.#closed) {
      const table = this.#tables.next()
      if (table === undefined) {
        await new Promise<void>(resolve => {
          this.#work = resolve
          if (this.#closed || this.#tables.next() !== undefined) resolve()
        })
        continue
      }
      try {
        await (table.exact ? this.#readBlocking(table) : this.#readBeside(table))
      } catch (cause) {
        const error = serverError(cause, `snapshot of ${table.name}`)
        if (!this.#closed && isDenied(error)) {
          await this.#waitForRight(table, error)
          continue
        }
        if (!this.#closed && reactionTo(error) !== 'retry' && this.#tables.hasOldCondition(table)) {
          await this.#leave(table)
          this.#tables.followNewCondition(table, error)
          continue
        }
        // A condition that a signal brought (it may fail on some row only) must not stop the stream for good.
        const isRequest = table.progress.adHoc && table.progress.filter !== undefined && reactionTo(error) !== 'retry'
        if (!isRequest || this.#closed) throw error
        this.#parts.log.error({ table: table.name }, `the snapshot that was asked for is given up: ${error.message}`)
        this.#tables.giveUp(table)
        await this.#leave(table)
      }
    }
  }

  /** A right that one table lacks must not stop the stream of all: the others come first, and it is tried again. */
  async #waitForRight(table: LiveTable, error: unknown): Promise<void> {
    await this.#leave(table)
    this.#denied.add(table, error)
    this.#tables.putLast(table)
    const next = this.#tables.next()
    if (next !== undefined && !this.#denied.has(next)) return
    const again = new AbortController()
    this.#work = () => again.abort()
    if (!this.#closed) await sleep(this.#parts.clock, DENIED_MS, again.signal)
  }

  /** Reading it has failed. */
  async #leave(table: LiveTable): Promise<void> {
    this.#under = undefined
    table.closeWindow()
    await this.#reader.close()
  }

  async #readBeside(table: LiveTable): Promise<void> {
    if (table.overflowed) {
      this.#tables.readExactly(table)
      return
    }
    let settle: () => void = () => undefined
    const settled = new Promise<void>(resolve => {
      settle = resolve
    })
    table.stalled &&= table.owed > 0
    const under = newUnder(table, randomId(this.#parts.random), settle)
    this.#under = under
    const reading = this.#reader.read(table, under.id, read => this.#take(under, read))
    const outcome = await reading.catch(error => this.#afterCut(under, error))
    if (outcome === 'given') {
      this.#cuts = 0
      await settled
    } else table.closeWindow()
    this.#under = undefined
    if (outcome === 'nothing') this.#tables.finish(table)
    else if (outcome === 'gone') this.#tables.forget(table.progress.of)
    else if (outcome === 'rewritten' || table.exact) this.#tables.restart(table)
    if (!this.#tables.has(table)) this.#report(table)
    if (under.unseen) await sleep(this.#parts.clock, UNSEEN_MS)
  }

  /** A connection of the reading's own was cut: that alone is made anew, for a smaller chunk, and the stream goes on. */
  async #afterCut(under: Under, error: unknown): Promise<ReadOutcome> {
    const told = serverError(error, `snapshot of ${under.table.name}`)
    if (this.#closed || told.code !== 'RETRIABLE' || this.#cuts >= CUTS_MAX) throw told
    this.#cuts++
    this.#parts.log.debug(
      { table: under.table.name },
      `a smaller chunk is read, since the connection was cut: ${told.message}`,
    )
    await this.#reader.shrink(under.table)
    // The stream has brought the high watermark: what was read is told.
    if (under.due) return 'given'
    this.#under = undefined
    under.table.closeWindow()
    await sleep(this.#parts.clock, CUT_MS)
    return 'again'
  }

  #take(under: Under, reading: Reading): boolean {
    if (!this.#tables.has(under.table)) return false
    // The stream has waited: what it told is told already, seen or not.
    if (under.held && this.#told.anyUnseen(reading.chunk.snapshot, this.#told.count)) {
      this.#unseen(under)
      return false
    }
    under.reading = reading
    return true
  }

  async #readBlocking(table: LiveTable): Promise<void> {
    // It was rewritten while it was read.
    if (table.progress.rows > 0) this.#tables.restart(table)
    const lastCommit = (): Lsn => this.#transaction?.commitLsn ?? 0
    const blocking = new BlockingSnapshot({
      ...this.#parts,
      live: table,
      lastCommit,
      client: () => this.#reader.client(),
    })
    this.#blocking = blocking
    try {
      const outcome = await blocking.run()
      if (outcome === 'finished') this.#tables.finish(table)
      else if (outcome === 'gone') this.#tables.forget(table.progress.of)
      if (!this.#tables.has(table)) this.#report(table)
    } finally {
      this.#blocking = undefined
      await blocking.close()
    }
  }

  #report(table: LiveTable): void {
    const { clock, report } = this.#parts
    if (clock.monotonic() < this.#reportAt && this.#tables.has(table)) return
    this.#reportAt = clock.monotonic() + REPORT_MS
    report(this.#tables.facts(table))
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#work()
    this.#under?.settle()
    await this.#blocking?.close()
    await this.#reader.close()
    await this.#driving.catch(() => undefined)
    await this.#reader.close()
  }
}
