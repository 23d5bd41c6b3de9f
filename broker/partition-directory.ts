import { closeAll, errorCode, type Files } from '../base/index.ts'
import { recoverSwaps } from './compaction-swap.ts'
import type { FileCache } from './file-cache.ts'
import { snapshotOffsets, snapshotPath } from './producer-snapshot.ts'
import { openSegment, type SegmentRecovery } from './recovery.ts'
import { offsetName, Segment } from './segment.ts'

/** Files that belong to a segment by name. `.log` comes last: without it the others are strays. */
const SEGMENT_SUFFIXES = ['.index', '.timeindex', '.txnindex', '.snapshot', '.log']
const DELETED = '.deleted'

export interface SegmentsPlan {
  readonly directory: string
  readonly syncedOffset: number
  readonly checkFrom: number
  readonly acknowledgedEnd: number | undefined
  readonly indexIntervalBytes: number
  readonly now: number
}

/** Opens the segments of a partition in order; makes the first one where there is none. */
export async function openSegments(
  cache: FileCache,
  plan: SegmentsPlan,
): Promise<{ segments: Segment[]; recoveries: SegmentRecovery[] }> {
  const { files } = cache
  const found = await listOrMake(files, plan.directory)
  // A kill may have come between a name and its sync: what is acknowledged in a file must not lose it to a power cut.
  if (Number.isFinite(plan.syncedOffset)) await files.syncDirectory(plan.directory)
  const names = await recoverSwaps(files, plan.directory, found)
  const bases = names
    .flatMap(name => /^(\d{20})\.log$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
  await removeStrays(files, plan.directory, names)
  if (bases.length === 0) return { segments: [await createSegment(cache, plan.directory, 0, plan.now)], recoveries: [] }
  const present = new Set(names)
  const segments: Segment[] = []
  const recoveries: SegmentRecovery[] = []
  try {
    for (const [i, baseOffset] of bases.entries()) {
      const offsetEnd = bases[i + 1] ?? Number.POSITIVE_INFINITY
      const { segment, recovery } = await openSegment(cache, { ...plan, baseOffset, offsetEnd, names: present })
      segments.push(segment)
      recoveries.push(recovery)
    }
    return { segments, recoveries }
  } catch (error) {
    await closeAll(segments).catch(() => undefined)
    throw error
  }
}

async function listOrMake(files: Files, directory: string): Promise<readonly string[]> {
  try {
    return await files.list(directory)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
    await files.mkdir(directory)
    return []
  }
}

/** Ends deletions and replacements that were cut off. */
async function removeStrays(files: Files, directory: string, names: readonly string[]): Promise<void> {
  const logs = new Set(names.filter(name => name.endsWith('.log')).map(name => name.slice(0, -4)))
  for (const name of names) {
    const orphan = /^(\d{20})\.(index|timeindex|txnindex)$/.exec(name)
    const stray = name.endsWith(DELETED) || name.endsWith('.tmp') || (orphan !== null && !logs.has(orphan[1]!))
    if (stray) await files.unlink(`${directory}/${name}`)
  }
}

/** A new, empty segment whose name is durable when this resolves. */
export async function createSegment(
  cache: FileCache,
  directory: string,
  baseOffset: number,
  now: number,
): Promise<Segment> {
  const { files } = cache
  const stem = `${directory}/${offsetName(baseOffset)}`
  for (const suffix of ['.log', '.index', '.timeindex']) {
    const file = await files.open(`${stem}${suffix}`, 'write')
    try {
      await file.truncate(0)
    } finally {
      await file.close()
    }
  }
  await files.syncDirectory(directory)
  const sizes = { log: 0, offsetEntries: 0, timeEntries: 0 }
  return new Segment(directory, baseOffset, cache, sizes, { lastAppend: now, now })
}

/** Takes back a segment that was just made. */
export async function discardSegment(files: Files, directory: string, segment: Segment): Promise<void> {
  await segment.close()
  await removeSegmentFiles(files, directory, segment.baseOffset)
}

/** Durably: a snapshot that came back would speak of batches that are not there. */
export async function removeSegmentFiles(files: Files, directory: string, baseOffset: number): Promise<void> {
  for (const suffix of SEGMENT_SUFFIXES) await unlinkIfThere(files, `${directory}/${offsetName(baseOffset)}${suffix}`)
  await files.syncDirectory(directory)
}

/**
 * Deletes segments for good. They lose their names first, oldest first and durably, so that a kill in between leaves a log
 * that begins later, never one with a piece missing.
 */
export async function deleteSegments(files: Files, directory: string, segments: readonly Segment[]): Promise<void> {
  const renamed: string[] = []
  for (const segment of segments) {
    for (const suffix of [...SEGMENT_SUFFIXES].reverse()) {
      const path = `${directory}/${offsetName(segment.baseOffset)}${suffix}`
      try {
        await files.rename(path, `${path}${DELETED}`)
        renamed.push(`${path}${DELETED}`)
      } catch (error) {
        if (errorCode(error) !== 'ENOENT') throw error
      }
    }
    await files.syncDirectory(directory)
  }
  for (const segment of segments) await segment.close()
  for (const path of renamed) await unlinkIfThere(files, path)
}

async function unlinkIfThere(files: Files, path: string): Promise<void> {
  try {
    await files.unlink(path)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
}

/**
 * Removes the snapshots that Kafka would not keep either: those at segment bases stay, and the newest two of the others, so
 * that there is one at or below the recovery point whenever that was written.
 */
export async function removeOldSnapshots(files: Files, directory: string, segments: readonly Segment[]): Promise<void> {
  const bases = new Set(segments.map(segment => segment.baseOffset))
  const between = (await snapshotOffsets(files, directory)).filter(offset => !bases.has(offset))
  for (const offset of between.slice(0, -2)) await unlinkIfThere(files, snapshotPath(directory, offset))
}
