import type { PackedRecords, SinkBatch, SinkRecord } from '../../runtime/api/index.ts'

/**
 * The records of one batch by position, packed as long as their bytes can be copied, else as objects. Throws RecordError
 * for a record that does not decode.
 */
export class Rows {
  readonly count: number
  /** Exactly one of `packed` and `records` is there. */
  readonly packed: PackedRecords | undefined
  readonly records: readonly SinkRecord[] | undefined
  /** Packed values are JSON texts, not lines of anything. */
  readonly json: boolean
  readonly #topic: string

  constructor(batch: SinkBatch) {
    this.packed = batch.encoding === 'other' ? undefined : batch.packed
    this.records = this.packed === undefined ? batch.records() : undefined
    this.count = this.packed?.count ?? this.records?.length ?? 0
    this.json = batch.encoding === 'json'
    this.#topic = batch.topic
  }

  /** The topic as transforms left it. */
  topic(i: number): string {
    return this.records === undefined ? this.#topic : this.records[i]!.topic
  }

  offset(i: number): number {
    return this.packed?.offset(i) ?? this.records![i]!.origin.offset
  }

  /** Milliseconds since the epoch; -1 is "none". */
  timestamp(i: number): number {
    return this.packed?.timestamp(i) ?? this.records![i]!.timestamp ?? -1
  }

  isNull(i: number): boolean {
    if (this.packed !== undefined) return this.packed.valueStarts[i]! < 0
    return (this.records![i]!.value ?? null) === null
  }
}
