import { isDeepStrictEqual } from 'node:util'
import type pg from 'pg'
import { type Clock, KtsError, type Logger, sleep } from '../../../runtime/api/index.ts'
import { closeClient } from '../connection.ts'
import type { TableInfo } from '../table-info.ts'
import { Chunk } from './chunk.ts'
import {
  beginPart,
  checkCondition,
  copyPart,
  type Leaf,
  leavesOf,
  quoteIdentifier,
  spanOf,
  writersOf,
} from './leaves.ts'
import type { LiveTable } from './live-table.ts'
import type { Place } from './place.ts'
import { type NeededColumns, snapshotTable } from './rows.ts'
import { emitWatermark } from './watermark.ts'

export interface LiveReaderParts {
  readonly connect: () => Promise<pg.Client>
  readonly table: (oid: number) => Promise<TableInfo | undefined>
  readonly binary: boolean
  readonly generatedColumns: boolean
  readonly needed?: NeededColumns | undefined
  readonly chunkRows: number
  readonly clock: Clock
  readonly log: Logger
}

/** What was read, and how far the table is once it is told. */
export interface Reading {
  readonly chunk: Chunk
  readonly leaf: Leaf | undefined
  readonly to: Place
}

/**
 * `given`: rows were. `nothing`: all is read. `again`: ask again, the table was looked at anew. `rewritten`, `gone`: the
 * table is, or has another key.
 */
export type ReadOutcome = 'given' | 'nothing' | 'again' | 'rewritten' | 'gone'

/** Takes what was read, before the stream can bring the high watermark; false when it is of no use. */
export type Give = (reading: Reading) => boolean

/** How often it is looked whether transactions are over. */
const WRITERS_MS = 100
/** A standby that takes longer to answer is told of. */
const STANDBY_MS = 10_000
/** Table bytes of a chunk, about; and what is in memory at most, but for a single row. */
const CHUNK_BYTES = 4 << 20
const CHUNK_BYTES_MAX = 8 << 20
/** Of the first chunk behind a start: where connections are cut often, a larger one would never be whole. */
const FIRST_CHUNK_BYTES = 64 << 10
const LEAST_CHUNK_BYTES = 8 << 10
/** Rows that are read by key at a time. */
const KEYS_MAX = 500
/** So many rows may wait to be read by key before some are read in between. */
const KEYS_WAITING = 5000

/** Reads the next rows of a table beside the stream, behind a low watermark. One connection. */
export class LiveReader {
  readonly #parts: LiveReaderParts
  /** Transactions that are to end before a table is begun. */
  readonly #writers = new WeakMap<LiveTable, readonly string[]>()
  /** A chunk's table bytes at most, about: twice as many behind each one that was read. */
  #chunkBytes = FIRST_CHUNK_BYTES
  #client: pg.Client | undefined
  #behindCommits = false

  constructor(parts: LiveReaderParts) {
    this.#parts = parts
  }

  async client(): Promise<pg.Client> {
    this.#client ??= await this.#parts.connect()
    return this.#client
  }

  /** Throws CONFIG_INVALID on a standby, which takes no watermarks. */
  async checkPrimary(): Promise<void> {
    const { rows } = await (await this.client()).query<{ standby: boolean }>('SELECT pg_is_in_recovery() AS standby')
    if (rows[0]?.standby !== true) return
    const message =
      'signal execute-snapshot: expected the primary, got a standby, into whose stream no watermarks can be written; connect to the primary, or read the table by a connector with snapshot.mode initial_only'
    throw new KtsError('CONFIG_INVALID', message)
  }

  /** Throws CONFIG_INVALID where the server does not take it as a condition on the table. */
  async checkFilter(info: TableInfo, filter: string): Promise<void> {
    await checkCondition(await this.client(), info, filter)
  }

  /**
   * Takes the stretch of the table that is next, or rows that are owed, and writes the high watermark in the transaction that
   * has read them: it keeps DDL away, so that the rows fit what the stream tells at that place.
   */
  async read(table: LiveTable, id: string, give: Give): Promise<ReadOutcome> {
    const client = await this.client()
    await this.#passCommits(client)
    table.begun = true
    if (table.leaves === undefined) {
      const outcome = await this.#begin(client, table)
      if (outcome !== undefined) return outcome
    }
    const [leaf] = table.leaves!
    // In turns, or the table would stand still where it changes as fast as it is read.
    const isTurn = leaf === undefined ? table.owed > 0 : table.owed >= KEYS_WAITING && !table.readByKey
    const byKey = table.stalled || isTurn
    table.readByKey = byKey
    if (byKey) return this.#readKeys(client, table, id, give)
    return leaf === undefined ? 'nothing' : this.#readSpan(client, table, { leaf, id, give })
  }

