import type { Clock, Files, Logger } from '../base/index.ts'
import type { FileCache } from './file-cache.ts'
import type { PartitionSettings } from './partition-settings.ts'
import type { ReadAhead } from './read-ahead.ts'
import type { SegmentRecovery } from './recovery.ts'

export interface PartitionParts {
  /** `<data directory>/<topic>-<partition>`, absolute; made when it is missing. */
  readonly directory: string
  readonly topic: string
  readonly partition: number
  /** 16 bytes in base64url. */
  readonly topicId: string
  readonly settings: PartitionSettings
  readonly files: Files
  readonly clock: Clock
  readonly log: Logger
  readonly cache: FileCache
  readonly readAhead: ReadAhead
  /** After an unclean start only what lies at or behind this offset is checked; 0 when nothing is known. */
  readonly recoveryPoint: number
  /** The last owner called `close` on every partition. */
  readonly clean: boolean
  /** Whether reads try the checksum of every batch. */
  readonly checkCrcs: boolean
  /** Everything below was acknowledged, as the transaction log knows; undefined when it knows nothing. */
  readonly acknowledgedEnd?: number | undefined
  /** Kafka's producer.id.expiration.ms, in record time; one day when it is left out. */
  readonly producerIdExpirationMs?: number | undefined
  /** Log start offset that deletion of records has set, which may lie inside a segment. */
  readonly startOffset?: number | undefined
}

export interface SegmentInfo {
  readonly baseOffset: number
  /** Offset behind its last record. */
  readonly nextOffset: number
  /** Of the log file, without its indexes. */
  readonly sizeBytes: number
  /** Largest record time, milliseconds since the epoch; -1 when it has no records. */
  readonly timestampMax: number
  /** Wall-clock time of its last append (after a start: of the file's last change), milliseconds since the epoch. */
  readonly appendedAt: number
}

/** What opening the partition found. All is zero or empty after a good close. */
export interface PartitionRecovery {
  /** Bytes of a torn tail that were cut off the last segment. */
  readonly truncatedBytes: number
  readonly segments: readonly SegmentRecovery[]
}
