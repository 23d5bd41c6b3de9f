import { errorCode, errorMessage, type Files, KtsError, type Logger, type Random } from '../base/index.ts'
import { entryBytes, type JournalSpan, writeEntry } from './journal-entry.ts'
import { JournalFile } from './journal-file.ts'
import { journalPaths } from './journal-replay.ts'
import type { LogTail } from './log-writer.ts'
import type { StateRecord } from './state-snapshot.ts'
import { encodeTransaction, type TransactionLog } from './transaction-log.ts'
import type { TransactionPartition } from './transaction-markers.ts'
import type { TransactionRecord } from './transaction-records.ts'

/** Of a partition four times less: above, writing its bytes twice costs more than a sync of its file. */
const ENTRY_BYTES_MAX = 128 << 10
/** Of a half, and of an entry: the file of each stays open until it is synced. */
const PARTITIONS_MAX = 100

export interface CommitJournalParts {
  /** The data directory. */
  readonly directory: string
  readonly files: Files
  readonly random: Random
  readonly logger: Logger
  readonly log: TransactionLog
  /** Whether the partition is still there: of a deleted one nothing is kept. */
  readonly exists: (partition: TransactionPartition) => boolean
  /** Of each of the two files, bytes. */
  readonly size: number
}

/** What becomes durable as one. */
export interface JournalCommit {
  readonly transactionalId: string
  readonly partitions: ReadonlySet<TransactionPartition>
  /** Told where each partition will be durable up to. */
  readonly recordOf: (endOf: (partition: TransactionPartition) => number) => TransactionRecord
}

interface Waiting {
  readonly commit: JournalCommit
  readonly resolve: (record: TransactionRecord | undefined) => void
  readonly reject: (error: unknown) => void
}

/** One of the two files, and the partitions that have bytes in it. */
interface Half {
  readonly file: JournalFile
  readonly partitions: Set<TransactionPartition>
}

/**
 * Makes transactions durable with one fdatasync: what they have written to all partitions, where it is little, and their
 * record of the transaction log become one entry of a file that does not grow. The files of the log follow later: one half
 * of the journal is written while the other is made superfluous by syncing these. After a kill the start writes what the
 * journal holds into the files (`replayJournal`), before it looks at them. Commits that come while one is written share the
 * next entry.
 */
export class CommitJournal {
  readonly #parts: CommitJournalParts
  readonly #waiting: Waiting[] = []
  readonly #buffer: Buffer
  /** The one that is written comes first; undefined while there was no room to make them. */
  #halves: [Half, Half] | undefined
  #number = 0
  #working: Promise<void> | undefined
  /** Lots and `clear` run one after the other. */
  #turn: Promise<unknown> = Promise.resolve()
  /** Of the half that is not written; once it has failed for another reason than a full disk, nothing is written any more. */
  #settling: Promise<void> = Promise.resolve()
  #isOver = false

  constructor(parts: CommitJournalParts) {
    this.#parts = parts
    this.#buffer = Buffer.alloc(Math.min(ENTRY_BYTES_MAX, parts.size >>> 2))
  }

  /** The partition has more than goes well into an entry: it is to be synced before `commit`. Throws as that rejects. */
  isLarge(partition: TransactionPartition): boolean {
    const tail = partition.tail.unsynced()
    return tail !== undefined && tail.bytes - tail.from > this.#buffer.length >>> 2
  }

