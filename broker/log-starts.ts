import type { Files, Logger } from '../base/index.ts'
import { isPartitionOf, partitionKey } from './group-members.ts'
import { type PartitionOffset, readOffsetCheckpoint, writeOffsetCheckpoint } from './offset-checkpoint.ts'

/**
 * Where partitions begin within a segment, because the records below were deleted on request: Kafka's
 * log-start-offset-checkpoint, and a copy of it in `meta`, as nothing else in the directory knows these. What one of the
 * two has lost the other one still tells, so that deleted records do not come back.
 */
export class LogStarts {
  readonly #files: Files
  readonly #paths: readonly string[]
  #offsets = new Map<string, number>()
  #written: string | undefined

  private constructor(files: Files, directory: string) {
    this.#files = files
    this.#paths = [`${directory}/meta/log-start-offset-checkpoint`, `${directory}/log-start-offset-checkpoint`]
  }

  /** Where the two differ the higher offsets are taken, and it is said. Rejects with the system's error. */
  static async open(files: Files, directory: string, logger: Logger): Promise<LogStarts> {
    const starts = new LogStarts(files, directory)
    const [copyPath, path] = starts.#paths as [string, string]
    const [copy, own] = [await readOffsetCheckpoint(files, copyPath), await readOffsetCheckpoint(files, path)]
    for (const [key, offset] of [...(copy ?? []), ...(own ?? [])])
      starts.#offsets.set(key, Math.max(offset, starts.#offsets.get(key) ?? 0))
    const partitions = [...starts.#offsets.keys()].filter(key => copy?.get(key) !== own?.get(key))
    // A directory of Kafka's has no copy, which is no reason to worry.
    if (partitions.length > 0 && copy !== undefined)
      logger.warn(
        { path, copy: copyPath, partitions },
        'the file of the offsets at which partitions start is damaged, or differs from its copy: of the two the higher offsets are taken',
      )
    if (starts.#offsets.size === 0) starts.#written = '[]'
    return starts
  }

  get(topic: string, partition: number): number | undefined {
    return this.#offsets.get(partitionKey(topic, partition))
  }

  forget(topic: string): void {
    for (const key of [...this.#offsets.keys()]) if (isPartitionOf(key, topic)) this.#offsets.delete(key)
  }

  /** Replaces all that is written down; durable when it resolves. */
  async write(starts: readonly PartitionOffset[]): Promise<void> {
    const text = JSON.stringify(starts)
    if (text === this.#written) return
    this.#written = undefined
    for (const path of this.#paths) await writeOffsetCheckpoint(this.#files, path, starts)
    this.#written = text
  }
}
