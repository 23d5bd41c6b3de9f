import { errorCode, errorMessage, KtsError } from '../base/index.ts'

/** What writing to a partition has met: most failures are for good, a full disk is not. */
export class PartitionFailure {
  readonly #directory: string
  readonly #details: () => Readonly<Record<string, string | number>> & { readonly highWatermark: number }
  #failure: KtsError | undefined

  constructor(
    directory: string,
    details: () => Readonly<Record<string, string | number>> & { readonly highWatermark: number },
  ) {
    this.#directory = directory
    this.#details = details
  }

  /** Throws what ended the partition's appends, if anything has. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  /** The error to throw for a failed write. A full disk was taken back by the writer; whatever else it is stays. */
  ofWrite(error: unknown): KtsError {
    if (error instanceof KtsError && error.code !== 'STORAGE_FAILED') return error
    const code = errorCode(error)
    if (code === 'EMFILE' || code === 'ENFILE')
      return new KtsError(
        'STORAGE_FAILED',
        `${this.#directory}: too many open files, the append was taken back; raise the limit (ulimit -n)`,
        { cause: error },
      )
    if (code !== 'ENOSPC' && code !== 'EDQUOT') return this.forGood(error)
    return new KtsError(
      'DISK_FULL',
      `${this.#directory}: no room on the device, the append was taken back; free space, the log then goes on by itself`,
      { cause: error },
    )
  }

  /** Nothing is written from now on. */
  forGood(error: unknown): KtsError {
    const details = this.#details()
    this.#failure ??= new KtsError(
      'STORAGE_FAILED',
      `${this.#directory}: ${errorMessage(error)}; nothing since offset ${details.highWatermark} is sure to be stored: mend the disk and start again`,
      { cause: error, details },
    )
    return this.#failure
  }
}
