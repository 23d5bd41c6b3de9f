/**
 * Where objects go: a bucket or a directory. Keys are paths with `/`. What a store rejects with is a KtsError or a
 * system error whose code is in the table of runtime/api/errors.ts.
 */
export interface ObjectStore {
  /** For people: `s3://logs`, `/var/exports`. */
  readonly place: string
  /** Begins an object. Nothing is visible under `key` before its commit; an object that is there is replaced whole. */
  create(key: string): ObjectWriter
  /**
   * Removes what uploads that were never committed left behind, where `own` answers true for the last part of their key.
   * Answers how many.
   */
  sweep(own: (name: string) => boolean): Promise<number>
  /** Small objects, for checks. */
  put(key: string, bytes: Uint8Array): Promise<void>
  /** Undefined when there is none. */
  get(key: string): Promise<Buffer | undefined>
  delete(key: string): Promise<void>
  close(): Promise<void>
}

/** One object under construction. Calls must not overlap. */
export interface ObjectWriter {
  /** Memory held, in bytes. */
  readonly held: number
  /**
   * Adds a chunk; its memory is the caller's again when this resolves. A rejection has taken nothing of it: the same
   * chunk may be given again.
   */
  write(chunk: Uint8Array): Promise<void>
  /**
   * Resolves when the object is durable and the store has confirmed it. After a rejection that can be retried it may be
   * called again; it never leaves two objects.
   */
  commit(): Promise<void>
  /** Gives up and leaves nothing; never rejects for what is gone already. */
  abort(): Promise<void>
}
