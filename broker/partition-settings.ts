import type { CodecName } from '../base/index.ts'

/** A topic's settings as far as one partition minds them. Sizes in bytes, times in milliseconds. */
export interface PartitionSettings {
  readonly segmentBytes: number
  readonly segmentMs: number
  readonly indexIntervalBytes: number
  readonly maxMessageBytes: number
  /** Of the stored batches; `producer`: what their writer says, or had. */
  readonly codec: CodecName | 'producer'
  readonly timestampType: 'CreateTime' | 'LogAppendTime'
  /** `os`, the weaker one, in so many words: the high watermark is what was written, and a power cut may take it back. */
  readonly durability: 'sync' | 'os'
  /** Only the newest record of a key stays, so every record has to have one. */
  readonly compacts: boolean
}
