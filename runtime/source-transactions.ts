import type { Checkpoint, Transaction, Writer } from '../broker/index.ts'
import {
  type Clock,
  type Logger,
  type SourceBatch,
  type SourceCheckpoint,
  type SourceTask,
  sleep,
  stringifyJson,
} from './api/index.ts'
import { type Append, appendFitting } from './append-fitting.ts'
import { type BadRecords, type Drained, originalAt } from './bad-records.ts'
import type { ConnectorCounters } from './counters.ts'
import { type Cut, cutAtBoundaries, type TransactionBoundary } from './transaction-boundary.ts'

/** `poll`: while a source has more at hand, commits wait until this part of the buffer is full, or so long after the last. */
const LOT_PART = 1 / 2
const LOT_MS = 60

/** One poll's records, ready for the log, and the positions behind them. */
export interface Gathered extends Pick<SourceBatch, 'checkpoints' | 'transaction' | 'more'> {
  readonly appends: readonly Append[]
  readonly bad: Drained
  /** Records that the poll brought, whatever became of them. */
  readonly read: number
  readonly filtered: number
  /** Bytes in memory, with positions and dead letters. */
  readonly held: number
}

export interface SourceTransactionsParts {
  readonly connector: string
  readonly task: SourceTask
  readonly badRecords: BadRecords
  /** Takes what the log refuses. Apart from the others: while it is appended, the next poll is being encoded. */
  readonly refused: BadRecords
  readonly writer: Writer
  readonly boundary: TransactionBoundary
  /** `interval`: from one commit to the next. */
  readonly intervalMs: number
  readonly bufferBytesMax: number
  readonly counters: ConnectorCounters
  readonly clock: Clock
  readonly log: Logger
}

/** A transaction that is being written, and what is counted when it is durable. */
class OpenTransaction {
  readonly transaction: Transaction
  readonly checkpoints: SourceCheckpoint[] = []
  /** The source may resume behind its last batch. */
  whole = true
  read = 0
  logged = 0
  filtered = 0
  deadLettered = 0
  skipped = 0
  bytes = 0
  held = 0

  constructor(transaction: Transaction) {
    this.transaction = transaction
  }
}

/**
 * The writing half of a source: takes what was polled, appends it as it comes and commits where transactions end, while the
 * polling half goes on. What gathers during a commit goes into the next transaction. One transaction at a time, since a
 * producer has no more.
 */
export class SourceTransactions {
  readonly #parts: SourceTransactionsParts
  readonly #failed: () => void
  readonly #ended = new AbortController()
  #gathered: Gathered[] = []
  /** Bytes and records that were polled and are not committed. */
  #held = 0
  #records = 0
  /** Of `#held`: in the open transaction, which is being committed or which nothing that is gathered ends yet. */
  #carried = 0
  #open: OpenTransaction | undefined
  #isWorking = false
  #working: Promise<void> = Promise.resolve()
  /** The newest batch said so, and the source may resume behind it. */
  #more = false
  #waiting = false
  #failure: { readonly error: unknown } | undefined
  #commitAt: number
  #progressed = false
  #wakeRoom: (() => void) | undefined

  /** `failed` is called once, when an append or a commit was rejected; `rethrow` tells why. */
  constructor(parts: SourceTransactionsParts, failed: () => void) {
    this.#parts = parts
    this.#failed = failed
    this.#commitAt = parts.clock.monotonic() + (parts.boundary === 'interval' ? parts.intervalMs : 0)
  }

  /** A position was committed. */
  get progressed(): boolean {
    return this.#progressed
  }

  /** Counts records that were polled: from here on they are in flight. */
  polled(records: number): void {
    this.#records += records
    this.#parts.counters.recordsInFlight += records
  }

  add(gathered: Gathered): void {
    this.#gathered.push(gathered)
    this.#held += gathered.held
    this.#more = gathered.more === true && gathered.checkpoints.length > 0
    this.#work()
  }

  /**
   * Waits while too much is polled and not in the transaction that is being committed. Never for a commit that cannot come:
   * an upstream transaction that is larger than the buffer goes on into the open transaction.
   */
  async room(signal: AbortSignal): Promise<void> {
    const full = () => this.#held - this.#carried >= this.#parts.bufferBytesMax
    while (full() && this.#isWorking && !signal.aborted) {
      await new Promise<void>(resolve => {
        this.#wakeRoom = resolve
      })
    }
    this.rethrow()
  }

  /** Ends a wait for room. */
  wake(): void {
    this.#wakeRoom?.()
  }

  rethrow(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }

