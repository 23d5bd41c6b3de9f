import { RecordError, type Schema } from '../../../runtime/api/index.ts'
import type { JsonBytes } from '../json-bytes.ts'

/**
 * How values of one type are made, whatever column they are in: what a ColumnCodec is before it knows of NOT NULL and of
 * the column's default.
 */
export interface Form {
  /** Not optional, without default. */
  readonly schema: Schema
  /** True: `schema` changes when a value comes that it cannot say. */
  readonly evolves?: boolean
  /** What the form cannot say, to be read behind "cannot say"; such a value becomes null. Absent: it says everything. */
  readonly lacks?: string
  valueOfText(bytes: Buffer, start: number, end: number): unknown
  writeText(bytes: Buffer, start: number, end: number, into: JsonBytes): void
  readonly valueOfBinary?: ((bytes: Buffer, start: number, end: number) => unknown) | undefined
  readonly writeBinary?: ((bytes: Buffer, start: number, end: number, into: JsonBytes) => void) | undefined
  /** What a NOT NULL column without a default has where nothing was sent. */
  readonly zero: unknown
  /** What the schema tells as default where that is a function call; absent: it tells no defaults of this type. */
  readonly generated?: unknown
  readonly unavailable: unknown
}

/** The options of types, as the forms need them. */
export interface TypeSettings {
  readonly decimals: 'precise' | 'double' | 'string'
  readonly times: 'adaptive' | 'adaptive_time_microseconds' | 'connect' | 'isostring' | 'microseconds' | 'nanoseconds'
  readonly intervals: 'numeric' | 'string'
  readonly hstore: 'json' | 'map'
  readonly binary: 'bytes' | 'base64' | 'base64-url-safe' | 'hex'
  readonly moneyDigits: number
  readonly placeholder: { readonly text: string; readonly bytes: Buffer }
}

/** A schema that a form begins with: neither optional nor with a default. */
export function schemaOf(type: Schema['type'], name?: string, more: Partial<Schema> = {}): Schema {
  const logical = name === undefined ? {} : { name, version: 1 }
  return { type, optional: false, ...logical, ...more }
}

/** Bytes that are no value of the type: the server writes none such under the settings of our sessions. */
export function unreadable(type: string, bytes: Buffer, start: number, end: number): RecordError {
  const shown = JSON.stringify(bytes.toString('latin1', start, Math.min(end, start + 40)))
  return new RecordError(`expected ${type} as the server writes it with DateStyle ISO, got ${shown}`)
}
