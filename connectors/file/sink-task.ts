import {
  assert,
  errorCode,
  type FileHandle,
  type JsonObject,
  KtsError,
  type OpenPartition,
  RejectedRecords,
  type SinkBatch,
  type SinkProgress,
  type SinkTask,
  type TaskContext,
  type TopicPartition,
} from '../../runtime/api/index.ts'
import { ensureDurableDirectory, parentOf } from '../durable-directory.ts'
import { BlockWriter, blockPool } from '../formats/block-writer.ts'
import type { Format } from '../formats/format.ts'
import { Rows } from '../formats/rows.ts'
import { unusable } from './sink-errors.ts'

const STATE_VERSION = 1

/** So much is written before a sync of it begins beside the writing: the disk is kept busy, and no commit waits long. */
const SYNC_BYTES = 16 << 20

interface Position extends TopicPartition {
  /** Everything below is in the file. */
  offset: number
}

/**
 * Appends lines to one file. State of every partition: the length of the file when its offset was committed. Both are
 * committed together, so a restart cuts the file to that length and the log delivers what is missing, once.
 */
export class FileSinkTask implements SinkTask {
  readonly #path: string
  readonly #format: Format
  readonly #context: TaskContext
  readonly #pool = blockPool()
  readonly #positions = new Map<string, Position>()
  #file: FileHandle | undefined
  /** Bytes that belong to the file; what lies behind them is left from a failed write. */
  #size = 0
  #syncedSize = 0
  /** What the last sync made durable. */
  #durable: readonly SinkProgress[] = []
  #syncing: Promise<void> | undefined
  #syncFailure: KtsError | undefined

  constructor(path: string, format: Format, context: TaskContext) {
    this.#path = path
    this.#format = format
    this.#context = context
  }