  /** Commits what may be committed, and counts the rest as abandoned: it is aborted when the writer closes. */
  async end(): Promise<void> {
    const { counters, log, boundary } = this.#parts
    this.#ended.abort()
    this.#work()
    await this.#working
    if (this.#failure === undefined && this.#open !== undefined && boundary === 'connector')
      log.info(
        { records: this.#open.read },
        'the connector did not end its last transaction: it is aborted and read again',
      )
    counters.recordsInFlight -= this.#records
    counters.recordsAbandoned += this.#records
    this.#records = 0
  }

  #work(): void {
    if (this.#failure !== undefined || this.#isWorking) return
    this.#isWorking = true
    this.#working = this.#writeGathered()
  }

  /** Until nothing is gathered. Failures are kept for the polling half, which owns the loop's end. */
  async #writeGathered(): Promise<void> {
    const { boundary } = this.#parts
    try {
      for (;;) {
        const lot = this.#gathered
        // Before a batch joins it behind which it may not end, for who knows how long.
        const isLast = lot[0] === undefined || lot[0].checkpoints.length === 0
        if (isLast && this.#open !== undefined && this.#mayCommit(this.#open)) await this.#commit(this.#open)
        else if (lot.length > 0) {
          this.#gathered = []
          for (const cut of cutAtBoundaries(lot, boundary, this.#isDue())) await this.#take(cut)
        } else break
      }
    } catch (error) {
      this.#failure = { error }
      this.#failed()
    } finally {
      this.#isWorking = false
      this.#wakeRoom?.()
    }
    this.#commitLater()
  }

  #isDue(): boolean {
    const { boundary, clock, bufferBytesMax } = this.#parts
    if (boundary === 'poll' && (!this.#more || this.#held >= bufferBytesMax * LOT_PART)) return true
    return clock.monotonic() >= this.#commitAt || this.#held >= bufferBytesMax || this.#ended.signal.aborted
  }

  /** Left open although it could end where it is. */
  #mayCommit(open: OpenTransaction): boolean {
    return this.#parts.boundary !== 'connector' && open.whole && this.#isDue()
  }

  #commitLater(): void {
    const { boundary, clock } = this.#parts
    if (boundary === 'connector' || this.#open?.whole !== true || this.#waiting || this.#failure !== undefined) return
    this.#waiting = true
    void sleep(clock, Math.max(0, this.#commitAt - clock.monotonic()), this.#ended.signal).then(slept => {
      this.#waiting = false
      if (slept) this.#work()
    })
  }

  async #take({ batches, end }: Cut<Gathered>): Promise<void> {
    if (end === 'abort') return this.#abort(batches)
    this.#open ??= new OpenTransaction(await this.#parts.writer.begin())
    const open = this.#open
    if (end === 'commit') this.#carried = 0
    for (const batch of batches) await this.#append(open, batch)
    await this.#appendRefused(open)
    if (end === 'commit') await this.#commit(open)
    else {
      this.#carried = open.held
      this.#wakeRoom?.()
    }
  }

  async #append(open: OpenTransaction, batch: Gathered): Promise<void> {
    const { badRecords } = this.#parts
    open.checkpoints.push(...batch.checkpoints)
    open.whole = batch.checkpoints.length > 0
    open.read += batch.read
    open.filtered += batch.filtered
    open.held += batch.held
    for (const append of batch.appends) await this.#appendOne(open, append)
    count(open, await badRecords.append(open.transaction, batch.bad))
  }

  async #appendOne(open: OpenTransaction, append: Append): Promise<void> {
    const { refused } = this.#parts
    const { topic, partition } = append
    open.logged += append.records.count
    open.bytes += append.records.size
    await appendFitting(open.transaction, append, (error, records, i) => {
      refused.take(error, 'KAFKA_PRODUCE', originalAt(records, i, { topic, partition, offset: undefined }))
      open.logged--
      open.bytes -= records.slice(i, i + 1).size
    })
  }

  async #appendRefused(open: OpenTransaction): Promise<void> {
    const { refused } = this.#parts
    count(open, await refused.append(open.transaction, refused.drain()))
  }

  async #commit(open: OpenTransaction): Promise<void> {
    const { counters } = this.#parts
    this.#carried = open.held
    this.#wakeRoom?.()
    this.#checkpoint(open.transaction, open.checkpoints)
    await open.transaction.commit()
    counters.recordsLogged += open.logged
    counters.recordsFiltered += open.filtered
    counters.recordsDeadLettered += open.deadLettered
    counters.recordsSkipped += open.skipped
    counters.bytesOut += open.bytes
    await this.#over(open)
  }

  /** The connector's own abort: records gone, positions committed all the same. */
  async #abort(batches: readonly Gathered[]): Promise<void> {
    const { writer, counters } = this.#parts
    const open = this.#open
    await open?.transaction.abort()
    const positions = new OpenTransaction(await writer.begin())
    this.#open = positions
    for (const { read, held, checkpoints } of [...(open === undefined ? [] : [open]), ...batches]) {
      positions.read += read
      positions.held += held
      positions.checkpoints.push(...checkpoints)
    }
    this.#carried = 0
    if (positions.checkpoints.length === 0) await positions.transaction.abort()
    else {
      this.#checkpoint(positions.transaction, positions.checkpoints)
      await positions.transaction.commit()
    }
    counters.recordsAborted += positions.read
    await this.#over(positions)
  }

  #checkpoint(transaction: Transaction, checkpoints: readonly SourceCheckpoint[]): void {
    const { connector } = this.#parts
    transaction.checkpoint(
      newest(checkpoints).map(({ partition, position }): Checkpoint => ({ connector, partition, value: position })),
    )
  }

  async #over(open: OpenTransaction): Promise<void> {
    const { counters, task, clock, boundary, intervalMs } = this.#parts
    this.#open = undefined
    this.#carried = 0
    this.#held -= open.held
    this.#records -= open.read
    counters.recordsInFlight -= open.read
    this.#commitAt = clock.monotonic() + (boundary === 'interval' ? intervalMs : LOT_MS)
    if (open.checkpoints.length > 0) {
      this.#progressed = true
      await task.committed?.(open.checkpoints)
    }
    this.#wakeRoom?.()
  }
}

/**
 * Of each source partition: a transaction that many polls went into has as many of the same. In the order of the newest,
 * since for the log two that differ in the order of their members alone are one.
 */
function newest(checkpoints: readonly SourceCheckpoint[]): readonly SourceCheckpoint[] {
  if (checkpoints.length < 2) return checkpoints
  const byPartition = new Map<string, SourceCheckpoint>()
  for (const checkpoint of checkpoints) {
    const id = stringifyJson(checkpoint.partition)
    byPartition.delete(id)
    byPartition.set(id, checkpoint)
  }
  return [...byPartition.values()]
}

function count(open: OpenTransaction, bad: { readonly deadLettered: number; readonly skipped: number }): void {
  open.deadLettered += bad.deadLettered
  open.skipped += bad.skipped
}
