import type { Transaction } from '../broker/index.ts'
import { KtsError, type PackedRecords } from './api/index.ts'

/** Records of one partition, in order. */
export interface Append {
  readonly topic: string
  readonly partition: number
  readonly records: PackedRecords
}

/** What the log refuses of a record: too large for the topic, or without a key where the topic is compacted. */
const REFUSED = new Set(['MESSAGE_TOO_LARGE', 'INVALID_RECORD'])

/**
 * Appends all records but those that the topic does not take: `unfit` hears of each of these, with its place in the
 * records that come with it, and throws when the others are not to be appended either.
 */
export async function appendFitting(
  transaction: Transaction,
  { topic, partition, records }: Append,
  unfit: (error: KtsError, records: PackedRecords, record: number) => void,
): Promise<void> {
  for (let rest = records; ; ) {
    try {
      await transaction.append(topic, partition, rest)
      return
    } catch (error) {
      const record = refusedRecord(error)
      if (record === undefined) throw error
      unfit(error as KtsError, rest, record)
      // It is the first that does not fit.
      if (record > 0) await transaction.append(topic, partition, rest.slice(0, record))
      rest = rest.slice(record + 1, rest.count)
    }
  }
}

function refusedRecord(error: unknown): number | undefined {
  if (!(error instanceof KtsError) || !REFUSED.has(error.code)) return undefined
  const record = error.details?.record
  return typeof record === 'number' ? record : undefined
}
