/**
 * Codes of the broker, in Kafka's names where Kafka has one. All are thrown as KtsError.
 *
 * | code | when | what to do |
 * |---|---|---|
 * | UNKNOWN_TOPIC_OR_PARTITION | no such topic or partition | create it |
 * | INVALID_TOPIC | a name outside `[A-Za-z0-9._-]{1,249}`, `.` or `..`; records for the broker's own topics | choose another |
 * | INVALID_CONFIG | a topic setting that does not parse or is out of range | mend it |
 * | MESSAGE_TOO_LARGE | one record above the topic's `max.message.bytes` | dead-letter it or raise the limit |
 * | OFFSET_OUT_OF_RANGE | a position below the log's start or above its end | `details` has the lost range; never skipped silently |
 * | CORRUPT_MESSAGE | a stored batch fails its checksum or does not parse | `details` names segment, position and offsets |
 * | INVALID_RECORD | a record that the topic does not take: no key where the log is compacted, a batch that contradicts itself | mend or dead-letter it |
 * | UNSUPPORTED_COMPRESSION_TYPE | a batch of a codec that is not known or not installed | install or change it |
 * | OUT_OF_ORDER_SEQUENCE_NUMBER | a producer's batch does not follow its last one | the producer has lost batches: it begins anew |
 * | INVALID_PRODUCER_EPOCH | a newer epoch of the producer has written | as FENCED |
 * | INVALID_TXN_STATE | a batch that its producer's transaction does not take | end the transaction first |
 * | FENCED | a newer writer or member took the place | stop, reopen from the committed state |
 * | TRANSACTION_TIMED_OUT | a transaction was open for longer than `transactionTimeoutMs` and was aborted; its writer is fenced | reopen from the committed state |
 * | COMMIT_UNKNOWN | the commit failed half way | reopen and read back |
 * | DESTRUCTIVE_CHANGE | a change of a topic would delete records or move keys | `details` names what; allow it explicitly |
 * | DISK_FULL | no room on the device | free space; the log goes on by itself |
 * | STORAGE_FAILED | a write or fsync failed; what it covered is not acknowledged | reopen |
 * | DATA_DIR_IN_USE | another process owns the directory | stop it, or choose another |
 * | NO_LOG | a folder that was to be inspected holds no log | name another |
 * | CLOSED | the broker is closing | none |
 */
export const BROKER_CODES = [
  'UNKNOWN_TOPIC_OR_PARTITION',
  'INVALID_TOPIC',
  'INVALID_CONFIG',
  'MESSAGE_TOO_LARGE',
  'OFFSET_OUT_OF_RANGE',
  'CORRUPT_MESSAGE',
  'INVALID_RECORD',
  'UNSUPPORTED_COMPRESSION_TYPE',
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_TXN_STATE',
  'FENCED',
  'TRANSACTION_TIMED_OUT',
  'COMMIT_UNKNOWN',
  'DESTRUCTIVE_CHANGE',
  'DISK_FULL',
  'STORAGE_FAILED',
  'DATA_DIR_IN_USE',
  'NO_LOG',
  'CLOSED',
] as const
