import { errorMessage } from '../base/index.ts'
import { CHECKPOINTS_TOPIC, OFFSETS_TOPIC, TRANSACTIONS_TOPIC } from './internal-topics.ts'
import { decodeOffsetKey, decodeOffsetValue } from './offset-records.ts'
import { decodeTransactionKey, decodeTransactionValue } from './transaction-records.ts'

/** A record of an internal topic in words: plain data for JSON. */
export interface DecodedRecord {
  readonly key: unknown
  /** Null where the record removes its key. */
  readonly value: unknown
  /** Why it cannot be told. */
  readonly problem?: string
}

/** By the first two bytes of a key (GroupCoordinator's CoordinatorRecordType). */
const OTHER_GROUP_RECORDS: Readonly<Record<number, string>> = {
  2: 'GroupMetadata',
  3: 'ConsumerGroupMetadata',
  4: 'ConsumerGroupPartitionMetadata',
  5: 'ConsumerGroupMemberMetadata',
  6: 'ConsumerGroupTargetAssignmentMetadata',
  7: 'ConsumerGroupTargetAssignmentMember',
  8: 'ConsumerGroupCurrentMemberAssignment',
}

/** Undefined for topics whose records are the user's. Never throws: what does not decode says so in words. */
export function decodeInternal(
  topic: string | undefined,
  key: Buffer,
  value: Buffer | null,
): DecodedRecord | undefined {
  const decode = topic === undefined ? undefined : DECODERS[topic]
  if (decode === undefined) return undefined
  try {
    return decode(key, value)
  } catch (error) {
    return { key: null, value: null, problem: errorMessage(error) }
  }
}

const DECODERS: Readonly<Record<string, (key: Buffer, value: Buffer | null) => DecodedRecord>> = {
  [OFFSETS_TOPIC]: (key, value) => {
    const offsetKey = decodeOffsetKey(key)
    if (offsetKey === undefined) {
      const type = key.readInt16BE(0)
      return {
        key: { type: OTHER_GROUP_RECORDS[type] ?? type },
        value: value === null ? null : { bytes: value.length },
      }
    }
    return { key: offsetKey, value: value === null ? null : decodeOffsetValue(value) }
  },
  [TRANSACTIONS_TOPIC]: (key, value) => ({
    key: { transactionalId: decodeTransactionKey(key) },
    value: value === null ? null : decodeTransactionValue(value),
  }),
  [CHECKPOINTS_TOPIC]: (key, value) => ({
    key: JSON.parse(key.toString()),
    value: value === null ? null : JSON.parse(value.toString()),
  }),
}
