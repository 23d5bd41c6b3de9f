import type { BlockWriter } from './block-writer.ts'
import { JsonFormat } from './json.ts'
import type { Rows } from './rows.ts'
import { TextFormat } from './text.ts'

/** Turns rows into lines. One instance serves one task. */
export interface Format {
  readonly name: 'json' | 'text'
  /** Of the object's name: `.txt`, `.json`. */
  readonly extension: string
  /**
   * Appends rows [from, to), one line each, and stops behind the row that brings `out.total` to `totalMax` or past it.
   * Answers where to go on. A row that cannot be expressed is told to `reject` and leaves nothing behind.
   */
  write(rows: Rows, from: number, to: number, out: BlockWriter, totalMax: number, reject: Reject): number
  /** Tells `reject` the rows of [from, to) that `write` would refuse, and writes nothing. */
  check(rows: Rows, from: number, to: number, reject: Reject): void
  /** Values since the last call that were not valid UTF-8 and carry U+FFFD now. */
  takeRepaired(): number
}

export type Reject = (row: number, reason: string) => void

/** Short names first, Confluent's classes as aliases. */
export const FORMAT_NAMES = [
  'text',
  'json',
  'io.confluent.connect.s3.format.bytearray.ByteArrayFormat',
  'io.confluent.connect.s3.format.json.JsonFormat',
] as const

export type FormatName = (typeof FORMAT_NAMES)[number]

export function createFormat(name: FormatName): Format {
  return formatNameOf(name) === 'json' ? new JsonFormat() : new TextFormat()
}

/** The short name of one that may be a class of Confluent's. */
export function formatNameOf(name: FormatName): Format['name'] {
  return name === 'json' || name === 'io.confluent.connect.s3.format.json.JsonFormat' ? 'json' : 'text'
}
