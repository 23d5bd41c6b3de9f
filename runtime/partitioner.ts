import { PackedRecords, partitionForKey } from './api/index.ts'

/** How records find their partition (`partition.by`). */
export type PartitionBy = 'source' | 'key' | 'round-robin'

/** Chooses partitions for the batches of one task. */
export class Partitioner {
  readonly #by: PartitionBy
  #turn = 0

  constructor(by: PartitionBy) {
    this.#by = by
  }

  /**
   * Splits `records` over `partitions`. An order key keeps the whole batch together under `source`; keyed records go
   * where Kafka's default partitioner puts them; the rest goes in turn, a batch at a time.
   */
  split(
    records: PackedRecords,
    partitions: number,
    orderKey: string | undefined,
  ): readonly { readonly partition: number; readonly records: PackedRecords }[] {
    if (partitions === 1) return [{ partition: 0, records }]
    if (this.#by === 'source' && orderKey !== undefined) {
      return [{ partition: partitionForKey(Buffer.from(orderKey), partitions), records }]
    }
    if (this.#by === 'round-robin' || records.keyStarts === undefined)
      return [{ partition: this.#next(partitions), records }]
    return this.#byKey(records, partitions)
  }

  #next(partitions: number): number {
    this.#turn = (this.#turn + 1) % partitions
    return this.#turn
  }

  #byKey(records: PackedRecords, partitions: number) {
    const members: number[][] = Array.from({ length: partitions }, () => [])
    const keyless = this.#next(partitions)
    for (let i = 0; i < records.count; i++) {
      const key = records.key(i)
      members[key === null ? keyless : partitionForKey(key, partitions)]!.push(i)
    }
    const parts: { partition: number; records: PackedRecords }[] = []
    members.forEach((indexes, partition) => {
      if (indexes.length > 0) parts.push({ partition, records: pick(records, indexes) })
    })
    return parts
  }
}

/** The records at `indexes`, over the same bytes. */
function pick(records: PackedRecords, indexes: readonly number[]): PackedRecords {
  const gather = (from: Int32Array) => Int32Array.from(indexes, i => from[i]!)
  const optional = (from: Int32Array | undefined) => (from === undefined ? undefined : gather(from))
  const { timestamps } = records
  return new PackedRecords({
    count: indexes.length,
    bytes: records.bytes,
    valueStarts: gather(records.valueStarts),
    valueEnds: gather(records.valueEnds),
    keyStarts: optional(records.keyStarts),
    keyEnds: optional(records.keyEnds),
    headerStarts: optional(records.headerStarts),
    headerEnds: optional(records.headerEnds),
    timestamps: typeof timestamps === 'number' ? timestamps : Float64Array.from(indexes, i => timestamps[i]!),
  })
}