  /**
   * Makes everything durable and readable that was written to the partitions before the call, together with the record.
   * Answers that, or undefined when it has done nothing: it is too much, there is no room, or what was written cannot be
   * read back. Rejects with what is wrong with a partition, and then nothing of it is decided; or with COMMIT_UNKNOWN.
   */
  commit(commit: JournalCommit): Promise<TransactionRecord | undefined> {
    if (this.#isOver) return Promise.resolve(undefined)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ commit, resolve, reject })
      this.#working ??= this.#work()
    })
  }

  /** To be called before anything is committed. Rejects as `clear` does, but for want of room or file handles. */
  async start(): Promise<void> {
    await this.clear().catch(error => {
      if (!willPass(error)) throw error
      this.#parts.logger.warn(
        { reason: errorMessage(error) },
        'the commit journal waits: commits take two syncs until then',
      )
    })
  }

  /** All is in the files of the log, and a start finds nothing here. Rejects when one of them could not be synced. */
  clear(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#isOver) throw new KtsError('STORAGE_FAILED', 'the commit journal failed: the next start empties it')
      await this.#settling.catch(() => undefined)
      if (this.#halves === undefined) this.#halves = await this.#open()
      for (const half of this.#halves) await this.#settle(half)
    })
  }

  /**
   * For compaction: what it puts into the place of a segment must not be overwritten by what the journal has of it. Rejects
   * when that cannot be had.
   */
  async forget(partition: TransactionPartition): Promise<void> {
    // An entry that is being written may be about it.
    await this.#inTurn(async () => undefined)
    const mentions = this.#halves?.some(({ partitions }) => partitions.has(partition)) ?? true
    if (mentions) await this.clear()
  }

  /** `settled`: everything is in the files of the log. */
  async close(settled: boolean): Promise<void> {
    this.#isOver = true
    await this.#working
    await this.#inTurn(() => this.#settling.catch(() => undefined))
    const halves = this.#halves ?? []
    try {
      if (settled) for (const { file } of halves) if (!file.isEmpty) await file.clear()
    } finally {
      for (const { file } of halves) await file.close()
    }
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0) await this.#inTurn(() => this.#writeLot())
    this.#working = undefined
  }

  async #writeLot(): Promise<void> {
    const tails = new Map<TransactionPartition, LogTail>()
    const lot = this.#takeLot(tails)
    if (lot.length === 0) return
    const endOf = (partition: TransactionPartition) => tails.get(partition)?.nextOffset ?? partition.recoveryPoint
    let records: readonly TransactionRecord[]
    let isWritten: boolean
    try {
      this.#parts.log.check()
      records = lot.map(({ commit }) => commit.recordOf(endOf))
      const states = records.map((record, i) => encodeTransaction(lot[i]!.commit.transactionalId, record))
      isWritten = await this.#writeEntry(tails, states)
    } catch (error) {
      for (const { reject } of lot) reject(error)
      return
    }
    if (isWritten) for (const [partition, tail] of tails) partition.tail.madeDurable(tail)
    for (const [i, { commit, resolve }] of lot.entries()) {
      if (isWritten) this.#parts.log.writeLater(commit.transactionalId, records[i]!)
      resolve(isWritten ? records[i] : undefined)
    }
  }

  /** False when nothing of it is there. */
  async #writeEntry(
    tails: ReadonlyMap<TransactionPartition, LogTail>,
    states: readonly StateRecord[],
  ): Promise<boolean> {
    const spans = [...tails].map(([partition, tail]) => spanOf(partition, tail))
    const bytes = entryBytes(spans, states)
    const isTooMuch = bytes > this.#buffer.length || tails.size > PARTITIONS_MAX
    const half = isTooMuch ? undefined : await this.#halfWithRoom(bytes)
    if (half === undefined) return false
    const entry = this.#buffer.subarray(0, bytes)
    let at = writeEntry(entry, spans, states)
    for (const [partition, tail] of tails) {
      if (!(await partition.tail.read(tail, entry, at))) return false
      at += tail.bytes - tail.from
    }
    for (const partition of tails.keys()) half.partitions.add(partition)
    try {
      await half.file.add(entry, this.#number++)
      return true
    } catch (error) {
      if (errorCode(error) === 'DISK_FULL') return false
      this.#isOver = true
      throw this.#parts.log.fail(error)
    }
  }

  /** Takes what fits into one entry; of all partitions, what is not durable. */
  #takeLot(tails: Map<TransactionPartition, LogTail>): readonly Waiting[] {
    const lot: Waiting[] = []
    let bytes = 0
    while (this.#waiting.length > 0) {
      const next = this.#waiting[0]!
      const added: (readonly [TransactionPartition, LogTail])[] = []
      try {
        for (const partition of next.commit.partitions) {
          const tail = tails.has(partition) ? undefined : partition.tail.unsynced()
          if (tail !== undefined) added.push([partition, tail])
        }
      } catch (error) {
        this.#waiting.shift()
        next.reject(error)
        continue
      }
      bytes += added.reduce((sum, [, tail]) => sum + tail.bytes - tail.from, 0)
      if (lot.length > 0 && bytes > this.#buffer.length >>> 1) break
      for (const [partition, tail] of added) tails.set(partition, tail)
      lot.push(this.#waiting.shift()!)
    }
    return lot
  }

  /** The half to write to. When it is full the other one's turn comes, if that has become superfluous. */
  async #halfWithRoom(bytes: number): Promise<Half | undefined> {
    try {
      this.#halves ??= await this.#open()
      const [half, other] = this.#halves
      if (half.file.room >= bytes && half.partitions.size < PARTITIONS_MAX) return half
      await this.#settling
      await this.#settle(other)
      this.#halves = [other, half]
      this.#settling = this.#settle(half)
      // Looked at when it is needed; until then nobody listens.
      this.#settling.catch(() => undefined)
      return other
    } catch (error) {
      if (willPass(error)) {
        this.#settling = Promise.resolve()
        return undefined
      }
      this.#isOver = true
      this.#parts.logger.warn(
        { reason: errorMessage(error) },
        'the commit journal is not written any more: commits take two syncs until the next start',
      )
      return undefined
    }
  }

  /** Puts into the log's files durably what a half holds, and empties it. */
  async #settle({ file, partitions }: Half): Promise<void> {
    if (file.isEmpty) return
    const { log, exists } = this.#parts
    await log.flush()
    await Promise.all(
      [...partitions].map(partition =>
        partition.tail.syncFile().catch(error => {
          if (exists(partition)) throw error
        }),
      ),
    )
    await file.clear()
    partitions.clear()
  }

  /** What an earlier run has left there is in the log by now, but for the records that are to be written later. */
  async #open(): Promise<[Half, Half]> {
    const { directory, files, random, log, size } = this.#parts
    await log.flush()
    const [first, second] = journalPaths(directory)
    const file = await JournalFile.open(files, first, size, random)
    try {
      const other = await JournalFile.open(files, second, size, random)
      await files.syncDirectory(`${directory}/meta`)
      return [
        { file, partitions: new Set() },
        { file: other, partitions: new Set() },
      ]
    } catch (error) {
      await file.close()
      throw error
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }
}

/** No room, or no file handle. */
function willPass(error: unknown): boolean {
  return ['DISK_FULL', 'ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE'].includes(errorCode(error))
}

function spanOf({ tail: { place } }: TransactionPartition, { segment, from, bytes }: LogTail): JournalSpan {
  return { place, baseOffset: segment.baseOffset, position: from, bytes: bytes - from }
}
