import { KtsError } from '../base/index.ts'
import { FieldReader, FieldWriter } from './fields.ts'
import { OFFSETS_TOPIC } from './internal-topics.ts'
import type { GroupOffset } from './port.ts'

/**
 * Records of `__consumer_offsets` in Kafka's encoding (clients' message schemas OffsetCommitKey and OffsetCommitValue).
 * We write key version 1 and value version 3, which every Kafka since 2.1 reads; we read value versions 0 to 4.
 */
export interface OffsetKey {
  readonly group: string
  readonly topic: string
  readonly partition: number
}

export function encodeOffsetKey({ group, topic, partition }: OffsetKey): Buffer {
  return new FieldWriter().int16(1).string(group).string(topic).int32(partition).build()
}

/** Undefined for the other kinds of records that Kafka keeps in this topic (group metadata, KIP-848 state). */
export function decodeOffsetKey(key: Buffer): OffsetKey | undefined {
  const reader = new FieldReader(key, OFFSETS_TOPIC)
  const version = reader.int16()
  if (version !== 0 && version !== 1) return undefined
  return { group: reader.string(), topic: reader.string(), partition: reader.int32() }
}

export function encodeOffsetValue(offset: number, metadata: string, committedAt: number): Buffer {
  return new FieldWriter().int16(3).int64(offset).int32(-1).string(metadata).int64(committedAt).build()
}

export function decodeOffsetValue(value: Buffer): Pick<GroupOffset, 'offset' | 'metadata'> {
  const reader = new FieldReader(value, OFFSETS_TOPIC)
  const version = reader.int16()
  if (version < 0 || version > 4) {
    throw new KtsError(
      'CORRUPT_MESSAGE',
      `${OFFSETS_TOPIC}: expected an offset value of version 0 to 4, got ${version}; it was written by a newer Kafka`,
    )
  }
  const offset = reader.int64()
  if (version >= 3) reader.int32()
  return { offset, metadata: version === 4 ? reader.compactString() : reader.string() }
}
