import { KtsError, type PackedRecords } from '../base/index.ts'

/** Rejects records without a key, which a compacted log cannot keep: INVALID_RECORD, as Kafka answers. */
export function checkKeys(records: PackedRecords, place: string): void {
  const { keyStarts, count } = records
  for (let i = 0; i < count; i++) {
    if (keyStarts !== undefined && keyStarts[i]! >= 0) continue
    throw new KtsError(
      'INVALID_RECORD',
      `${place}: record ${i} of the batch has no key, and the topic is compacted (cleanup.policy); give it one, or send it to another topic`,
      { details: { record: i } },
    )
  }
}
