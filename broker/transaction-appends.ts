import type { CodecName, PackedRecords } from '../base/index.ts'
import type { Producer } from './producers.ts'
import type { TransactionPartition } from './transaction-markers.ts'

/** Bytes of records that one transaction may have on the way to the log: what comes beyond waits. */
const IN_FLIGHT_BYTES_MAX = 8 << 20

interface Lane {
  readonly partition: TransactionPartition
  readonly waiting: PackedRecords[]
  running: Promise<void> | undefined
}

/**
 * The appends of one transaction on their way into the log. Of a partition one is under way at a time, and what comes
 * meanwhile goes into the next as one, in order; partitions do not wait for each other. After the first failure nothing
 * more is written: the transaction can only be aborted.
 */
export class TransactionAppends {
  readonly #options: { readonly producer?: Producer; readonly codec?: CodecName }
  readonly #lanes = new Map<TransactionPartition, Lane>()
  readonly #roomListeners: (() => void)[] = []
  #bytes = 0
  #failure: { readonly error: unknown } | undefined

  constructor(options: { readonly producer?: Producer; readonly codec?: CodecName }) {
    this.#options = options
  }

  /** Resolves when more may come. Rejects as the first append that failed does. */
  async add(partition: TransactionPartition, records: PackedRecords): Promise<void> {
    this.#check()
    let lane = this.#lanes.get(partition)
    if (lane === undefined) {
      lane = { partition, waiting: [], running: undefined }
      this.#lanes.set(partition, lane)
    }
    lane.waiting.push(records)
    this.#bytes += records.size
    lane.running ??= this.#run(lane)
    while (this.#bytes > IN_FLIGHT_BYTES_MAX) await new Promise<void>(resolve => this.#roomListeners.push(resolve))
    this.#check()
  }

  /** Resolves when all is written. Rejects as the first append that failed does, once nothing is under way. */
  async settled(): Promise<void> {
    await this.idle()
    this.#check()
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    for (const lane of this.#lanes.values()) await lane.running
  }

  async #run(lane: Lane): Promise<void> {
    while (lane.waiting.length > 0) {
      const lot = lane.waiting.splice(0)
      if (this.#failure === undefined) {
        await lane.partition.append(lot, this.#options).catch(error => {
          this.#failure ??= { error }
        })
      }
      this.#bytes -= lot.reduce((bytes, records) => bytes + records.size, 0)
      for (const resolve of this.#roomListeners.splice(0)) resolve()
    }
    lane.running = undefined
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}