  /**
   * An earlier run may have told a commit that still waits for a synchronous standby, and is not visible before. A commit
   * waits behind it in the server's queue, whatever our role is set to. (Those of this run ToldTransactions knows.)
   */
  async #passCommits(client: pg.Client): Promise<void> {
    if (this.#behindCommits) return
    await client.query('BEGIN; SET LOCAL synchronous_commit = remote_apply')
    await emitWatermark(client, { kind: 'place', id: 'begin' })
    const { clock, log } = this.#parts
    const waits = clock.timer(STANDBY_MS, () =>
      log.warn({}, 'reading tables beside the stream waits for a synchronous standby (synchronous_standby_names)'),
    )
    try {
      await client.query('COMMIT')
    } finally {
      waits.cancel()
    }
    this.#behindCommits = true
  }

  async #offer(client: pg.Client, reading: Reading, give: Give): Promise<ReadOutcome> {
    if (!give(reading)) {
      await client.query('ROLLBACK')
      return 'again'
    }
    await emitWatermark(client, { kind: 'high', id: reading.chunk.id })
    await client.query('COMMIT')
    return 'given'
  }

  async #begin(client: pg.Client, table: LiveTable): Promise<ReadOutcome | undefined> {
    const { info } = table.table
    const { adHoc, filter, leaf: inHand, filenode } = table.progress
    if (filter !== undefined) await this.checkFilter(info, filter)
    const all = await leavesOf(client, info.oid)
    const leaves = all.filter(leaf => leaf.oid >= inHand)
    if (inHand === 0 && !adHoc && (await this.#awaits(client, table, all))) return 'again'
    const [first] = leaves
    if (first?.oid === inHand) {
      if (first.filenode !== filenode) return 'rewritten'
      if (table.progress.next >= first.end) leaves.shift()
    }
    table.leaves = leaves
    table.estimate = filter === undefined ? all.reduce((sum, leaf) => sum + leaf.rows, 0) : undefined
    this.#choose(table)
    return undefined
  }

  /**
   * A transaction that wrote to the table before it was published, and ends after it was read, is in neither: the server
   * tells what it does from then on alone. So nothing is read before those are over that are under way now.
   */
  async #awaits(client: pg.Client, table: LiveTable, leaves: readonly Leaf[]): Promise<boolean> {
    const { clock, log } = this.#parts
    const writers = await writersOf(client, [table.progress.of, ...leaves.map(leaf => leaf.oid)])
    const awaited = this.#writers.get(table)
    if (awaited === undefined && writers.length > 0)
      log.info(
        { table: table.name },
        `is read once the transactions are over that write to it now: ${writers.join(', ')}`,
      )
    const left = awaited === undefined ? writers : writers.filter(writer => awaited.includes(writer))
    this.#writers.set(table, left)
    if (left.length > 0) await sleep(clock, WRITERS_MS)
    return left.length > 0
  }

  #choose(table: LiveTable): void {
    const [leaf] = table.leaves!
    if (leaf === undefined) table.allRead = true
    else table.span = this.#spanOf(leaf)
  }

  #spanOf(leaf: Leaf): Place {
    return spanOf(leaf, this.#parts.chunkRows, this.#chunkBytes)
  }

  async #readSpan(
    client: pg.Client,
    table: LiveTable,
    { leaf, id, give }: { readonly leaf: Leaf; readonly id: string; readonly give: Give },
  ): Promise<ReadOutcome> {
    await emitWatermark(client, { kind: 'low', id })
    const view = await beginPart(client, leaf)
    if (view === undefined || view.filenode !== leaf.filenode) {
      if (view !== undefined) await client.query('ROLLBACK')
      return (await this.#parts.table(table.progress.of)) === undefined ? 'gone' : 'rewritten'
    }
    const defined = await this.#define(client, table)
    if (defined !== 'same') return defined
    const { binary, needed, clock } = this.#parts
    const from = leaf.oid === table.progress.leaf ? table.progress.next : 0
    const to = Math.min(from + table.span, leaf.end)
    const chunk = new Chunk(id, table.table, view.snapshot, undefined, binary)
    const sql = copyPart(table.table, leaf, { from, to }, { binary, filter: table.progress.filter, needed })
    // A place alone is one row, which has to be taken as it is.
    const most = table.span === 1 ? Infinity : CHUNK_BYTES_MAX
    if (!(await chunk.load(client, sql, most, clock))) {
      table.span = Math.max(1, Math.floor(table.span / 2))
      await this.#cut()
      return 'again'
    }
    this.#chunkBytes = Math.min(CHUNK_BYTES, this.#chunkBytes * 2)
    // At the beginning, and after rows that were larger than others.
    if (chunk.size < CHUNK_BYTES_MAX / 4) table.span = Math.min(this.#spanOf(leaf), table.span * 2)
    return this.#offer(client, { chunk, leaf, to }, give)
  }

  /** By way of their places, since COPY takes no parameters and keys may be binary. */
  async #readKeys(client: pg.Client, table: LiveTable, id: string, give: Give): Promise<ReadOutcome> {
    const { schema, table: name, oid } = table.table.info
    const keys = table.owedKeys()
    if (!table.stalled) await emitWatermark(client, { kind: 'low', id })
    const view = await beginPart(client, { oid, name: `${quoteIdentifier(schema)}.${quoteIdentifier(name)}` })
    if (view === undefined) return (await this.#parts.table(oid)) === undefined ? 'gone' : 'again'
    const defined = await this.#define(client, table)
    if (defined !== 'same') return defined
    const { binary, needed, clock } = this.#parts
    const { filter } = table.progress
    const chunk = new Chunk(
      id,
      table.table,
      view.snapshot,
      keys.map(key => key.text),
      binary,
    )
    const width = table.key!.length
    const values = keys.flatMap(key =>
      key.columns.map(part => (binary ? Buffer.from(part, 'latin1') : Buffer.from(part, 'latin1').toString('utf8'))),
    )
    const tuples = keys.map((_, row) => `(${table.key!.map((_, column) => `$${row * width + column + 1}`).join()})`)
    const { rows } = await client.query<{ leaf: string; tids: string }>(
      `SELECT tableoid::regclass::text AS leaf, array_agg(ctid::text)::text AS tids FROM ${quoteIdentifier(schema)}.${quoteIdentifier(name)} WHERE (${table.key!.map(quoteIdentifier).join()}) IN (${tuples.join()}) GROUP BY tableoid`,
      values,
    )
    for (const { leaf, tids } of rows) {
      const places = [...tids.matchAll(/\(\d+,\d+\)/g)].map(([place]) => place)
      const sql = copyPart(table.table, { name: leaf }, { tids: places }, { binary, filter, needed })
      const most = keys.length === 1 ? Infinity : CHUNK_BYTES_MAX
      if (await chunk.load(client, sql, most, clock)) continue
      table.keysAtOnce = Math.max(1, Math.floor(keys.length / 2))
      table.readByKey = false
      await this.#cut()
      return 'again'
    }
    if (chunk.size < CHUNK_BYTES_MAX / 4) table.keysAtOnce = Math.min(KEYS_MAX, table.keysAtOnce * 2)
    return this.#offer(client, { chunk, leaf: undefined, to: 0 }, give)
  }

  /** In the transaction that holds the table's lock: is it still as we know it? Else what it is now is kept, for the next time. */
  async #define(client: pg.Client, table: LiveTable): Promise<'same' | 'again' | 'rewritten' | 'gone'> {
    const info = await this.#parts.table(table.progress.of)
    if (info !== undefined && isDeepStrictEqual(info, table.table.info)) return 'same'
    await client.query('ROLLBACK')
    if (info === undefined) return 'gone'
    return table.redefine(snapshotTable(info, this.#parts.generatedColumns)) ? 'again' : 'rewritten'
  }

  /** What was read is told: the table goes on behind it. */
  advance(table: LiveTable, { leaf, to }: Reading, rows: number): void {
    const { progress, leaves } = table
    table.progress = { ...progress, rows: progress.rows + rows }
    table.changedState = true
    if (leaf === undefined) return
    table.progress = { ...table.progress, leaf: leaf.oid, filenode: leaf.filenode, next: to }
    if (to < leaf.end) return
    leaves?.shift()
    if (leaves !== undefined) this.#choose(table)
  }

  /** The connection was cut while this table was read: it is made anew, and less is read by it. */
  async shrink(table: LiveTable): Promise<void> {
    this.#chunkBytes = Math.max(LEAST_CHUNK_BYTES, this.#chunkBytes / 2)
    table.span = Math.max(1, Math.floor(table.span / 2))
    table.keysAtOnce = Math.max(1, Math.floor(table.keysAtOnce / 2))
    await this.#cut()
  }

  async #cut(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    if (client !== undefined) await closeClient(client, this.#parts.clock)
  }

  async close(): Promise<void> {
    await this.#cut()
  }
}
