import type pg from 'pg'
import { type Clock, type Logger, type Random, randomId, sleep } from '../../../runtime/api/index.ts'
import { closeClient } from '../connection.ts'
import type { Lsn } from '../lsn.ts'
import type { TableInfo } from '../table-info.ts'
import { exactPlace } from './exact-place.ts'
import { type InitialSnapshot, type InitialSnapshotParts, openInitialSnapshot } from './initial-snapshot.ts'
import type { LiveTable } from './live-table.ts'
import { type NeededColumns, type RowHandler, snapshotTable } from './rows.ts'
import { emitWatermark } from './watermark.ts'

export interface BlockingSnapshotParts {
  readonly connect: () => Promise<pg.Client>
  readonly replication: () => Promise<pg.Client>
  readonly table: (oid: number) => Promise<TableInfo | undefined>
  /** Of the reader, for watermarks. */
  readonly client: () => Promise<pg.Client>
  readonly live: LiveTable
  /** Of the transaction that the stream tells, or told last. */
  readonly lastCommit: () => Lsn
  readonly server: string
  readonly options: InitialSnapshotParts['options']
  readonly binary: boolean
  readonly generatedColumns: boolean
  readonly needed?: NeededColumns | undefined
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly wake: () => void
  readonly count: (name: string, by?: number) => void
}

/** `again`: the table was rewritten meanwhile, or this was closed. */
export type BlockingOutcome = 'finished' | 'again' | 'gone'

/** How long the stream waits for a place that comes at once, unless transactions are under way; then twice as long. */
const HOLD_MS = 10_000
const LOOK_MS = 20

/**
 * A table as of one exact place of the stream, which waits there: without a key, a row that was read and a change of it
 * cannot be told apart. The place comes while the stream goes on; where it has told a change of the table behind the place,
 * it is held for the next try.
 */
export class BlockingSnapshot {
  readonly #parts: BlockingSnapshotParts
  #place: Lsn | undefined
  #held = false
  #closed = false
  #reached = false
  #snapshot: InitialSnapshot | undefined
  #begun = false
  #replication: pg.Client | undefined
  #finish: (outcome: BlockingOutcome) => void = () => undefined
  #fail: (error: unknown) => void = () => undefined
  readonly #outcome: Promise<BlockingOutcome>

  constructor(parts: BlockingSnapshotParts) {
    this.#parts = parts
    this.#outcome = new Promise((resolve, reject) => {
      this.#finish = resolve
      this.#fail = reject
    })
    // Nobody may wait for it when it goes wrong.
    this.#outcome.catch(() => undefined)
  }

  get table(): LiveTable {
    return this.#parts.live
  }

  /** The stream waits for `read`. */
  get holds(): boolean {
    return this.#held || this.#reached
  }

  /** A transaction begins in the stream. */
  passed(commitLsn: Lsn): void {
    if (this.#place !== undefined && commitLsn >= this.#place) this.#reached = true
  }

  async run(): Promise<BlockingOutcome> {
    const { live, log, generatedColumns } = this.#parts
    const info = await this.#parts.table(live.progress.of)
    if (info === undefined) return 'gone'
    live.redefine(snapshotTable(info, generatedColumns))
    log.info({ table: live.name }, 'the stream will wait while this table is read')
    for (let attempt = 0; !(await this.#open(attempt)); attempt++) if (this.#closed) return 'again'
    // An idle stream comes to the place by this.
    await emitWatermark(await this.#parts.client(), { kind: 'place', id: randomId(this.#parts.random) })
    this.#parts.wake()
    return this.#outcome
  }

  /** False when the stream has told changes behind the place, which the rows would take back. */
  async #open(attempt: number): Promise<boolean> {
    const { live, random, lastCommit, clock } = this.#parts
    const replication = await this.#parts.replication()
    this.#replication = replication
    try {
      const timer = attempt === 0 ? undefined : this.#hold(HOLD_MS * 2 ** (attempt - 1))
      const { lsn, snapshotName } = await exactPlace(replication, random).finally(() => timer?.cancel())
      if (this.#closed || live.lastChange >= lsn) return false
      this.#place = lsn
      this.passed(lastCommit())
      const parts = {
        ...this.#parts,
        tables: [live.table.info],
        rowsToRead: () => live.progress.filter,
        report: () => undefined,
      }
      this.#snapshot = await openInitialSnapshot({ ...parts, lsn, snapshotName })
      return true
    } catch (error) {
      if (this.#closed) return false
      throw error
    } finally {
      this.#held = false
      this.#replication = undefined
      await closeClient(replication, clock)
    }
  }

  #hold(ms: number): { cancel(): void } {
    const { live, log, count, wake, clock } = this.#parts
    log.info(
      { table: live.name },
      `the table changes fast: the stream waits up to ${ms / 1000} s for a place to read it at`,
    )
    count('snapshot places held')
    this.#held = true
    wake()
    return clock.timer(ms, () => {
      this.#held = false
    })
  }

  async read(rows: RowHandler, signal: AbortSignal): Promise<void> {
    if (this.#snapshot === undefined) {
      await sleep(this.#parts.clock, LOOK_MS, signal)
      return
    }
    this.#begun = true
    let told = 0
    const counted: RowHandler = {
      get full() {
        return rows.full
      },
      row(table, row, source) {
        told++
        rows.row(table, row, source)
      },
    }
    try {
      const outcome = await this.#snapshot.read(counted, signal)
      this.#parts.live.told(told)
      if (outcome === 'more') return
      this.#finish(this.#snapshot.rewritten.length === 0 ? 'finished' : 'again')
    } catch (error) {
      this.#fail(error)
    }
    this.#letGo()
  }

  /** Nothing of it is told, unless some of it was. */
  giveUp(): void {
    if (this.#begun) return
    this.#closed = true
    this.#letGo()
    this.#finish('again')
    if (this.#replication !== undefined) void closeClient(this.#replication, this.#parts.clock)
  }

  #letGo(): void {
    this.#reached = false
    this.#held = false
    this.#place = undefined
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#finish('again')
    if (this.#replication !== undefined) await closeClient(this.#replication, this.#parts.clock)
    await this.#snapshot?.close()
  }
}
