import type { Broker, Checkpoint, Transaction, Writer } from '../broker/index.ts'
import {
  type Clock,
  type Logger,
  type PackedRecords,
  type SourceCheckpoint,
  type SourceTask,
  sleep,
} from './api/index.ts'
import { type Append, appendFitting } from './append-fitting.ts'
import { type BadRecords, originalAt } from './bad-records.ts'
import type { ConnectorCounters } from './counters.ts'
import type { SourcePipeline } from './source-pipeline.ts'

const DISK_CHECK_MS = 1000
/** Where each record begins and ends: what an empty line costs, too. */
const POSITION_BYTES = 8

/** One poll's records, ready for the log, and the positions behind them. */
interface Gathered {
  readonly appends: readonly Append[]
  readonly letters: PackedRecords | undefined
  readonly checkpoints: readonly SourceCheckpoint[]
  readonly records: number
  readonly bytes: number
  /** With the positions and the dead letters. */
  readonly held: number
}

interface OpenTransaction {
  readonly transaction: Transaction
  readonly checkpoints: SourceCheckpoint[]
  records: number
  bytes: number
  held: number
}

export interface SourceLoopParts {
  readonly connector: string
  readonly task: SourceTask
  readonly pipeline: SourcePipeline
  readonly badRecords: BadRecords
  /** Takes what the log refuses. Apart from the others: while it is appended, the next poll is being encoded. */
  readonly refused: BadRecords
  readonly broker: Broker
  readonly writer: Writer
  readonly bufferBytesMax: number
  readonly counters: ConnectorCounters
  readonly clock: Clock
  readonly log: Logger
}

/**
 * poll → transforms → converters → append → commit → committed.
 *
 * Polling and encoding go on while a commit runs; what has gathered by its end becomes the next transaction. There is no
 * linger: an idle log commits at once, a busy one in larger lots. `committed` is told after the commit is durable and
 * never before.
 */
export class SourceLoop {
  readonly #parts: SourceLoopParts
  readonly #abort = new AbortController()
  readonly #gathered: Gathered[] = []
  #held = 0
  #records = 0
  #open: OpenTransaction | undefined
  #committing: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined
  #wakeRoom: (() => void) | undefined

  constructor(parts: SourceLoopParts) {
    this.#parts = parts
  }

  /** Ends polling; `run` then commits what was read and returns. */
  stop(): void {
    this.#abort.abort()
    this.#wakeRoom?.()
  }

  /** Rejects with what made the task fail; nothing that was committed is lost, the rest is read again. */
  async run(): Promise<'finished' | 'stopped'> {
    try {
      const ended = await this.#poll()
      await this.#committing
      this.#rethrow()
      return ended
    } finally {
      // Also behind a failure of the source: what it gave before is committed, and nothing goes on behind its close.
      await this.#committing
      this.#parts.counters.recordsInFlight -= this.#records
      this.#parts.counters.recordsAbandoned += this.#records
    }
  }

  async #poll(): Promise<'finished' | 'stopped'> {
    const { task, pipeline } = this.#parts
    const { signal } = this.#abort
    while (!signal.aborted) {
      await this.#room()
      if (signal.aborted) break
      const polled = await task.poll(signal)
      this.#rethrow()
      if (polled === 'finished') return 'finished'
      if (polled === 'idle') continue
      const appends = await pipeline.encode(polled.parts)
      this.#gather(appends, polled.checkpoints)
    }
    this.#rethrow()
    return 'stopped'
  }

  #gather(appends: readonly Append[], checkpoints: readonly SourceCheckpoint[]): void {
    const { badRecords, counters } = this.#parts
    const letters = badRecords.drain()
    let bytes = 0
    let records = 0
    for (const append of appends) {
      bytes += append.records.size
      records += append.records.count
    }
    const held = bytes + records * POSITION_BYTES + (letters?.size ?? 0)
    this.#gathered.push({ appends, letters, checkpoints, records, bytes, held })
    this.#held += held
    this.#records += records
    counters.recordsInFlight += records
    this.#committing ??= this.#commitGathered()
  }

  /**
   * Waits while too much is read and not committed, or the disk is near its reserve. Never for a commit that cannot come:
   * an upstream transaction that is larger than the buffer goes on into the open transaction.
   */
  async #room(): Promise<void> {
    const { broker, bufferBytesMax, clock, log } = this.#parts
    while (this.#held >= bufferBytesMax && this.#committing !== undefined && !this.#abort.signal.aborted) {
      await new Promise<void>(resolve => {
        this.#wakeRoom = resolve
      })
    }
    this.#rethrow()
    if (broker.acceptsAppends()) return
    log.warn({}, 'the disk is below log.disk.reserve.bytes: reading pauses until there is room')
    while (!broker.acceptsAppends() && !this.#abort.signal.aborted)
      await sleep(clock, DISK_CHECK_MS, this.#abort.signal)
    log.info({}, 'the disk has room again: reading goes on')
  }

  /** Runs until nothing is gathered. Failures are kept for the polling side, which owns the loop's end. */
  async #commitGathered(): Promise<void> {
    try {
      for (let lot = this.#gathered.splice(0); lot.length > 0; lot = this.#gathered.splice(0)) {
        this.#open ??= { transaction: await this.#parts.writer.begin(), checkpoints: [], records: 0, bytes: 0, held: 0 }
        await this.#append(this.#open, lot)
        // A lot that ends inside an upstream transaction may not be resumed from: the rest of it joins this one.
        if (lot.at(-1)!.checkpoints.length > 0) await this.#commit(this.#open)
      }
    } catch (error) {
      this.#failure = { error }
      this.#abort.abort()
    } finally {
      this.#committing = undefined
      this.#wakeRoom?.()
    }
  }

  async #append(open: OpenTransaction, lot: readonly Gathered[]): Promise<void> {
    const { badRecords, refused } = this.#parts
    for (const { appends, letters, checkpoints, records, bytes, held } of lot) {
      open.checkpoints.push(...checkpoints)
      open.records += records
      open.bytes += bytes
      open.held += held
      for (const append of appends) await this.#appendOne(open, append)
      await badRecords.append(open.transaction, letters)
    }
    await refused.append(open.transaction, refused.drain())
  }

  async #appendOne(open: OpenTransaction, append: Append): Promise<void> {
    const { refused, counters } = this.#parts
    const { topic, partition } = append
    await appendFitting(open.transaction, append, (error, records, i) => {
      refused.take(error, 'KAFKA_PRODUCE', originalAt(records, i, { topic, partition, offset: undefined }))
      open.records--
      open.bytes -= records.slice(i, i + 1).size
      this.#records--
      counters.recordsInFlight--
    })
  }

  async #commit(open: OpenTransaction): Promise<void> {
    const { connector, task, counters } = this.#parts
    open.transaction.checkpoint(
      open.checkpoints.map(({ partition, position }): Checkpoint => ({ connector, partition, value: position })),
    )
    await open.transaction.commit()
    this.#open = undefined
    this.#held -= open.held
    this.#records -= open.records
    counters.recordsInFlight -= open.records
    counters.recordsLogged += open.records
    counters.bytesOut += open.bytes
    await task.committed?.(open.checkpoints)
    this.#wakeRoom?.()
  }

  #rethrow(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}