  async open(partitions: readonly OpenPartition[]): Promise<void> {
    if (this.#file === undefined) await this.#openFile(partitions)
    for (const { topic, partition, offset } of partitions) {
      this.#positions.set(nameOf(topic, partition), { topic, partition, offset })
    }
    // A kill before the first commit must find where this run began, or its lines would be written twice.
    if (partitions.some(({ state }) => state === null)) await this.#context.saveState(this.#progress())
  }

  /** Nothing was taken when it rejects: the same batches are written over what a failed write left. */
  async put(batches: readonly SinkBatch[]): Promise<void> {
    const file = this.#file
    assert(file !== undefined, 'file sink: put before open')
    const out = new BlockWriter(this.#pool)
    const rejected: { batch: number; record: number; reason: string }[] = []
    for (const [b, batch] of batches.entries()) {
      const rows = new Rows(batch)
      const reject = (record: number, reason: string) => rejected.push({ batch: b, record, reason })
      this.#format.write(rows, 0, rows.count, out, Number.POSITIVE_INFINITY, reject)
    }
    out.finish()
    await this.#append(file, out)
    for (const { topic, partition, nextOffset } of batches) {
      const position = this.#positions.get(nameOf(topic, partition))
      assert(position !== undefined, `file sink: records of ${topic}-${partition}, which was not opened`)
      position.offset = nextOffset
    }
    // Not before: size and offsets are committed together, and have to belong together.
    if (this.#size - this.#syncedSize >= SYNC_BYTES) this.#startSync()
    const repaired = this.#format.takeRepaired()
    if (repaired > 0) this.#context.count('invalid.utf8', repaired)
    if (rejected.length > 0) throw new RejectedRecords(rejected)
  }

  /** Under load this is what the sync beside the writing has reached; a commit waits only for a little. */
  async preCommit(): Promise<readonly SinkProgress[]> {
    if (this.#size - this.#syncedSize < SYNC_BYTES) await this.#syncAll()
    else this.#startSync()
    this.#checkSync()
    return this.#durable
  }

  drain(): Promise<void> {
    return this.#syncAll()
  }

  async closePartitions(partitions: readonly TopicPartition[]): Promise<void> {
    for (const { topic, partition } of partitions) this.#positions.delete(nameOf(topic, partition))
    this.#durable = this.#durable.filter(({ topic, partition }) => this.#positions.has(nameOf(topic, partition)))
  }

  async close(): Promise<void> {
    await this.#syncing
    await this.#file?.close()
    this.#file = undefined
  }

  async #openFile(partitions: readonly OpenPartition[]): Promise<void> {
    const directory = parentOf(this.#path)
    try {
      await ensureDurableDirectory(this.#context.files, directory, directory)
      const file = await this.#context.files.open(this.#path, 'write')
      this.#file = file
      this.#size = await this.#resume(file, savedSize(partitions))
      await file.datasync()
      await this.#context.files.syncDirectory(directory)
      this.#syncedSize = this.#size
    } catch (cause) {
      await this.close()
      throw unusable(this.#path, cause)
    }
    this.#context.report({ file: this.#path })
  }

  /** Answers where lines are appended, and cuts off what an earlier run had not committed. */
  async #resume(file: FileHandle, saved: number | undefined): Promise<number> {
    const { size } = await file.stat()
    if (saved === undefined) return size
    if (size > saved) {
      this.#context.log.info(
        { file: this.#path, from: size, to: saved },
        'cut off lines that were not committed; they come again',
      )
      await file.truncate(saved)
      return saved
    }
    if (size === 0 && saved > 0) {
      this.#context.log.warn({ file: this.#path, saved }, 'the file is gone or empty; lines go into a new one')
      return 0
    }
    if (size < saved) {
      throw new KtsError(
        'POSITION_LOST',
        `${this.#path}: expected at least ${saved} bytes, found ${size}: somebody shortened it. Put the file back, or move it away and a new one is begun`,
      )
    }
    return saved
  }

  async #append(file: FileHandle, out: BlockWriter): Promise<void> {
    const blocks: Buffer[] = []
    for (let block = out.shift(); block !== undefined; block = out.shift()) blocks.push(block)
    try {
      await file.write(blocks, this.#size)
    } catch (cause) {
      // Half a line would otherwise stand at the end until the next try; best effort, since the next write covers it.
      await file.truncate(this.#size).catch(() => {})
      throw unusable(this.#path, cause)
    } finally {
      for (const block of blocks) out.giveBack(block)
    }
    this.#size += out.total
  }

  async #syncAll(): Promise<void> {
    await this.#syncing
    this.#checkSync()
    if (this.#size === this.#syncedSize) {
      this.#durable = this.#progress()
      return
    }
    this.#startSync()
    await this.#syncing
    this.#checkSync()
  }

  #startSync(): void {
    this.#syncing ??= this.#sync()
  }

  /** One at a time. Its failure is kept: the next commit tells it, and no sync is tried again. */
  async #sync(): Promise<void> {
    const file = this.#file
    assert(file !== undefined, 'file sink: commit before open')
    const size = this.#size
    const progress = this.#progress()
    try {
      await file.datasync()
      this.#syncedSize = size
      this.#durable = progress.filter(({ topic, partition }) => this.#positions.has(nameOf(topic, partition)))
    } catch (cause) {
      // A failed fdatasync may have dropped what it could not write, and would report success the next time.
      this.#syncFailure = new KtsError(
        'STORAGE_FAILED',
        `${this.#path}: the disk did not confirm what was written (${errorCode(cause)}); it is written anew. Look at the disk`,
        { cause },
      )
    } finally {
      this.#syncing = undefined
    }
  }

  #checkSync(): void {
    if (this.#syncFailure !== undefined) throw this.#syncFailure
  }

  #progress(): SinkProgress[] {
    return [...this.#positions.values()].map(({ topic, partition, offset }) => ({
      topic,
      partition,
      offset,
      state: { v: STATE_VERSION, size: this.#size, offset },
    }))
  }
}

/** Every commit saves the size for every partition, so the largest is the newest. Undefined for a first start. */
function savedSize(partitions: readonly OpenPartition[]): number | undefined {
  const sizes = partitions.flatMap(({ state }) => (state === null ? [] : [sizeIn(state)]))
  return sizes.length === 0 ? undefined : Math.max(...sizes)
}

function sizeIn(state: JsonObject): number {
  const { v, size } = state
  if (v === STATE_VERSION && typeof size === 'number') return size
  throw new KtsError(
    'POSITION_LOST',
    `file sink: expected state of version ${STATE_VERSION}, got ${JSON.stringify(state)}`,
  )
}

function nameOf(topic: string, partition: number): string {
  return `${topic}-${partition}`
}
