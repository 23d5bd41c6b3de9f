import {
  type Clock,
  crc32c,
  errorCode,
  type Files,
  type Logger,
  type Processes,
  type Random,
  writeWhole,
} from '../base/index.ts'
import { encodeEntry } from './aborted-index.ts'
import { BATCH_HEADER_BYTES, batchLastOffset, batchMaxTimestamp, batchSize, writeBatchHeader } from './batch.ts'
import { announceSwap, CLEANED, finishSwap, recoverSwaps, removeCleaned } from './compaction-swap.ts'
import { FileCache } from './file-cache.ts'
import { JOURNAL_DAMAGE, replayJournalForGood } from './journal-replay.ts'
import { findAborted } from './log-inspection-aborted.ts'
import { wholeBatch } from './log-inspection-dump.ts'
import { openLogFile } from './log-inspection-files.ts'
import { findLogFolders, type PartitionFolder } from './log-inspection-folders.ts'
import {
  type LostRange,
  type PartitionRepair,
  planRepair,
  type RepairPlan,
  type SegmentRepair,
} from './log-inspection-plan.ts'
import { walkSegment } from './log-inspection-walk.ts'
import { Owner } from './owner.ts'
import { offsetName, Segment } from './segment.ts'

/** Kafka's default: how far apart the entries of a rebuilt index are. */
const INDEX_INTERVAL_BYTES = 4096
const COPY_BYTES = 1 << 20
/** Offsets of one batch, whose header counts them in 31 bits. */
const SPAN_MAX = 2 ** 31 - 1

export interface RepairParts {
  readonly files: Files
  readonly clock: Clock
  readonly random: Random
  readonly processes: Processes
  readonly logger: Logger
}

export interface RepairOutcome {
  readonly plan: RepairPlan
  /** Folders that hold the damaged files as they were. */
  readonly kept: readonly string[]
}

/**
 * Makes the log below `directory` readable: damaged bytes become empty batches over the offsets that were there, so that
 * nothing is renumbered and no offset is given again; indexes are built from the log. Damaged files are copied aside,
 * durably, before anything changes, and a new segment takes the old one's place at once: a kill leaves the one or the
 * other. Rejects with DATA_DIR_IN_USE while somebody owns the directory.
 */
export async function repairLog(parts: RepairParts, directory: string): Promise<RepairOutcome> {
  const { files, random, logger } = parts
  const { dataDirectory } = await findLogFolders(files, directory)
  const meta = `${dataDirectory}/meta`
  const owner =
    dataDirectory !== undefined && (await isThere(files, meta))
      ? await Owner.take({ ...parts, directory: meta })
      : undefined
  try {
    // It may mend damage; and what it holds has its place in the files as they are now.
    const damaged = owner === undefined ? [] : await replayJournalForGood(files, dataDirectory!, random, logger)
    const lost = damaged.map(path => ({ path, what: JOURNAL_DAMAGE }))
    const before = await findLogFolders(files, directory)
    for (const folder of before.partitions) await recoverSwaps(files, folder.directory, folder.names)
    const plan = await planRepair(files, await findLogFolders(files, directory))
    const kept: string[] = []
    for (const partition of plan.partitions) kept.push(...(await repairPartition(parts, partition)))
    return { plan: { ...plan, staying: [...lost, ...plan.staying] }, kept }
  } finally {
    await owner?.release()
  }
}

/** Answers the folder with the copies, if there are any. */
async function repairPartition({ files, clock }: RepairParts, repair: PartitionRepair): Promise<string[]> {
  const { folder, segments, snapshots } = repair
  const cache = new FileCache(files, 8)
  try {
    const kept = await copyAside(files, repair)
    for (const segment of segments) {
      if (segment.lost.length > 0) await replaceSegment(cache, folder, segment, clock.now())
      else if (segment.indexes) await rebuildIndexes(cache, folder, segment.baseOffset, clock.now())
    }
    if (segments.some(segment => segment.abortedIndex)) await rebuildAborted(cache, folder, segments)
    for (const path of snapshots) await files.unlink(path)
    await files.syncDirectory(folder.directory)
    return [kept]
  } finally {
    await cache.close()
  }
}

/** Copies the files that will change to `damaged-<n>`, which has that name once all of them are durable. */
async function copyAside(files: Files, { folder, segments, snapshots }: PartitionRepair): Promise<string> {
  const { directory } = folder
  const taken = (await files.list(directory)).flatMap(name => /^damaged-(\d+)(\.part)?$/.exec(name)?.[1] ?? [])
  const target = `${directory}/damaged-${Math.max(0, ...taken.map(Number)) + 1}`
  const part = `${target}.part`
  await files.mkdir(part)
  const changing = segments.flatMap(({ baseOffset }) =>
    ['.log', '.index', '.timeindex', '.txnindex'].map(suffix => `${offsetName(baseOffset)}${suffix}`),
  )
  const names = [...changing, ...snapshots.map(path => path.slice(directory.length + 1))]
  try {
    for (const name of names) {
      if (folder.names.includes(name)) await copyFile(files, `${directory}/${name}`, `${part}/${name}`)
    }
    await files.syncDirectory(part)
    await files.rename(part, target)
  } catch (error) {
    // Nothing has changed yet; half of a copy is of no use.
    await files.removeTree(part).catch(() => undefined)
    throw error
  }
  await files.syncDirectory(directory)
  return target
}

