import type pg from 'pg'
import type { Clock, Timer } from '../../../runtime/api/index.ts'
import { closeClient } from '../connection.ts'
import { CopyStream, type Lump } from '../copy-stream.ts'
import { serverError } from '../server-error.ts'
import type { RowsToRead } from '../snapshot-overrides.ts'
import { beginPart, checkCondition, copyPart, type Leaf } from './leaves.ts'
import type { Place } from './place.ts'
import type { NeededColumns, SnapshotTable } from './rows.ts'

/** A span of a leaf, the unit of work and of progress. */
export interface Part {
  readonly table: SnapshotTable
  readonly leaf: Leaf
  readonly from: Place
  readonly to: Place
}

export interface PartReaderOptions {
  readonly snapshot: string
  readonly binary: boolean
  readonly rowsToRead: RowsToRead | undefined
  readonly needed: NeededColumns | undefined
  readonly clock: Clock
}

const WAIT_MS = 1000
/** So long nobody asks for more, as when the log's disk is full: the part is read to its end, since DDL waits for its lock. */
const STALLED_MS = 5_000
/** What it may wait with in memory then. */
const AHEAD_BYTES = 16 << 20
const UNDEFINED_COLUMN = '42703'

/**
 * One connection, which reads part after part of an exported snapshot. Of a part whose turn has not come the server gives as
 * much as there is room for on the way, and waits then.
 */
export class PartReader {
  readonly #client: pg.Client
  readonly #options: PartReaderOptions
  #copy: CopyStream | undefined
  #ahead: Lump[] = []
  #aheadBytes = 0
  #given: Mutable<Lump> | undefined
  #stalled: Timer | undefined
  #pump: Promise<void> | undefined
  #begun: Promise<void> = Promise.resolve()
  #isTurn = false
  #fills = false
  #ended = false
  #error: unknown
  part: Part | undefined
  /** The leaf was rewritten or dropped since the snapshot: its rows are not there to be read. */
  rewritten = false

  constructor(client: pg.Client, options: PartReaderOptions) {
    this.#client = client
    this.#options = options
  }

  start(part: Part): void {
    this.part = part
    this.#ahead = []
    this.#aheadBytes = 0
    this.#given = undefined
    this.#isTurn = false
    this.#fills = false
    this.#ended = false
    this.rewritten = false
    this.#begun = this.#begin(part)
    this.#pump = this.#begun.catch(error => {
      this.#error = error
    })
    this.#watch()
  }

  /** Takes what comes of the part before its turn, as far as the stream has room for it. */
  fill(): void {
    if (this.#fills) return
    this.#fills = true
    this.#begun.then(() => this.#copy?.fill()).catch(() => undefined)
  }

  async #begin(part: Part): Promise<void> {
    const { snapshot, binary, rowsToRead, needed, clock } = this.#options
    const filter = rowsToRead?.(part.table.info)
    const view = await beginPart(this.#client, part.leaf, snapshot)
    if (view === undefined || view.seen !== view.filenode) {
      if (view !== undefined) await this.#client.query('ROLLBACK')
      this.rewritten = true
      this.#ended = true
      return
    }
    const isLast = part.to >= part.leaf.end
    const span = { from: part.from, to: isLast ? undefined : part.to }
    const sql = copyPart(part.table, part.leaf, span, { binary, filter, needed })
    try {
      this.#copy = await CopyStream.begin(this.#client, sql, { clock, both: false })
    } catch (error) {
      // A column was dropped or renamed: the snapshot is older than the definition that the server reads by.
      const { sqlState } = serverError(error, 'reading').details ?? {}
      if (sqlState !== UNDEFINED_COLUMN) throw error
      await this.#client.query('ROLLBACK')
      if (filter !== undefined) await checkCondition(this.#client, part.table.info, filter)
      this.rewritten = true
      this.#ended = true
    }
  }

  async #readAhead(): Promise<void> {
    while (!this.#isTurn && !this.#ended && this.#error === undefined && this.#aheadBytes < AHEAD_BYTES) {
      const lump = await this.#pull()
      if (lump === undefined || lump.count === 0) continue
      const copy = copyOf(lump)
      this.#ahead.push(copy)
      this.#aheadBytes += copy.bytes.length
    }
  }

  /** The next rows of the part, whose turn it is now; undefined at its end. Valid until the next call. */
  async next(): Promise<Lump | undefined> {
    this.#stalled?.cancel()
    const lump = await this.#next()
    if (lump === undefined || this.#ended) return lump
    this.#given = { ...lump }
    this.#watch()
    return this.#given
  }

  #watch(): void {
    this.#stalled = this.#options.clock.timer(STALLED_MS, () => this.#readRest())
  }

  #readRest(): void {
    // What was given lies where the next rows will.
    if (this.#given !== undefined) Object.assign(this.#given, copyOf(this.#given))
    this.#isTurn = false
    this.#pump = Promise.resolve(this.#pump)
      .then(() => this.#readAhead())
      .catch(error => {
        this.#error = error
      })
  }

  async #next(): Promise<Lump | undefined> {
    this.#isTurn = true
    if (this.#ahead.length === 0) {
      await this.#pump
      this.#pump = undefined
    }
    const read = this.#ahead.shift()
    if (read !== undefined) {
      this.#aheadBytes -= read.bytes.length
      return read
    }
    if (this.#error !== undefined) {
      const { schema, table } = this.part!.table.info
      throw serverError(this.#error, `snapshot of ${schema}.${table}`)
    }
    while (!this.#ended) {
      const lump = await this.#pull()
      if (lump !== undefined && lump.count > 0) return lump
    }
    return undefined
  }

  async #pull(): Promise<Lump | undefined> {
    const lump = await this.#copy!.next(WAIT_MS)
    if (lump !== undefined) return lump
    this.#ended = true
    this.#copy = undefined
    // Nothing depends on it: the rows are here, and a connection that is gone is noticed by the next part.
    this.#client.query('COMMIT').catch(() => undefined)
    return undefined
  }

  /** Cuts the connection. */
  async close(): Promise<void> {
    this.#stalled?.cancel()
    this.#isTurn = true
    await this.#begun.catch(() => undefined)
    await this.#copy?.close().catch(() => undefined)
    await this.#pump
    await closeClient(this.#client, this.#options.clock)
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

function copyOf({ bytes, count, starts, ends }: Lump): Lump {
  const start = starts[0]!
  return {
    bytes: Buffer.from(bytes.subarray(start, ends[count - 1])),
    count,
    starts: starts.slice(0, count).map(at => at - start),
    ends: ends.slice(0, count).map(at => at - start),
  }
}
