import { crc32c, errorCode, type FileHandle, type Files, KtsError, type Random, readWhole } from '../base/index.ts'

/** A file is not made where the disk has not so many times its size: others need that, and can do with nothing else. */
const ROOM_FACTOR = 16
/** `KTSJ`, in front of the file and of every entry. */
const MAGIC = Buffer.from('KTSJ')
const GENERATION_AT = 4
const GENERATION_BYTES = 8
/** Of the file's header. */
const FILE_CHECKSUM_AT = 12
const FILE_HEADER_BYTES = 16
/** The header has a sector of its own: a disk writes it whole or not at all. */
export const ENTRIES_AT = 512
const NUMBER_AT = 12
const LENGTH_AT = 20
const CHECKSUM_AT = 24
/** Magic, generation, number, length of what follows the header, checksum of all but itself. */
export const ENTRY_HEADER_BYTES = 28

/**
 * One file of the commit journal: a header, and entries one behind the other. It has its full size from the start, so that
 * an fdatasync writes nothing but the entry: for a file that grows it has to wait for the file system's own journal. What
 * was there before is void by the generation, which changes each time the file begins anew.
 */
export class JournalFile {
  readonly #file: FileHandle
  readonly #size: number
  readonly #random: Random
  #generation: Buffer = Buffer.alloc(GENERATION_BYTES)
  #end = ENTRIES_AT

  /** A file without entries; what it holds is gone. Rejects with DISK_FULL, and with the system's error. */
  static async open(files: Files, path: string, size: number, random: Random): Promise<JournalFile> {
    const file = await files.open(path, 'write')
    try {
      const journal = new JournalFile(file, size, random)
      if ((await file.stat()).size !== size) {
        const room = await files.freeBytes(path)
        if (room < ROOM_FACTOR * size) throw new KtsError('DISK_FULL', `${path}: ${room} bytes are free`)
        await file.truncate(0)
        await file.write([Buffer.alloc(size)], 0)
      }
      await journal.clear()
      return journal
    } catch (error) {
      await file.close()
      throw error
    }
  }

  private constructor(file: FileHandle, size: number, random: Random) {
    this.#file = file
    this.#size = size
    this.#random = random
  }

  get isEmpty(): boolean {
    return this.#end === ENTRIES_AT
  }

  /** Bytes that one more entry may have, with its header. */
  get room(): number {
    return this.#size - this.#end
  }

  /**
   * Durable when it resolves. `entry` begins with ENTRY_HEADER_BYTES, which are filled in here; numbers go up. Rejects with
   * DISK_FULL when it is not in the file (one that copies on write); after any other rejection nobody knows whether it is,
   * and nothing more may be added.
   */
  async add(entry: Buffer, number: number): Promise<void> {
    MAGIC.copy(entry)
    this.#generation.copy(entry, GENERATION_AT)
    entry.writeBigUInt64BE(BigInt(number), NUMBER_AT)
    entry.writeUInt32BE(entry.length - ENTRY_HEADER_BYTES, LENGTH_AT)
    entry.writeUInt32BE(checksumOf(entry), CHECKSUM_AT)
    try {
      await this.#file.write([entry], this.#end)
    } catch (error) {
      // A part of it is none, and the next one is written over it.
      if (errorCode(error) !== 'ENOSPC' && errorCode(error) !== 'EDQUOT') throw error
      throw new KtsError('DISK_FULL', `${this.#file.path}: no room on the device`, { cause: error })
    }
    await this.#file.datasync()
    this.#end += entry.length
  }

  /** Begins anew: when it resolves, no start finds an entry. Rejects with the system's error. */
  async clear(): Promise<void> {
    const generation = this.#random.bytes(GENERATION_BYTES)
    const header = Buffer.alloc(FILE_HEADER_BYTES)
    generation.copy(header, MAGIC.copy(header))
    header.writeUInt32BE(crc32c(header.subarray(0, FILE_CHECKSUM_AT)), FILE_CHECKSUM_AT)
    await this.#file.write([header], 0)
    await this.#file.datasync()
    this.#generation = generation
    this.#end = ENTRIES_AT
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

/** An entry as it was read: whole, its checksum tried. */
export interface FoundEntry {
  /** Goes on from one file of the journal to the other. */
  readonly number: number
  readonly content: Buffer
}

export interface FoundEntries {
  readonly entries: readonly FoundEntry[]
  /** Bytes are bad that were synced. */
  readonly isDamaged: boolean
}

/**
 * The entries of a file; none when there is no file. A last one that is torn was never acknowledged, and counts for nothing.
 * Rejects with the system's error.
 */
export async function readJournalFile(files: Files, path: string): Promise<FoundEntries> {
  const bytes = (await readWhole(files, path)) ?? Buffer.alloc(0)
  const header = bytes.subarray(0, FILE_HEADER_BYTES)
  // A file that was being made when all ended.
  if (header.length < FILE_HEADER_BYTES || header.every(byte => byte === 0)) return { entries: [], isDamaged: false }
  if (!header.subarray(0, MAGIC.length).equals(MAGIC) || !headerHolds(header)) return { entries: [], isDamaged: true }
  const generation = header.subarray(GENERATION_AT, FILE_CHECKSUM_AT)
  const entries: FoundEntry[] = []
  let isDamaged = false
  let isSkipping = false
  for (let at = ENTRIES_AT; at >= 0; ) {
    const entry = entryAt(bytes, at, generation)
    if (entry === undefined) {
      isSkipping = true
      at = bytes.indexOf(MAGIC, at + 1)
      continue
    }
    // One is added when the one before is durable, so nothing whole lies behind a torn one.
    isDamaged ||= isSkipping
    isSkipping = false
    entries.push({ number: numberOf(entry), content: entry.subarray(ENTRY_HEADER_BYTES) })
    at += entry.length
  }
  return { entries, isDamaged }
}

function headerHolds(header: Buffer): boolean {
  return header.readUInt32BE(FILE_CHECKSUM_AT) === crc32c(header.subarray(0, FILE_CHECKSUM_AT))
}

function entryAt(bytes: Buffer, at: number, generation: Buffer): Buffer | undefined {
  if (at + ENTRY_HEADER_BYTES > bytes.length) return undefined
  const end = at + ENTRY_HEADER_BYTES + bytes.readUInt32BE(at + LENGTH_AT)
  if (end > bytes.length || !bytes.subarray(at + GENERATION_AT, at + NUMBER_AT).equals(generation)) return undefined
  const entry = bytes.subarray(at, end)
  return entry.readUInt32BE(CHECKSUM_AT) === checksumOf(entry) ? entry : undefined
}

function numberOf(entry: Buffer): number {
  return Number(entry.readBigUInt64BE(NUMBER_AT))
}

function checksumOf(entry: Buffer): number {
  return crc32c(entry.subarray(ENTRY_HEADER_BYTES), crc32c(entry.subarray(0, CHECKSUM_AT)))
}
