import type pg from 'pg'
import { type Clock, type Logger, type Random, randomId, sleep } from '../../../runtime/api/index.ts'
import { closeClient } from '../connection.ts'
import type { Lsn } from '../lsn.ts'
import type { SnapshotOptions } from '../snapshot-options.ts'
import { exactPlace } from './exact-place.ts'
import { type InitialSnapshot, openInitialSnapshot } from './initial-snapshot.ts'
import type { LiveTable } from './live-table.ts'
import type { RowHandler } from './rows.ts'
import { emitWatermark } from './watermark.ts'

export interface BlockingSnapshotParts {
  readonly connect: () => Promise<pg.Client>
  readonly replication: () => Promise<pg.Client>
  /** Of the reader, for watermarks. */
  readonly client: () => Promise<pg.Client>
  readonly live: LiveTable
  /** Of the transaction that the stream tells, or told last. */
  readonly lastCommit: () => Lsn
  readonly server: string
  readonly options: Pick<SnapshotOptions, 'snapshot.max.threads' | 'snapshot.fetch.size'>
  readonly binary: boolean
  readonly generatedColumns: boolean
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly wake: () => void
}

/** How long the stream waits for a place that comes at once, unless transactions are under way. */
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
  #reached = false
  #snapshot: InitialSnapshot | undefined
  #finish: (whole: boolean) => void = () => undefined
  readonly #finished: Promise<boolean>

  constructor(parts: BlockingSnapshotParts) {
    this.#parts = parts
    this.#finished = new Promise(resolve => {
      this.#finish = resolve
    })
  }

  /** The stream waits for `read`. */
  get holds(): boolean {
    return this.#held || this.#reached
  }

  /** A transaction begins in the stream. */
  passed(commitLsn: Lsn): void {
    if (this.#place !== undefined && commitLsn >= this.#place) this.#reached = true
  }

  /** True once all is told; false when the table was rewritten meanwhile or this was closed: again. */
  async run(): Promise<boolean> {
    const { live, log, random, server, connect, lastCommit, wake } = this.#parts
    log.info({ table: live.name }, 'the stream will wait while this table is read')
    for (let attempt = 0; ; attempt++) {
      const replication = await this.#parts.replication()
      try {
        const timer = attempt % 2 === 1 ? this.#hold() : undefined
        const { lsn, snapshotName } = await exactPlace(replication, random).finally(() => timer?.cancel())
        if (live.lastChange >= lsn) continue
        this.#place = lsn
        this.passed(lastCommit())
        this.#held = false
        const tables = [live.table.info]
        this.#snapshot = await openInitialSnapshot({
          ...this.#parts,
          server,
          tables,
          lsn,
          snapshotName,
          connect,
          report: () => undefined,
        })
      } finally {
        this.#held = false
        await closeClient(replication, this.#parts.clock)
      }
      // An idle stream comes to the place by this.
      await emitWatermark(await this.#parts.client(), { kind: 'place', id: randomId(random) })
      wake()
      return this.#finished
    }
  }

  #hold(): { cancel(): void } {
    this.#held = true
    return this.#parts.clock.timer(HOLD_MS, () => {
      this.#held = false
    })
  }

  async read(rows: RowHandler, signal: AbortSignal): Promise<void> {
    if (this.#snapshot === undefined) {
      await sleep(this.#parts.clock, LOOK_MS, signal)
      return
    }
    if ((await this.#snapshot.read(rows, signal)) === 'more') return
    this.#reached = false
    this.#place = undefined
    this.#finish(this.#snapshot.rewritten.length === 0)
  }

  async close(): Promise<void> {
    this.#finish(false)
    await this.#snapshot?.close()
  }
}
