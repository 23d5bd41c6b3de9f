import { type KtsError, randomId, type SourceCheckpoint } from '../../../runtime/api/index.ts'
import { type RowsToRead, rowsToRead } from '../snapshot-overrides.ts'
import type { TableInfo } from '../table-info.ts'
import type { LiveSnapshotParts } from './live-contract.ts'
import { LiveTable } from './live-table.ts'
import { included } from './plan.ts'
import { newProgress, progressCheckpoint, readProgress, type TableProgress } from './progress.ts'
import { snapshotTable } from './rows.ts'
import type { SnapshotSignal } from './signals.ts'

/** The tables that are read, or wait to be, in their order; what of them is to be committed, and who waits for that. */
export class LiveTables {
  readonly #parts: LiveSnapshotParts
  readonly #rowsToRead: RowsToRead
  #tables: LiveTable[] = []
  #byOid = new Map<number, LiveTable>()
  #paused: boolean
  /** Checkpoints that were not handed out yet. */
  #waiting: SourceCheckpoint[] = []
  #generation = 0
  readonly #issued = new WeakMap<SourceCheckpoint, number>()
  #acknowledge: { readonly generation: number; readonly resolve: () => void }[] = []

  constructor(parts: LiveSnapshotParts) {
    this.#parts = parts
    this.#rowsToRead = rowsToRead(parts.options)
    const { server, checkpoints, plan, random } = parts
    this.#paused = checkpoints.some(c => isPause(c, server) && c.position !== null)
    const known = readProgress(server, checkpoints)
    for (const info of plan.live)
      this.#enqueue(
        info,
        this.#resumed(
          info,
          known.find(p => p.of === info.oid && !p.adHoc),
        ),
      )
    for (const progress of known) if (progress.adHoc && !progress.done) this.#requested(progress)
    for (const info of plan.skipped) this.#finished({ ...newProgress(info, randomId(random)), done: true })
  }

  /** Where an earlier run left off, if its rows are told still and nothing that it owed was lost; else a new one. */
  #resumed(info: TableInfo, progress: TableProgress | undefined): TableProgress {
    const { generatedColumns } = this.#parts
    if (progress === undefined || progress.done) return this.#whole(info)
    const { exact } = new LiveTable(snapshotTable(info, generatedColumns), progress)
    return exact || progress.owed === 'lost' ? this.#anew(info, progress) : progress
  }

  /** The snapshot that every table has. */
  #whole(info: TableInfo, blocking = false): TableProgress {
    const filter = this.#rowsToRead(info)
    return newProgress(info, randomId(this.#parts.random), { adHoc: false, blocking, filter })
  }

  #anew(info: TableInfo, progress: TableProgress, blocking = progress.blocking): TableProgress {
    const { adHoc, filter, rows } = progress
    if (rows > 0) this.#parts.count('snapshot rows read again', rows)
    if (!adHoc) return this.#whole(info, blocking)
    return newProgress(info, randomId(this.#parts.random), { adHoc, blocking, filter })
  }

  #requested(progress: TableProgress): void {
    const info = this.#parts.tables().find(table => table.oid === progress.of)
    if (info === undefined) this.#finished({ ...progress, done: true })
    else if (!this.#byOid.has(info.oid)) this.#enqueue(info, this.#resumed(info, progress))
    // The whole of it is read anyway.
    else this.#finished({ ...progress, done: true })
  }

  #enqueue(info: TableInfo, progress: TableProgress): void {
    const table = new LiveTable(snapshotTable(info, this.#parts.generatedColumns), progress)
    this.#tables.push(table)
    this.#byOid.set(info.oid, table)
  }

  /** How far a table is, and how many wait. */
  facts(table: LiveTable): Record<string, string | number> {
    const isRead = this.has(table)
    const { estimate, name, progress } = table
    const about = isRead && estimate !== undefined ? ` of about ${Math.max(estimate, progress.rows)}` : ''
    return {
      'snapshot beside the stream': `${name}: ${progress.rows}${about} rows${isRead ? '' : ', finished'}`,
      'snapshot tables that wait': this.#tables.length - (isRead ? 1 : 0),
    }
  }

  of(oid: number): LiveTable | undefined {
    return this.#byOid.get(oid)
  }

  has(table: LiveTable): boolean {
    return this.#byOid.get(table.progress.of) === table
  }

  next(): LiveTable | undefined {
    return this.#paused ? undefined : this.#tables[0]
  }

  putLast(table: LiveTable): void {
    if (this.has(table)) this.#tables = [...this.#tables.filter(other => other !== table), table]
  }

  add(tables: readonly TableInfo[], streamed: readonly TableInfo[]): void {
    const { options, random } = this.#parts
    for (const info of streamed) this.#finished({ ...newProgress(info, randomId(random)), done: true })
    for (const info of tables.filter(included(options['snapshot.include.collection.list']))) {
      if (this.#byOid.has(info.oid)) continue
      if (options['snapshot.mode'] === 'no_data') this.#finished({ ...newProgress(info, randomId(random)), done: true })
      else this.#enqueue(info, this.#whole(info))
    }
  }

  /** From the beginning, under another id. */
  restart(table: LiveTable): void {
    table.restart(this.#anew(table.table.info, table.progress))
  }

  /** Rows are chosen by a condition of an earlier configuration. */
  hasOldCondition({ progress, table }: LiveTable): boolean {
    const { adHoc, filter } = progress
    return !adHoc && filter !== undefined && filter !== this.#rowsToRead(table.info)
  }

  /** From the beginning, since the one before failed: whoever has mended it expects that it is followed. */
  followNewCondition(table: LiveTable, error: KtsError): void {
    const message = `the table is read anew, by the condition that is configured now: ${error.message}`
    this.#parts.log.warn({ table: table.name }, message)
    this.restart(table)
  }

  /** From the beginning, as of one place at which the stream waits: that ends, however fast the table changes. */
  readExactly(table: LiveTable): void {
    this.#parts.log.warn(
      { table: table.name, rows: table.progress.rows },
      'more rows change without their large values than can be read by key: the table is read again, and the stream waits for it',
    )
    table.restart(this.#anew(table.table.info, table.progress, true))
  }

  finish(table: LiveTable): void {
    if (!this.giveUp(table)) return
    this.#parts.log.info({ table: table.name, rows: table.progress.rows }, 'snapshot beside the stream is finished')
  }

  /** It is captured no more: its checkpoint goes. */
  forget(oid: number): void {
    const table = this.#byOid.get(oid)
    if (table === undefined) return
    this.#remove(table)
    const { partition } = progressCheckpoint(this.#parts.server, table.progress)
    this.#waiting.push({ partition, position: null })
  }

  /** It cannot be read as was asked for: not tried again. */
  giveUp(table: LiveTable): boolean {
    if (!this.#remove(table)) return false
    this.#finished({ ...table.state(), done: true, owed: [] })
    return true
  }

  #finished(progress: TableProgress): void {
    this.#waiting.push(progressCheckpoint(this.#parts.server, progress))
  }

  #remove(table: LiveTable): boolean {
    if (!this.has(table)) return false
    this.#byOid.delete(table.progress.of)
    this.#tables = this.#tables.filter(other => other !== table)
    return true
  }

  /** Answers in a sentence what is done. */
  follow(id: string, request: SnapshotSignal): string {
    switch (request.kind) {
      case 'execute':
        return this.#execute(id, request)
      case 'stop': {
        const asked = request.tables
        const stopped = this.#tables.filter(
          table => table.progress.adHoc && (asked === 'all' || asked.some(({ oid }) => oid === table.progress.of)),
        )
        for (const table of stopped) if (this.#remove(table)) this.#finished({ ...table.state(), done: true })
        return stopped.length === 0 ? 'no snapshot that was asked for is running' : `stopped: ${names(stopped)}`
      }
      case 'pause':
      case 'resume':
        return this.#pause(request.kind === 'pause')
      case 'log':
        this.#parts.log.info({ signal: id }, request.text)
        return 'written to the log'
    }
  }

  #execute(id: string, request: SnapshotSignal & { kind: 'execute' }): string {
    const { random } = this.#parts
    const taken: LiveTable[] = []
    const busy: string[] = []
    for (const { info, filter } of request.tables) {
      if (this.#byOid.has(info.oid)) {
        busy.push(`${info.schema}.${info.table}`)
        continue
      }
      const { blocking } = request
      this.#enqueue(info, newProgress(info, `${id}-${randomId(random)}`, { adHoc: true, blocking, filter }))
      taken.push(this.#byOid.get(info.oid)!)
    }
    const exact = taken.filter(table => table.exact)
    const said = [
      ...(taken.length > 0 ? [`will read ${names(taken)}${this.#paused ? ' once snapshots are resumed' : ''}`] : []),
      ...(exact.length > 0 ? [`the stream waits while ${names(exact)} is read`] : []),
      ...(busy.length > 0 ? [`already being read: ${busy.join(', ')}`] : []),
    ]
    return said.join('; ')
  }

  #pause(paused: boolean): string {
    this.#paused = paused
    const partition = { server: this.#parts.server, snapshots: 'paused' }
    this.#waiting.push({ partition, position: paused ? { paused } : null })
    return paused ? 'snapshots beside the stream pause behind the chunk in hand' : 'snapshots beside the stream go on'
  }

  get changedState(): boolean {
    return this.#waiting.length > 0 || this.#tables.some(table => table.changedState)
  }

  checkpoints(): SourceCheckpoint[] {
    const issued = this.#waiting
    this.#waiting = []
    for (const table of this.#tables) {
      if (!table.changedState) continue
      table.changedState = false
      issued.push(progressCheckpoint(this.#parts.server, this.#stateOf(table)))
    }
    if (issued.length === 0) return issued
    this.#generation++
    for (const checkpoint of issued) this.#issued.set(checkpoint, this.#generation)
    return issued
  }

  /** Keys in their binary form mean nothing to a run that has gone over to text. */
  #stateOf(table: LiveTable): TableProgress {
    const state = table.state()
    return this.#parts.binary && state.owed.length > 0 ? { ...state, owed: 'lost' } : state
  }

  /** Resolves once everything that is to be written down now is committed. */
  durable(): Promise<void> {
    if (!this.changedState) return Promise.resolve()
    const generation = this.#generation + 1
    this.#parts.wake()
    return new Promise(resolve => this.#acknowledge.push({ generation, resolve }))
  }

  committed(checkpoints: readonly SourceCheckpoint[]): void {
    const newest = Math.max(0, ...checkpoints.map(checkpoint => this.#issued.get(checkpoint) ?? 0))
    for (const { generation, resolve } of this.#acknowledge) if (generation <= newest) resolve()
    this.#acknowledge = this.#acknowledge.filter(({ generation }) => generation > newest)
  }
}

function isPause({ partition }: SourceCheckpoint, server: string): boolean {
  return partition.server === server && partition.snapshots === 'paused'
}

function names(tables: readonly LiveTable[]): string {
  return tables.map(table => table.name).join(', ')
}
