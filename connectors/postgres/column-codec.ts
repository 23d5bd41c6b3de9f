import type { Schema } from '../../runtime/api/index.ts'
import type { JsonBytes } from './json-bytes.ts'

/**
 * One column's way from the server's bytes to events: as a value of the data model (for transforms and converters), and
 * as JSON text straight away (for a topic of plain JSON, where speed matters). Both say the same: the JSON is what the
 * JSON converter without schemas writes for the value.
 */
export interface ColumnCodec {
  /** Of the field in the row, with default and logical type as Debezium's. */
  readonly schema: Schema
  /**
   * True: `schema` can become another one while a value is made, when the value is more than it can say (NaN in a NOT NULL
   * decimal makes it optional, a deeper array nests it). Whoever pairs values with schemas looks at it again after a row.
   */
  readonly evolves?: boolean
  /** Of the server's text form, bytes [start, end). */
  valueOfText(bytes: Buffer, start: number, end: number): unknown
  writeText(bytes: Buffer, start: number, end: number, into: JsonBytes): void
  /** Of the binary form (typsend); absent where only text is known: the stream then asks for text. */
  readonly valueOfBinary?: (bytes: Buffer, start: number, end: number) => unknown
  readonly writeBinary?: (bytes: Buffer, start: number, end: number, into: JsonBytes) => void
  /** Stands for a value that was not sent (`unavailable.value.placeholder`), in this column's type. */
  readonly unavailable: unknown
  /** True: also a NULL is told as `absent`. */
  readonly masksNull?: boolean
  /** Stands for the NULL of a NOT NULL column in a row of which only the key was sent. */
  readonly absent: unknown
}
