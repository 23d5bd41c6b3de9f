import { type Files, readWhole } from '../base/index.ts'
import type { FileCache } from './file-cache.ts'
import { readInt64 } from './int64.ts'
import type { OffsetEntry } from './offset-index.ts'
import type { AbortedTransaction } from './producers.ts'
import { Store } from './store.ts'
import type { TimeEntry } from './time-index.ts'

/** Kafka preallocates 10 MiB; a segment of 2 GiB with an entry for each 14 bytes is no index of anybody. */
const INDEX_BYTES_MAX = 1 << 30

/** What a small file of a segment says: its entries, and how many bytes behind them are none. */
export interface EntryFile<T> {
  readonly entries: readonly T[]
  /** Entries of zeros at the end: space that Kafka allocates ahead, and cuts off when it stops in good order. */
  readonly preallocated: number
  /** Bytes at the end that are no whole entry. */
  readonly rest: number
}

/** A log file as it lies there. */
export async function openLogFile(cache: FileCache, path: string): Promise<Store> {
  return new Store(path, cache, (await cache.files.stat(path)).size)
}

/** Undefined when there is no such file. */
export function readOffsetEntries(files: Files, path: string, baseOffset: number) {
  return readEntries(files, path, 8, (bytes, at): OffsetEntry | undefined => {
    const [relative, position] = [bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4)]
    // The first batch never gets an entry, so position 0 is allocated space.
    return relative === 0 && position === 0 ? undefined : { lastOffset: baseOffset + relative, position }
  })
}

/** Undefined when there is no such file. */
export function readTimeEntries(files: Files, path: string, baseOffset: number) {
  return readEntries(files, path, 12, (bytes, at): TimeEntry | undefined => {
    const [timestamp, relative] = [readInt64(bytes, at), bytes.readUInt32BE(at + 8)]
    return timestamp === 0 && relative === 0 && at > 0 ? undefined : { timestamp, offset: baseOffset + relative }
  })
}

export interface AbortedEntry extends AbortedTransaction {
  readonly version: number
}

/** Undefined when there is no such file. */
export function readAbortedEntries(files: Files, path: string) {
  return readEntries(
    files,
    path,
    34,
    (bytes, at): AbortedEntry => ({
      version: bytes.readInt16BE(at),
      producerId: readInt64(bytes, at + 2),
      firstOffset: readInt64(bytes, at + 10),
      lastOffset: readInt64(bytes, at + 18),
      lastStableOffset: readInt64(bytes, at + 26),
    }),
  )
}

/** `decode` answers undefined for an entry of zeros, which counts only with nothing but such behind it. */
async function readEntries<T>(
  files: Files,
  path: string,
  size: number,
  decode: (bytes: Buffer, at: number) => T | undefined,
): Promise<EntryFile<T> | undefined> {
  const bytes = await readWhole(files, path, INDEX_BYTES_MAX)
  if (bytes === undefined) return undefined
  let used = bytes.length - (bytes.length % size)
  while (used > 0 && decode(bytes, used - size) === undefined) used -= size
  const entries: T[] = []
  for (let at = 0; at < used; at += size) {
    const entry = decode(bytes, at)
    if (entry !== undefined) entries.push(entry)
  }
  return { entries, preallocated: Math.floor(bytes.length / size) - used / size, rest: bytes.length % size }
}
