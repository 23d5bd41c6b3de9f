import { errorCode, errorMessage, type Files, type Logger, type PackedRecords, PackedWriter } from '../base/index.ts'
import type { Isolation, PartitionRead } from './partition-log.ts'
import { readSnapshot, type StateRecord, writeSnapshot } from './state-snapshot.ts'

const READ_BYTES_MAX = 1 << 20
const BATCH_BYTES_MAX = 512 << 10

/** What keyed state needs of the partition that holds it. */
export interface StateLog {
  readonly logStartOffset: number
  readonly nextOffset: number
  readonly sizeBytes: number
  append(records: readonly PackedRecords[]): Promise<{ readonly lastOffset: number }>
  sync(): Promise<void>
  read(offset: number, bytesMax: number, isolation: Isolation): Promise<PartitionRead>
  deleteBefore(offset: number): Promise<unknown>
}

/** Who makes sense of the records: told of each, in the order of the log, once it is durable. */
export interface StateView {
  /** Two keys with one answer are one entry: what is said last holds. Throws for a key that is not of this topic. */
  identify(key: Buffer): string
  /** A null value removes the entry. */
  apply(key: Buffer, value: Buffer | null): void
}

export interface KeyedStateParts {
  readonly topic: string
  /** Names the log, so that the snapshot of another one is not taken for its own. */
  readonly topicId: string
  readonly log: StateLog
  readonly view: StateView
  readonly files: Files
  readonly snapshotPath: string
  readonly logger: Logger
  /** A snapshot is written after so many records. */
  readonly snapshotEvery?: number
  /** The topic is rewritten when it is larger than this and mostly superseded. */
  readonly rewriteAbove?: number
}

interface Waiting {
  readonly records: readonly StateRecord[]
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * A map whose truth is a topic of one partition (newest record of a key wins) and whose snapshot is only a shortcut: it
 * holds the map as of a known offset, so a start reads the rest. One write is under way at a time, and all that came
 * meanwhile goes into the next: the order of the log, of the map and of the answers is one.
 */
export class KeyedState {
  readonly #parts: KeyedStateParts
  readonly #entries = new Map<string, StateRecord>()
  readonly #waiting: Waiting[] = []
  #bytes = 0
  /** The map holds everything before this offset. */
  #offset = 0
  #snapshotOffset = 0
  #snapshotDue = false
  #writing: Promise<void> | undefined

  static async open(parts: KeyedStateParts): Promise<KeyedState> {
    const state = new KeyedState(parts)
    await state.#load()
    return state
  }

  private constructor(parts: KeyedStateParts) {
    this.#parts = parts
  }

  /** Resolves when the records are durable and in the map. Records of one call keep together. */
  put(records: readonly StateRecord[]): Promise<void> {
    if (records.length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#waiting.push({ records, resolve, reject })
      this.#writing ??= this.#writeWaiting()
    })
  }

