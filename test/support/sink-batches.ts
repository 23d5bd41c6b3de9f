import { type Encoding, PackedRecords, packRecords, type SinkBatch, type SinkRecord } from '../../runtime/api/index.ts'

export interface BatchFields {
  readonly topic?: string
  readonly partition?: number
  readonly offset?: number
  readonly encoding?: Encoding
  /** One for all, or one for each. */
  readonly timestamp?: number | readonly number[]
}

/** A packed batch as the log gives it: dense offsets from `offset`. */
export function packedBatch(values: readonly (Uint8Array | string | null)[], fields: BatchFields = {}): SinkBatch {
  const { topic = 't', partition = 0, offset = 0, encoding = 'bytes', timestamp = 1_700_000_000_000 } = fields
  const packed = packRecords(
    values.map((value, i) => ({ value, timestamp: typeof timestamp === 'number' ? timestamp : timestamp[i]! })),
  )
  return {
    topic,
    partition,
    count: values.length,
    packed: new PackedRecords({
      count: packed.count,
      bytes: packed.bytes,
      valueStarts: packed.valueStarts,
      valueEnds: packed.valueEnds,
      timestamps: packed.timestamps,
      baseOffset: offset,
    }),
    encoding,
    records: () => {
      throw new Error('a packed batch was turned into objects')
    },
    nextOffset: offset + values.length,
  }
}

/** A batch that a transform has touched: objects only. */
export function recordsBatch(values: readonly unknown[], fields: BatchFields & { routed?: string } = {}): SinkBatch {
  const { topic = 't', partition = 0, offset = 0, timestamp = 1_700_000_000_000 } = fields
  const records = values.map(
    (value, i): SinkRecord => ({
      topic: fields.routed ?? topic,
      partition,
      key: null,
      keySchema: undefined,
      value,
      valueSchema: undefined,
      headers: undefined,
      timestamp: typeof timestamp === 'number' ? timestamp : timestamp[i]!,
      origin: { topic, partition, offset: offset + i },
    }),
  )
  return {
    topic,
    partition,
    count: values.length,
    packed: undefined,
    encoding: 'other',
    records: () => records,
    nextOffset: offset + values.length,
  }
}
