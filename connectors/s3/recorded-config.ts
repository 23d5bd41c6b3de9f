import { type Codec, type CodecName, type JsonObject, type JsonValue, loadCodec } from '../../runtime/api/index.ts'
import { createFormat, type Format } from '../formats/format.ts'
import { type Partitioner, partitionerOf } from './partitioners.ts'
import type { NullPolicy } from './runs.ts'

/** As `s3.compression.type` takes them. */
export type ObjectCodec = Extract<CodecName, 'none' | 'gzip' | 'zstd'>

/**
 * What decides which folder a record belongs to and how it is written, as it stands in the durable state beside the plans
 * that were made under it. Keys stand in the plans themselves; limits of rotation have done their work once a plan is made.
 */
export interface RecordedConfig {
  /** `s3://logs`, `/srv/exports` */
  readonly place: string
  readonly format: Format['name']
  readonly codec: ObjectCodec
  readonly partitioner: Partitioner['name']
  readonly nulls: NullPolicy
}

/** A RecordedConfig that can be worked by. */
export interface ObjectRules {
  readonly format: Format
  readonly codec: Codec
  readonly partitioner: Partitioner
  readonly nulls: NullPolicy
  /** `.json.zst` */
  readonly extension: string
}

const EXTENSIONS: Readonly<Record<ObjectCodec, string>> = { none: '', gzip: '.gz', zstd: '.zst' }

export async function rulesOf({ format: name, codec, partitioner, nulls }: RecordedConfig): Promise<ObjectRules> {
  const format = createFormat(name)
  return {
    format,
    codec: await loadCodec(codec),
    partitioner: partitionerOf(partitioner, undefined),
    nulls,
    extension: format.extension + EXTENSIONS[codec],
  }
}

export function configToJson({ place, format, codec, partitioner, nulls }: RecordedConfig): JsonObject {
  return { place, format, codec, partitioner, nulls }
}

/** The inverse of configToJson; undefined for anything else. */
export function configFromJson(json: JsonValue | undefined): RecordedConfig | undefined {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined
  const { place, format, codec, partitioner, nulls } = json as JsonObject
  if (typeof place !== 'string') return undefined
  if (format !== 'json' && format !== 'text') return undefined
  if (codec !== 'none' && codec !== 'gzip' && codec !== 'zstd') return undefined
  if (partitioner !== 'default' && partitioner !== 'hourly' && partitioner !== 'daily') return undefined
  if (nulls !== 'fail' && nulls !== 'ignore' && nulls !== 'write') return undefined
  return { place, format, codec, partitioner, nulls }
}

export function sameConfig(a: RecordedConfig, b: RecordedConfig): boolean {
  return JSON.stringify(configToJson(a)) === JSON.stringify(configToJson(b))
}
