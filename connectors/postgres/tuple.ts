/** What a column of a row holds; text and binary are forms of a value. */
export const NULL = 0
/** A large value that was not changed and so was not sent (TOAST). */
export const UNCHANGED = 1
export const TEXT = 2
export const BINARY = 3

/**
 * One row as positions in bytes, from the stream or from COPY. The object and its bytes are used again for the next row:
 * whoever keeps a row copies it.
 */
export interface Tuple {
  readonly bytes: Buffer
  /** Columns, in the order of the relation. */
  readonly count: number
  /** NULL, UNCHANGED, TEXT or BINARY, by column. */
  readonly kinds: Uint8Array
  readonly starts: Int32Array
  readonly ends: Int32Array
}
