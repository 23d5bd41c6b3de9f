import { closeAll, errorCode, errorMessage, type Files, KtsError } from '../base/index.ts'
import { batchLastOffset } from './batch.ts'
import { scanBatches } from './batch-scan.ts'
import { FileCache } from './file-cache.ts'
import { offsetName, Segment } from './segment.ts'
import { Store } from './store.ts'

/** Kafka's: a segment that compaction is writing, and one that is whole and takes the place of others. */
export const CLEANED = '.cleaned'
const SWAP = '.swap'
const DELETED = '.deleted'

const INDEX_SUFFIXES = ['.index', '.timeindex', '.txnindex']

/** The segments that were to be replaced are no longer there: retention or a deletion came first. */
export class SegmentsGone extends Error {}

/**
 * Puts `cleaned` in the place of `old`, on disk and in the partition's list `segments`, within the partition's turn.
 * Readers in the middle of an old one begin that read again. Rejects with SegmentsGone, and with STORAGE_FAILED when the
 * disk failed half way: the next start then finishes it.
 */
export async function replaceSegments(
  place: { readonly files: Files; readonly cache: FileCache; readonly directory: string; readonly now: number },
  segments: Segment[],
  old: readonly Segment[],
  cleaned: Segment,
): Promise<void> {
  const { files, directory } = place
  const { baseOffset } = cleaned
  const at = segments.indexOf(old[0]!)
  const inTheLog = old.every((segment, i) => at >= 0 && segments[at + i] === segment)
  if (!inTheLog || at + old.length >= segments.length) throw new SegmentsGone()
  await cleaned.close()
  await announceSwap(files, directory, baseOffset)
  let settle: () => void = () => {}
  const settled = new Promise<void>(resolve => {
    settle = resolve
  })
  for (const segment of old) segment.replaced = settled
  try {
    await finishSwap(
      files,
      directory,
      baseOffset,
      old.map(segment => segment.baseOffset),
    )
    await closeAll(old)
    segments.splice(at, old.length, await renamed(place, cleaned, old))
  } catch (cause) {
    for (const segment of old) segment.replaced = undefined
    const message = `${directory}: a compacted segment could not take its place (${errorMessage(cause)}): start again, which finishes it`
    throw new KtsError('STORAGE_FAILED', message, { cause })
  } finally {
    settle()
  }
}

/** The cleaned segment under the names that it has now. */
async function renamed(
  place: { readonly cache: FileCache; readonly directory: string; readonly now: number },
  cleaned: Segment,
  old: readonly Segment[],
): Promise<Segment> {
  const { mark, baseOffset } = cleaned
  const sizes = { log: mark.bytes, offsetEntries: mark.offsetEntries, timeEntries: mark.timeEntries }
  const times = { lastAppend: Math.max(...old.map(segment => segment.lastAppendTime)), now: place.now }
  const segment = new Segment(place.directory, baseOffset, place.cache, sizes, times)
  const { firstTimestamp, largestTimestamp, largestTimestampOffset, nextOffset } = mark
  const largest = { timestamp: largestTimestamp, offset: largestTimestampOffset }
  segment.recall(firstTimestamp, largestTimestamp < 0 ? undefined : largest)
  segment.observe(nextOffset - 1, -1)
  segment.readableBytes = segment.bytes
  await segment.timeIndex.load()
  await segment.aborted.load(baseOffset, nextOffset)
  return segment
}

/**
 * Gives a cleaned segment, whose files are synced, the names under which a start finishes the replacement. The log's is
 * the last: once that is durable, the old segments are as good as gone; before, the new one is.
 */
export async function announceSwap(files: Files, directory: string, baseOffset: number): Promise<void> {
  const stem = `${directory}/${offsetName(baseOffset)}`
  for (const suffix of INDEX_SUFFIXES)
    await renameIfThere(files, `${stem}${suffix}${CLEANED}`, `${stem}${suffix}${SWAP}`)
  await files.syncDirectory(directory)
  await files.rename(`${stem}.log${CLEANED}`, `${stem}.log${SWAP}`)
  await files.syncDirectory(directory)
}

/**
 * Puts the segment that `announceSwap` named in the place of those in `replaced`, itself among them. May be cut off
 * anywhere and done again: as long as the log's name has the suffix, what else is there does not count.
 */
export async function finishSwap(
  files: Files,
  directory: string,
  baseOffset: number,
  replaced: readonly number[],
): Promise<void> {
  const stem = `${directory}/${offsetName(baseOffset)}`
  const deleted: string[] = []
  for (const other of replaced) {
    if (other === baseOffset) continue
    for (const suffix of ['.log', ...INDEX_SUFFIXES, '.snapshot']) {
      const path = `${directory}/${offsetName(other)}${suffix}`
      if (await renameIfThere(files, path, `${path}${DELETED}`)) deleted.push(`${path}${DELETED}`)
    }
  }
  for (const suffix of INDEX_SUFFIXES) await renameIfThere(files, `${stem}${suffix}${SWAP}`, `${stem}${suffix}`)
  await files.syncDirectory(directory)
  await files.rename(`${stem}.log${SWAP}`, `${stem}.log`)
  await files.syncDirectory(directory)
  for (const path of deleted) await unlinkIfThere(files, path)
}

/**
 * Finishes what a kill has cut off, before the segments are opened: replacements that were announced are done, others
 * never happened. `names`: what the directory holds; answers what it holds afterwards.
 */
export async function recoverSwaps(
  files: Files,
  directory: string,
  names: readonly string[],
): Promise<readonly string[]> {
  if (!names.some(name => name.endsWith(CLEANED) || name.endsWith(SWAP))) return names
  for (const name of names) if (name.endsWith(CLEANED)) await files.unlink(`${directory}/${name}`)
  const announced = names.flatMap(name => /^(\d{20})\.log\.swap$/.exec(name)?.[1] ?? []).map(Number)
  for (const baseOffset of announced) {
    const end = await endOf(files, `${directory}/${offsetName(baseOffset)}.log${SWAP}`, baseOffset)
    const logs = names.flatMap(name => /^(\d{20})\.log$/.exec(name)?.[1] ?? []).map(Number)
    await finishSwap(
      files,
      directory,
      baseOffset,
      logs.filter(base => base >= baseOffset && base < end),
    )
  }
  for (const name of await files.list(directory)) if (name.endsWith(SWAP)) await files.unlink(`${directory}/${name}`)
  return files.list(directory)
}

export async function removeCleaned(files: Files, directory: string, baseOffset: number): Promise<void> {
  for (const suffix of ['.log', ...INDEX_SUFFIXES])
    await unlinkIfThere(files, `${directory}/${offsetName(baseOffset)}${suffix}${CLEANED}`)
}

/** A cleaned segment always ends with the last batch of those that it replaces, if only with an empty one. */
async function endOf(files: Files, path: string, baseOffset: number): Promise<number> {
  const { size } = await files.stat(path)
  const cache = new FileCache(files, 1)
  try {
    let end = baseOffset
    await scanBatches(
      new Store(path, cache, size),
      { position: 0, nextOffset: baseOffset },
      size,
      false,
      (bytes, at) => {
        end = batchLastOffset(bytes, at) + 1
        return true
      },
    )
    return end
  } finally {
    await cache.close()
  }
}

/** Whether it was there. */
async function renameIfThere(files: Files, from: string, to: string): Promise<boolean> {
  try {
    await files.rename(from, to)
    return true
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false
    throw error
  }
}

async function unlinkIfThere(files: Files, path: string): Promise<void> {
  try {
    await files.unlink(path)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
}
