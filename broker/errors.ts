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
 * | FENCED | a newer writer or member took the place | stop, reopen from the committed state |
 * | TRANSACTION_TOO_LARGE | more than one transaction may stage | commit in smaller lots |
 * | COMMIT_UNKNOWN | the commit failed half way | reopen and read back |
 * | DISK_FULL | no room on the device | free space; the log goes on by itself |
 * | STORAGE_FAILED | a write or fsync failed; what it covered is not acknowledged | reopen |
 * | DATA_DIR_IN_USE | another process owns the directory | stop it, or choose another |
 * | CLOSED | the broker is closing | none |
 */
export const BROKER_CODES = [
  'UNKNOWN_TOPIC_OR_PARTITION',
  'INVALID_TOPIC',
  'INVALID_CONFIG',
  'MESSAGE_TOO_LARGE',
  'OFFSET_OUT_OF_RANGE',
  'CORRUPT_MESSAGE',
  'FENCED',
  'TRANSACTION_TOO_LARGE',
  'COMMIT_UNKNOWN',
  'DISK_FULL',
  'STORAGE_FAILED',
  'DATA_DIR_IN_USE',
  'CLOSED',
] as const
