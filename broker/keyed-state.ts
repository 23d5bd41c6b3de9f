import {
  errorCode,
  errorMessage,
  type Files,
  KtsError,
  type Logger,
  type PackedRecords,
  PackedWriter,
} from '../base/index.ts'
import type { Isolation, PartitionRead } from './partition-log.ts'
import type { Producer } from './producers.ts'
import { readSnapshot, type StateRecord, writeSnapshot } from './state-snapshot.ts'

const READ_BYTES_MAX = 1 << 20
const BATCH_BYTES_MAX = 512 << 10

/** What keyed state needs of the partition that holds it. */
export interface StateLog {
  readonly logStartOffset: number
  readonly nextOffset: number
  readonly lastStableOffset: number
  append(
    records: readonly PackedRecords[],
    options?: { readonly producer?: Producer },
  ): Promise<{ readonly baseOffset: number; readonly lastOffset: number }>
  sync(): Promise<void>
  read(offset: number, bytesMax: number, isolation: Isolation): Promise<PartitionRead>
}

/** Who makes sense of the records: told of what is decided, for each key in the order of the log. */
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
  /** What becomes of others when records of the topic are lost, as half a sentence. */
  readonly lossMeans: string
  /** A snapshot is written after so many records. */
  readonly snapshotEvery?: number
  /** What the records say beside their keys has to be kept elsewhere before a snapshot lets a start pass over them. */
  readonly beforeSnapshot?: () => Promise<void>
}

/** Records in the log that wait for their transaction. */
export interface WrittenState {
  readonly records: readonly StateRecord[]
  readonly baseOffset: number
}

interface Entry extends StateRecord {
  /** Of its record; -1 when it came from the snapshot, which is older than every record that is read after it. */
  readonly offset: number
}

interface Waiting {
  readonly records: readonly StateRecord[]
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * A map whose truth is a topic of one partition (newest record of a key wins) and whose snapshot is only a shortcut: it
 * holds the map as of a known offset, so a start reads the rest. Records come with a transaction (`append`, then `apply`
 * once it is committed) or on their own (`put`): of these one write is under way at a time, and what came meanwhile goes
 * into the next. Compaction keeps the topic small, and must not pass `snapshotOffset`: a start reads on from there, and
 * would not hear of an entry that is gone if its tombstone were gone too.
 */
export class KeyedState {
  readonly #parts: KeyedStateParts
  readonly #entries = new Map<string, Entry>()
  /** Offsets of removals, for as long as an older record of the same key may yet be committed. */
  readonly #removed = new Map<string, number>()
  readonly #waiting: Waiting[] = []
  #snapshotOffset = -1
  #appliedSince = 0
  /** Where a write of `put` begins that is not in the map yet. */
  #unappliedFrom = Number.POSITIVE_INFINITY
  #writing: Promise<void> | undefined
  #snapshotting: Promise<boolean> = Promise.resolve(true)

  static async open(parts: KeyedStateParts): Promise<KeyedState> {
    const state = new KeyedState(parts)
    await state.#load()
    return state
  }

  private constructor(parts: KeyedStateParts) {
    this.#parts = parts
  }

  /** Everything before it is in the snapshot; -1 when there is none. */
  get snapshotOffset(): number {
    return this.#snapshotOffset
  }

  /** Writes records into the producer's transaction: all or none. */
  async append(records: readonly StateRecord[], producer: Producer): Promise<WrittenState> {
    const { baseOffset } = await this.#parts.log.append(pack(records), { producer })
    return { records, baseOffset }
  }

  /** The transaction of these records is committed. To be called in the turn in which the log hears of it, afterwards. */
  apply({ records, baseOffset }: WrittenState): void {
    records.forEach((record, i) => {
      this.#apply(record, baseOffset + i)
    })
    this.#forgetRemoved()
    this.#snapshotIfDue()
  }

  /**
   * Resolves when the records are durable and in the map. Records of one call keep together. A rejection with anything
   * but STORAGE_FAILED caused by STORAGE_FAILED says that nothing of it is in the log.
   */
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
    await this.#snapshotting
  }

  /**
   * Writes the snapshot if there is anything new. A failure is only logged, and answered with false: the snapshot is no
   * more than a shortcut.
   */
  snapshot(): Promise<boolean> {
    this.#appliedSince = 0
    this.#snapshotting = this.#snapshotting.then(() => this.#writeSnapshot())
    return this.#snapshotting
  }

