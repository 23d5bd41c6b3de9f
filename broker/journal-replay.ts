import {
  errorCode,
  errorMessage,
  type FileHandle,
  type Files,
  KtsError,
  type Logger,
  type Random,
} from '../base/index.ts'
import { partitionKey } from './group-members.ts'
import { entryBytes, type JournalEntry, type JournalRange, readEntry, writeEntry } from './journal-entry.ts'
import { ENTRIES_AT, JournalFile, readJournalFile } from './journal-file.ts'
import { readPartitionMetadata } from './partition-metadata.ts'
import { offsetName } from './segment.ts'
import type { StateRecord } from './state-snapshot.ts'
import { readTopics, type TopicEntry } from './topic-registry.ts'
import { checkTopicName } from './topic-name.ts'

/** The two files of the commit journal, of which one is written while the other is made superfluous. */
export function journalPaths(dataDirectory: string): readonly [string, string] {
  return [`${dataDirectory}/meta/journal-0`, `${dataDirectory}/meta/journal-1`]
}

export interface FoundJournal {
  /** Oldest first. */
  readonly entries: readonly JournalEntry[]
  /** Files with bad bytes that were synced: what was there alone is lost. */
  readonly damaged: readonly string[]
}

/** What damage in a file of the journal means. */
export const JOURNAL_DAMAGE = 'damaged: commits that were in this journal alone are lost'

/** Rejects with CORRUPT_MESSAGE, STORAGE_FAILED. */
export async function readJournal(files: Files, dataDirectory: string): Promise<FoundJournal> {
  const found = []
  const damaged: string[] = []
  for (const path of journalPaths(dataDirectory)) {
    const { entries, isDamaged } = await readJournalFile(files, path).catch(cause => {
      const advice = 'what was committed last may be there alone: mend the disk, or delete the file and give that up'
      throw new KtsError('STORAGE_FAILED', `${path}: ${errorMessage(cause)}; ${advice}`, { cause })
    })
    for (const { number, content } of entries) found.push({ number, entry: readEntry(content, path) })
    if (isDamaged) damaged.push(path)
  }
  return { entries: found.sort((a, b) => a.number - b.number).map(({ entry }) => entry), damaged }
}

/**
 * Writes what the commit journal made durable into the files of the log, durably: behind it they hold at least what was
 * acknowledged. To be called before any of them is opened, and harmless when it was done before. Answers the records of
 * the transaction log. Rejects with DISK_FULL, CORRUPT_MESSAGE, and with the system's error.
 */
export async function replayJournal(files: Files, directory: string, log: Logger): Promise<readonly StateRecord[]> {
  const { entries, damaged } = await readJournal(files, directory)
  for (const path of damaged)
    log.error({ path }, 'damage in the commit journal: commits that were there alone are lost, what is whole is kept')
  const byFile = new Map<string, JournalRange[]>()
  for (const range of entries.flatMap(entry => entry.ranges)) {
    const path = pathOf(directory, range)
    const ranges = byFile.get(path)
    if (ranges === undefined) byFile.set(path, [range])
    else ranges.push(range)
  }
  const topics = byFile.size === 0 ? undefined : await readTopics(files, `${directory}/meta/topics.json`)
  for (const [path, ranges] of byFile) await writeRanges(files, path, ranges, topics)
  const records = entries.flatMap(entry => entry.records)
  if (entries.length > 0)
    log.info({ commits: records.length, files: byFile.size }, 'what the commit journal holds was written into the log')
  return records
}

/**
 * As `replayJournal`; behind it the journal has the records alone, so that the files may be changed before the next start.
 * Nothing may be writing it. Answers the files whose damage is gone from sight with that.
 */
export async function replayJournalForGood(
  files: Files,
  directory: string,
  random: Random,
  log: Logger,
): Promise<readonly string[]> {
  const { damaged } = await readJournal(files, directory)
  const records = await replayJournal(files, directory, log)
  if (records.length === 0) return []
  const [first, second] = journalPaths(directory)
  const bytes = entryBytes([], records)
  const entry = Buffer.alloc(bytes)
  writeEntry(entry, [], records)
  const journal = await JournalFile.open(files, `${first}.tmp`, ENTRIES_AT + bytes, random)
  try {
    await journal.add(entry, 0)
  } finally {
    await journal.close()
  }
  await files.rename(`${first}.tmp`, first)
  await files.removeTree(second)
  await files.syncDirectory(`${directory}/meta`)
  return damaged
}

function pathOf(directory: string, { place, baseOffset }: JournalRange): string {
  checkTopicName(place.topic)
  return `${directory}/${partitionKey(place.topic, place.partition)}/${offsetName(baseOffset)}.log`
}

async function writeRanges(
  files: Files,
  path: string,
  ranges: readonly JournalRange[],
  topics: ReadonlyMap<string, TopicEntry> | undefined,
): Promise<void> {
  const folder = path.slice(0, path.lastIndexOf('/'))
  // Since then the topic may have been deleted, and another one made of its name.
  const inFolder = await readPartitionMetadata(files, folder)
  const ours = ranges.filter(({ place }) => place.topicId === (inFolder ?? topics?.get(place.topic)?.id))
  const file = ours.length === 0 ? undefined : await openIfThere(files, path)
  if (file === undefined) return
  try {
    for (const range of ours) await writeRange(file, range)
    await file.datasync()
  } finally {
    await file.close()
  }
}

/** Also what is there: behind an fsync that failed it may be there for readers alone. */
async function writeRange(file: FileHandle, { position, content }: JournalRange): Promise<void> {
  try {
    await file.write([content], position)
  } catch (error) {
    if (errorCode(error) !== 'ENOSPC' && errorCode(error) !== 'EDQUOT') throw error
    // A full disk keeps nobody from reading what is there.
    const there = Buffer.alloc(content.length)
    const length = await file.read(there, 0, there.length, position)
    if (length === there.length && there.equals(content)) return
    throw new KtsError(
      'DISK_FULL',
      `${file.path}: no room for what was committed and is in the commit journal alone; free space and start again`,
      { cause: error },
    )
  }
}

/** A segment that retention has deleted needs nothing. */
async function openIfThere(files: Files, path: string): Promise<FileHandle | undefined> {
  try {
    await files.stat(path)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
  return files.open(path, 'write')
}
