import type { Broker } from '../broker/index.ts'
import { type PackedRecords, type SourceBatch, sleep } from './api/index.ts'
import { countOf, type Encoded, type SourcePipeline } from './source-pipeline.ts'
import { SourceTransactions, type SourceTransactionsParts } from './source-transactions.ts'

const DISK_CHECK_MS = 1000
/** Where each record begins and ends: what an empty line costs, too. */
const POSITION_BYTES = 8

export interface SourceLoopParts extends SourceTransactionsParts {
  readonly pipeline: SourcePipeline
  readonly broker: Broker
}

/**
 * poll → transforms → converters → append → commit → committed.
 *
 * Polling and encoding go on while a commit runs. There is no linger: an idle log commits at once, a busy one, or one whose
 * source has more at hand, in larger lots. `committed` is told after the commit is durable and never before.
 */
export class SourceLoop {
  readonly #parts: SourceLoopParts
  readonly #abort = new AbortController()
  readonly #transactions: SourceTransactions

  constructor(parts: SourceLoopParts) {
    this.#parts = parts
    this.#transactions = new SourceTransactions(parts, () => this.#abort.abort())
  }

  /** Ends polling; `run` then commits what was read and returns. */
  stop(): void {
    this.#abort.abort()
    this.#transactions.wake()
  }

  /** A position was committed. */
  get progressed(): boolean {
    return this.#transactions.progressed
  }

  /** Rejects with what made the task fail; nothing that was committed is lost, the rest is read again. */
  async run(): Promise<'finished' | 'stopped'> {
    let ended: 'finished' | 'stopped'
    try {
      ended = await this.#poll()
    } finally {
      // Also behind a failure of the source: what it gave before is committed, and nothing goes on behind its close.
      await this.#transactions.end()
    }
    this.#transactions.rethrow()
    return ended
  }

  async #poll(): Promise<'finished' | 'stopped'> {
    const { task } = this.#parts
    const { signal } = this.#abort
    while (!signal.aborted) {
      await this.#transactions.room(signal)
      await this.#diskRoom(signal)
      if (signal.aborted) break
      const polled = await task.poll(signal)
      this.#transactions.rethrow()
      if (polled === 'finished') return 'finished'
      if (polled !== 'idle') await this.#gather(polled)
    }
    this.#transactions.rethrow()
    return 'stopped'
  }

  async #gather({ parts, checkpoints, transaction, more }: SourceBatch): Promise<void> {
    const { pipeline, badRecords, counters } = this.#parts
    let read = 0
    for (const part of parts) {
      read += countOf(part)
      if (part.kind === 'packed') counters.bytesRead += part.packed.size
    }
    counters.recordsRead += read
    this.#transactions.polled(read)
    const { appends, filtered } = await pipeline.encode(parts)
    const bad = badRecords.drain()
    const held = heldBytes(appends, bad.letters)
    this.#transactions.add({ appends, filtered, bad, checkpoints, transaction, more, read, held })
  }

  /** Waits while the disk is near its reserve. */
  async #diskRoom(signal: AbortSignal): Promise<void> {
    const { task, broker, clock, log, counters } = this.#parts
    if (broker.acceptsAppends()) return
    log.warn({}, 'the disk is below log.disk.reserve.bytes: reading pauses until there is room')
    counters.report({ reading: 'pauses: the disk is below log.disk.reserve.bytes' })
    task.paused?.(true)
    while (!broker.acceptsAppends() && !signal.aborted) await sleep(clock, DISK_CHECK_MS, signal)
    if (signal.aborted) return
    counters.report({ reading: 'goes on' })
    task.paused?.(false)
    log.info({}, 'the disk has room again: reading goes on')
  }
}

function heldBytes(appends: Encoded['appends'], letters: PackedRecords | undefined): number {
  let held = letters?.size ?? 0
  for (const { records } of appends) held += records.size + records.count * POSITION_BYTES
  return held
}