  async #load(): Promise<void> {
    const { log, topic, logger } = this.#parts
    const snapshot = await this.#usableSnapshot()
    for (const record of snapshot?.records ?? []) this.#apply(record, -1)
    this.#snapshotOffset = snapshot?.offset ?? -1
    const from = snapshot?.offset ?? log.logStartOffset
    let offset = from
    while (offset < log.lastStableOffset) {
      const { batches, nextOffset } = await this.#read(offset)
      for (const records of batches) this.#applyPacked(records)
      if (nextOffset <= offset) break
      offset = nextOffset
    }
    this.#removed.clear()
    logger.debug({ topic, from, to: offset, entries: this.#entries.size }, 'state read')
  }

  /** Damage here keeps the broker from starting, and only its owner can say that the rest will do. */
  async #read(offset: number): Promise<PartitionRead> {
    const { log, topic, lossMeans } = this.#parts
    try {
      return await log.read(offset, READ_BYTES_MAX, 'read_committed')
    } catch (error) {
      if (!(error instanceof KtsError) || error.code !== 'CORRUPT_MESSAGE') throw error
      const { file, firstOffset, lastOffset, position } = error.details ?? {}
      throw new KtsError(
        'CORRUPT_MESSAGE',
        `${file} at byte ${position}: offsets ${firstOffset} to ${lastOffset} of the broker's own topic ${topic} are damaged, and it cannot start without them. Restore the file from a backup, or give them up with \`kts-connect log repair\`: ${lossMeans}`,
        { cause: error, details: { ...error.details } },
      )
    }
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
      this.#apply({ key: Buffer.from(key), value: value === null ? null : Buffer.from(value) }, records.offset(i))
    }
  }

  /** Transactions end in an order of their own: what stands later in the log holds. */
  #apply(record: StateRecord, offset: number): void {
    const { view } = this.#parts
    const { key, value } = record
    const id = view.identify(key)
    if (offset < Math.max(this.#entries.get(id)?.offset ?? -1, this.#removed.get(id) ?? -1)) return
    if (value === null) {
      this.#entries.delete(id)
      this.#removed.set(id, offset)
    } else {
      this.#entries.set(id, { key, value, offset })
      this.#removed.delete(id)
    }
    this.#appliedSince++
    view.apply(key, value)
  }

  async #writeWaiting(): Promise<void> {
    while (this.#waiting.length > 0) await this.#writeLot(this.#takeLot())
    this.#writing = undefined
  }

  /** What fits into one batch, at least one call's: a batch is written whole or torn, so none is behind a torn one. */
  #takeLot(): Waiting[] {
    let bytes = 0
    let count = 0
    for (const { records } of this.#waiting) {
      bytes += bytesOf(records)
      if (count > 0 && bytes > BATCH_BYTES_MAX) break
      count++
    }
    return this.#waiting.splice(0, count)
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
    this.#unappliedFrom = log.nextOffset
    const { baseOffset } = await log.append(pack(records))
    try {
      await log.sync()
    } catch (error) {
      throw new KtsError('STORAGE_FAILED', `${this.#parts.topic}: ${errorMessage(error)}`, { cause: error })
    }
    records.forEach((record, i) => {
      this.#apply(record, baseOffset + i)
    })
    this.#unappliedFrom = Number.POSITIVE_INFINITY
    this.#forgetRemoved()
    this.#snapshotIfDue()
  }

  #forgetRemoved(): void {
    const { lastStableOffset } = this.#parts.log
    for (const [id, offset] of this.#removed) if (offset < lastStableOffset) this.#removed.delete(id)
  }

  /** Keeps the next start short. */
  #snapshotIfDue(): void {
    if (this.#appliedSince >= (this.#parts.snapshotEvery ?? 10_000)) void this.snapshot()
  }

  async #writeSnapshot(): Promise<boolean> {
    const { files, snapshotPath, topicId, topic, logger, log, beforeSnapshot } = this.#parts
    try {
      // Behind it something may be undecided. What is decided there already is in the map as well, and is read again.
      const offset = Math.min(log.lastStableOffset, this.#unappliedFrom)
      if (offset === this.#snapshotOffset) return true
      const records = [...this.#entries.values()]
      await beforeSnapshot?.()
      await writeSnapshot(files, snapshotPath, { topicId, offset, records })
      this.#snapshotOffset = offset
      return true
    } catch (error) {
      logger.warn({ topic, err: error }, 'state snapshot failed and will be tried again')
      return false
    }
  }
}

function sizeOf({ key, value }: StateRecord): number {
  return key.length + (value?.length ?? 0)
}

function bytesOf(records: readonly StateRecord[]): number {
  return records.reduce((sum, record) => sum + sizeOf(record), 0)
}

/** In batches of bounded size. */
function pack(records: readonly StateRecord[]): PackedRecords[] {
  const out: PackedRecords[] = []
  const bytes = Math.min(BATCH_BYTES_MAX, bytesOf(records))
  let writer = new PackedWriter(bytes)
  for (const record of records) {
    const { key, value } = record
    if (writer.count > 0 && writer.bytes + sizeOf(record) > BATCH_BYTES_MAX) {
      out.push(writer.build())
      writer = new PackedWriter(bytes)
    }
    writer.add(key, value, undefined, -1)
  }
  out.push(writer.build())
  return out
}