async function copyFile(files: Files, from: string, to: string): Promise<void> {
  const source = await files.open(from, 'read')
  try {
    const target = await files.open(to, 'exclusive')
    try {
      const bytes = Buffer.allocUnsafe(COPY_BYTES)
      for (let at = 0; ; ) {
        const length = await source.read(bytes, 0, bytes.length, at)
        if (length === 0) break
        await target.write([bytes.subarray(0, length)], at)
        at += length
      }
      await target.datasync()
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

/** Writes the segment without its damage beside the old one, and puts it in its place as compaction does. */
async function replaceSegment(cache: FileCache, folder: PartitionFolder, repair: SegmentRepair, now: number) {
  const { files } = cache
  const { directory } = folder
  const { baseOffset, lost } = repair
  await removeCleaned(files, directory, baseOffset)
  const store = await openLogFile(cache, `${directory}/${offsetName(baseOffset)}.log`)
  const sizes = { log: 0, offsetEntries: 0, timeEntries: 0 }
  const fresh = new Segment(directory, baseOffset, cache, sizes, { lastAppend: now, now }, CLEANED)
  const offsetEnd = folder.segments.find(base => base > baseOffset) ?? Number.POSITIVE_INFINITY
  const pending = [...lost].sort((a, b) => a.position - b.position)
  let leaderEpoch = 0
  const fillTo = async (position: number) => {
    while (pending.length > 0 && pending[0]!.position < position) await fill(fresh, pending.shift()!, leaderEpoch, now)
  }
  try {
    await walkSegment(store, baseOffset, offsetEnd, {
      async batch(bytes, at, position) {
        if (lost.some(range => range.position === position)) return
        leaderEpoch = bytes.readInt32BE(at + 12)
        const [size, lastOffset, maxTimestamp] = [
          batchSize(bytes, at),
          batchLastOffset(bytes, at),
          batchMaxTimestamp(bytes, at),
        ]
        await fillTo(position)
        const batch = await wholeBatch(store, position, size)
        await fresh.append({ buffers: [batch], bytes: size, lastOffset, maxTimestamp }, INDEX_INTERVAL_BYTES, now)
      },
      async bad() {},
    })
    await fillTo(Number.POSITIVE_INFINITY)
    await fresh.finishIndexes()
    await fresh.datasync()
  } finally {
    await fresh.close()
    await store.close()
  }
  await announceSwap(files, directory, baseOffset)
  await finishSwap(files, directory, baseOffset, [baseOffset])
}

/** The lost offsets as batches without records, which every reader of Kafka's format passes over. */
async function fill(segment: Segment, { firstOffset, lastOffset }: LostRange, leaderEpoch: number, now: number) {
  for (let from = firstOffset; from <= lastOffset; from += SPAN_MAX) {
    const to = Math.min(lastOffset, from + SPAN_MAX - 1)
    const bytes = emptyBatch(from, to, leaderEpoch)
    await segment.append(
      { buffers: [bytes], bytes: bytes.length, lastOffset: to, maxTimestamp: -1 },
      INDEX_INTERVAL_BYTES,
      now,
    )
  }
}

function emptyBatch(firstOffset: number, lastOffset: number, leaderEpoch: number): Buffer {
  const bytes = Buffer.alloc(BATCH_HEADER_BYTES)
  const count = lastOffset - firstOffset + 1
  const header = {
    baseOffset: firstOffset,
    leaderEpoch,
    codecId: 0,
    logAppendTime: false,
    baseTimestamp: -1,
    maxTimestamp: -1,
    count,
  }
  writeBatchHeader(bytes, 0, header, 0)
  bytes.writeInt32BE(0, BATCH_HEADER_BYTES - 4)
  bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17)
  return bytes
}

/** An index that is cut off half way is short, and as good as one of a kill: the next start goes on with it. */
async function rebuildIndexes(
  cache: FileCache,
  { directory, segments }: PartitionFolder,
  baseOffset: number,
  now: number,
) {
  const { files } = cache
  const stem = `${directory}/${offsetName(baseOffset)}`
  for (const suffix of ['.index', '.timeindex']) await unlinkIfThere(files, `${stem}${suffix}`)
  await files.syncDirectory(directory)
  const store = await openLogFile(cache, `${stem}.log`)
  const sizes = { log: store.size, offsetEntries: 0, timeEntries: 0 }
  const segment = new Segment(directory, baseOffset, cache, sizes, { lastAppend: now, now })
  const offsetEnd = segments.find(base => base > baseOffset) ?? Number.POSITIVE_INFINITY
  try {
    await walkSegment(store, baseOffset, offsetEnd, {
      async batch(bytes, at, position) {
        const [lastOffset, maxTimestamp, size] = [
          batchLastOffset(bytes, at),
          batchMaxTimestamp(bytes, at),
          batchSize(bytes, at),
        ]
        await segment.learn(lastOffset, maxTimestamp, position, size, INDEX_INTERVAL_BYTES)
      },
      async bad() {},
    })
    await segment.finishIndexes()
    await segment.offsetIndex.file.datasync()
    await segment.timeIndex.file.datasync()
  } finally {
    await segment.close()
    await store.close()
  }
}

/** Each file is replaced as a whole: a short one would show aborted records. */
async function rebuildAborted(cache: FileCache, folder: PartitionFolder, segments: readonly SegmentRepair[]) {
  const found = await findAborted(cache, folder)
  for (const { baseOffset, abortedIndex } of segments) {
    if (!abortedIndex) continue
    const path = `${folder.directory}/${offsetName(baseOffset)}.txnindex`
    const entries = found.get(baseOffset) ?? []
    if (entries.length === 0) await unlinkIfThere(cache.files, path)
    else await writeWhole(cache.files, path, Buffer.concat(entries.map(encodeEntry)))
  }
}

async function isThere(files: Files, path: string): Promise<boolean> {
  try {
    await files.stat(path)
    return true
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false
    throw error
  }
}

async function unlinkIfThere(files: Files, path: string): Promise<void> {
  if (await isThere(files, path)) await files.unlink(path)
}
