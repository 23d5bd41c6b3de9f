import type { Clock, PackedRecords } from '../base/index.ts'
import type { AbortedTransactions } from './aborted-transactions.ts'
import { sequenceAfter, writeBatchAppendTime } from './batch.ts'
import { checkBatch, recompress } from './batch-check.ts'
import { batchRecords } from './batch-records.ts'
import { checkRecordSizes } from './batch-writer.ts'
import type { AppendOptions, BatchInfo, LogWriter } from './log-writer.ts'
import type { PartitionSettings } from './partition-settings.ts'
import { checkKeys } from './record-keys.ts'
import type { Outcome, Producer, Producers } from './producers.ts'
import type { Verdict } from './segment-reader.ts'

/** Where appended records lie. */
export interface Appended {
  readonly baseOffset: number
  readonly lastOffset: number
}

/** What may be written to a partition, by the rules of its producers. Nothing here may overlap: see Partition. */
export class PartitionWrites {
  readonly #place: string
  readonly #clock: Clock
  readonly #settings: () => PartitionSettings
  readonly #writer: LogWriter
  readonly #producers: Producers
  readonly #aborted: AbortedTransactions
  /** Offsets of the markers that were written last, one behind the other: the first, and the end. */
  #markers: readonly [number, number] = [0, 0]

  constructor(
    parts: { readonly topic: string; readonly partition: number; readonly clock: Clock },
    settings: () => PartitionSettings,
    writer: LogWriter,
    producers: Producers,
    aborted: AbortedTransactions,
  ) {
    this.#place = `${parts.topic}-${parts.partition}`
    this.#clock = parts.clock
    this.#settings = settings
    this.#writer = writer
    this.#producers = producers
    this.#aborted = aborted
  }

  /** As Partition.check. */
  check(records: PackedRecords): void {
    const { maxMessageBytes, compacts } = this.#settings()
    checkRecordSizes(records, maxMessageBytes, this.#place)
    if (compacts) checkKeys(records, this.#place)
  }

  /** As Partition.append. */
  async append(records: readonly PackedRecords[], options: AppendOptions): Promise<Appended> {
    for (const one of records) this.check(one)
    if (options.producer !== undefined) {
      this.#producers.checkEpoch(options.producer)
      this.#producers.checkTransaction(options.producer, true)
    }
    const baseOffset = this.#writer.nextOffset
    await this.#writer.append(records, options)
    return { baseOffset, lastOffset: this.#writer.nextOffset - 1 }
  }

  /** Looks at a batch before its turn, so that it unpacks while others are written. */
  checkEncoded(batch: Buffer): Promise<BatchInfo> {
    const checked = this.#checkEncoded(batch)
    // Awaited when its turn has come; until then nobody listens.
    checked.catch(() => undefined)
    return checked
  }

  async #checkEncoded(batch: Buffer): Promise<BatchInfo> {
    const { maxMessageBytes, compacts } = this.#settings()
    const info = await checkBatch(batch, maxMessageBytes, this.#place)
    if (compacts) checkKeys(await batchRecords(batch, 0), this.#place)
    return info
  }

  /** As Partition.appendEncoded, of a batch that `checkEncoded` looks at. */
  async appendEncoded(batch: Buffer, checked: Promise<BatchInfo>): Promise<Appended & { readonly duplicate: boolean }> {
    const { codec, timestampType } = this.#settings()
    const info = await checked
    const { producer } = info
    if (producer !== undefined) {
      this.#producers.checkEpoch(producer)
      const lastSequence = sequenceAfter(producer.baseSequence, info.lastOffsetDelta)
      const known = this.#producers.duplicateOf(producer, producer.baseSequence, lastSequence)
      if (known !== undefined) {
        const { lastOffset, offsetDelta } = known
        return { baseOffset: lastOffset - offsetDelta, lastOffset, duplicate: true }
      }
      this.#producers.checkSequence(producer, producer.baseSequence)
      this.#producers.checkTransaction(producer, producer.transactional)
    }
    const stored = codec === 'producer' ? batch : await recompress(batch, codec)
    const now = this.#clock.now()
    const stamped = timestampType === 'LogAppendTime'
    if (stamped) writeBatchAppendTime(stored, 0, now)
    const baseOffset = this.#writer.nextOffset
    await this.#writer.appendBatch(stored, { ...info, maxTimestamp: stamped ? now : info.maxTimestamp })
    return { baseOffset, lastOffset: this.#writer.nextOffset - 1, duplicate: false }
  }

  /** Decides on the open transaction of the producer, if there is one that the caller may decide on. */
  decide(producer: Producer, outcome: Outcome): boolean {
    const state = this.#producers.get(producer.id)
    if (state === undefined || state.openFrom < 0 || producer.epoch < state.epoch) return false
    const undecidable = this.#producers.outcomeOf(producer.id, state.openFrom) === 'undecidable'
    return (outcome === 'commit' || !undecidable) && this.#producers.decide(producer.id, outcome)
  }

  /** Writes the marker of a transaction; the one that was decided on first. */
  async end(producer: Producer, outcome: Outcome, coordinatorEpoch: number): Promise<void> {
    this.#producers.checkEpoch(producer)
    // Appends that were under way when it was decided may have opened it only now.
    if (!this.decide(producer, outcome)) return
    const decision = this.#producers.decision(producer.id)!
    const offset = this.#writer.nextOffset
    await this.#writer.appendMarker({ producer, outcome: decision, coordinatorEpoch }, aborted => {
      if (aborted !== undefined) this.#aborted.add(aborted)
    })
    this.#markers = [this.#markers[1] === offset ? this.#markers[0] : offset, offset + 1]
  }

  /** Nothing but markers lies there, as far as is known. */
  onlyMarkers(from: number, to: number): boolean {
    return this.#markers[0] <= from && to <= this.#markers[1]
  }

  /** What becomes of a transactional batch below the last stable offset. */
  verdict(producerId: number, baseOffset: number): Verdict {
    const outcome = this.#producers.outcomeOf(producerId, baseOffset)
    if (outcome === 'undecidable') return 'refuse'
    return outcome === 'abort' || this.#aborted.has(producerId, baseOffset) ? 'skip' : 'serve'
  }
}
