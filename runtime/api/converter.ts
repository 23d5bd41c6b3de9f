import type { Encoding } from './record.ts'
import type { Schema } from './schema.ts'

/**
 * Between values and the log's bytes. Belongs to the topic: `topics.<t>.value.converter`. Synchronous; whatever must be
 * fetched (schemas of a registry) is fetched before.
 */
export interface Converter {
  readonly name: string
  /** How it was set up, by option: what a topic remembers, so that its readers take the same. */
  readonly settings?: Readonly<Record<string, string>>
  /** What its bytes are to someone who only copies them. */
  readonly encoding: Encoding
  /** Appends the encoding of `value` to the writer, or answers false for null. Throws RecordError. */
  encode(value: unknown, schema: Schema | undefined, into: ConverterWriter): boolean
  /** Throws RecordError for bytes that are not its format. */
  decode(bytes: Uint8Array | null): { readonly value: unknown; readonly schema: Schema | undefined }
}

/** Where a converter puts its bytes. */
export interface ConverterWriter {
  append(bytes: Uint8Array): void
  appendUtf8(text: string): void
}