  /** Resolves when nothing is being written. */
  async settled(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

  /** Writes the snapshot if there is anything new. A failure is only logged: the snapshot is no more than a shortcut. */
  async snapshot(): Promise<void> {
    this.#snapshotDue = true
    this.#writing ??= this.#writeWaiting()
    await this.settled()
  }

  async #load(): Promise<void> {
    const { log, topic, logger } = this.#parts
    const snapshot = await this.#usableSnapshot()
    for (const record of snapshot?.records ?? []) this.#apply(record)
    this.#offset = snapshot?.offset ?? log.logStartOffset
    this.#snapshotOffset = snapshot?.offset ?? -1
    const from = this.#offset
    while (this.#offset < log.nextOffset) {
      const { batches, nextOffset } = await log.read(this.#offset, READ_BYTES_MAX, 'read_committed')
      for (const records of batches) this.#applyPacked(records)
      if (nextOffset <= this.#offset) break
      this.#offset = nextOffset
    }
    logger.debug({ topic, from, to: this.#offset, entries: this.#entries.size }, 'state read')
  }

  /** A snapshot that cannot be used is only slower, but why is worth a line: something went wrong before. */
  async #usableSnapshot() {
    const { files, snapshotPath, topicId, topic, log, logger } = this.#parts
    const snapshot = await readSnapshot(files, snapshotPath).catch(error => {
      if (errorCode(error) !== 'CORRUPT_MESSAGE') throw error
      logger.warn(
        { topic, path: snapshotPath, reason: errorMessage(error) },
        'state snapshot is damaged: the whole topic is read',
      )
      return undefined
    })
    if (snapshot === undefined) return undefined
    const { offset } = snapshot
    if (snapshot.topicId !== topicId) {
      logger.warn({ topic, path: snapshotPath }, 'state snapshot belongs to another topic: the whole topic is read')
      return undefined
    }
    if (offset > log.nextOffset || offset < log.logStartOffset) {
      const facts = {
        topic,
        path: snapshotPath,
        offset,
        logStartOffset: log.logStartOffset,
        nextOffset: log.nextOffset,
      }
      logger.error(
        facts,
        'state snapshot lies outside its topic, which has lost records: what the topic holds is taken',
      )
      return undefined
    }
    return snapshot
  }

  #applyPacked(records: PackedRecords): void {
    for (let i = 0; i < records.count; i++) {
      const key = records.key(i)
      if (key === null) continue
      // Copies: a view would keep the whole batch in memory.
      const value = records.value(i)
      this.#apply({ key: Buffer.from(key), value: value === null ? null : Buffer.from(value) })
    }
  }

  #apply(record: StateRecord): void {
    const { view } = this.#parts
    const id = view.identify(record.key)
    const old = this.#entries.get(id)
    if (old !== undefined) this.#bytes -= sizeOf(old)
    if (record.value === null) this.#entries.delete(id)
    else {
      this.#entries.set(id, record)
      this.#bytes += sizeOf(record)
    }
    view.apply(record.key, record.value)
  }

  async #writeWaiting(): Promise<void> {
    while (this.#waiting.length > 0 || this.#snapshotDue) {
      await this.#writeLot(this.#waiting.splice(0))
      await this.#tidy()
    }
    this.#writing = undefined
  }

  async #writeLot(lot: readonly Waiting[]): Promise<void> {
    if (lot.length === 0) return
    try {
      await this.#write(lot.flatMap(waiting => waiting.records))
      for (const { resolve } of lot) resolve()
    } catch (error) {
      for (const { reject } of lot) reject(error)
    }
  }

  async #write(records: readonly StateRecord[]): Promise<void> {
    const { log } = this.#parts
    const { lastOffset } = await log.append(pack(records))
    await log.sync()
    for (const record of records) this.#apply(record)
    this.#offset = lastOffset + 1
  }

  /**
   * Keeps the next start short, and the disk small: a topic of mostly superseded records is said again at its end, so
   * that all before can go. A failure here loses nothing, so it is only said.
   */
  async #tidy(): Promise<void> {
    const { log, topic, logger, snapshotEvery = 10_000, rewriteAbove = 32 << 20 } = this.#parts
    const rewrite = log.sizeBytes > rewriteAbove && log.sizeBytes > 8 * this.#bytes
    const due = this.#snapshotDue ? 1 : snapshotEvery
    this.#snapshotDue = false
    if (!rewrite && this.#offset - this.#snapshotOffset < due) return
    try {
      const start = this.#offset
      if (rewrite && this.#entries.size > 0) await this.#write([...this.#entries.values()])
      await this.#writeSnapshot()
      if (rewrite) await log.deleteBefore(start)
    } catch (error) {
      logger.warn({ topic, err: error }, 'state snapshot failed and will be tried again')
    }
  }

  async #writeSnapshot(): Promise<void> {
    const { files, snapshotPath, topicId } = this.#parts
    const offset = this.#offset
    await writeSnapshot(files, snapshotPath, { topicId, offset, records: [...this.#entries.values()] })
    this.#snapshotOffset = offset
  }
}

function sizeOf({ key, value }: StateRecord): number {
  return key.length + (value?.length ?? 0)
}

/** In batches of bounded size. */
function pack(records: readonly StateRecord[]): PackedRecords[] {
  const out: PackedRecords[] = []
  let writer = new PackedWriter()
  for (const { key, value } of records) {
    if (writer.bytes > BATCH_BYTES_MAX) {
      out.push(writer.build())
      writer = new PackedWriter()
    }
    writer.add(key, value, undefined, -1)
  }
  out.push(writer.build())
  return out
}
