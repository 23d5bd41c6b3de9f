import type { Files } from '../base/index.ts'
import { partitionKey } from './group-members.ts'
import { type InspectionProgress, type LogReport, verifyLog } from './log-inspection.ts'
import { readFacts } from './log-inspection-checkpoints.ts'
import type { Finding } from './log-inspection-findings.ts'
import type { LogFolders, PartitionFolder } from './log-inspection-folders.ts'
import type { PartitionReport, SegmentDamage } from './log-inspection-verify.ts'
import { offsetName } from './segment.ts'

/** Bytes of a segment that go, and the offsets that were there. */
export interface LostRange {
  readonly position: number
  readonly end: number
  readonly firstOffset: number
  /** Below `firstOffset` when no offset was there: bytes only. */
  readonly lastOffset: number
  readonly reason: string
}

export interface SegmentRepair {
  readonly baseOffset: number
  readonly lost: readonly LostRange[]
  /** `.txnindex` is written anew from the log, too. */
  readonly abortedIndex: boolean
  /** `.index` and `.timeindex` are. With `lost` they always are. */
  readonly indexes: boolean
}

export interface PartitionRepair {
  readonly folder: PartitionFolder
  readonly segments: readonly SegmentRepair[]
  /** Snapshots of producers that cannot be used; they are removed, and made anew by the next start. */
  readonly snapshots: readonly string[]
}

export interface RepairPlan {
  readonly partitions: readonly PartitionRepair[]
  /** Problems that no repair mends, such as a missing segment. */
  readonly staying: readonly Finding[]
  readonly report: LogReport
}

/** What a repair would do. Reads only. */
export async function planRepair(
  files: Files,
  folders: LogFolders,
  progress?: InspectionProgress,
): Promise<RepairPlan> {
  const report = await verifyLog(files, folders, progress)
  const { recoveryPoints } = await readFacts(files, folders.dataDirectory)
  const mended = new Set<string>()
  const partitions: PartitionRepair[] = []
  for (const [i, partition] of report.partitions.entries()) {
    const folder = folders.partitions[i]!
    const synced =
      folder.topic === undefined ? undefined : recoveryPoints?.get(partitionKey(folder.topic, folder.partition))
    const repair = planPartition(folder, partition, report.findings.problems, synced ?? 0)
    if (repair.segments.length + repair.snapshots.length === 0) continue
    partitions.push(repair)
    for (const path of mendedPaths(repair)) mended.add(path)
  }
  const staying = report.findings.problems.filter(({ path }) => !mended.has(path))
  return { partitions, staying, report }
}

function planPartition(
  folder: PartitionFolder,
  report: PartitionReport,
  problems: readonly Finding[],
  synced: number,
): PartitionRepair {
  const { directory, names } = folder
  const bad = new Set(problems.map(({ path }) => path))
  const segments: SegmentRepair[] = []
  for (const baseOffset of folder.segments) {
    const stem = `${directory}/${offsetName(baseOffset)}`
    const damage = report.damage.find(d => d.baseOffset === baseOffset)
    const repair = {
      baseOffset,
      lost: damage === undefined ? [] : lostRanges(damage, synced),
      abortedIndex: bad.has(`${stem}.txnindex`),
      indexes: damage !== undefined || bad.has(`${stem}.index`) || bad.has(`${stem}.timeindex`),
    }
    if (repair.abortedIndex || repair.indexes) segments.push(repair)
  }
  const snapshots = names.filter(name => name.endsWith('.snapshot')).map(name => `${directory}/${name}`)
  return { folder, segments, snapshots: snapshots.filter(path => bad.has(path)) }
}

function lostRanges({ bad }: SegmentDamage, synced: number): LostRange[] {
  return bad.map(({ position, end, firstOffset, lastOffset, reason }) => ({
    position,
    end,
    firstOffset,
    // At the end of the log nothing but the recovery point tells how much was there.
    lastOffset: lastOffset ?? Math.max(synced, firstOffset) - 1,
    reason,
  }))
}

function mendedPaths({ folder, segments, snapshots }: PartitionRepair): string[] {
  const paths = [...snapshots]
  for (const { baseOffset, lost, abortedIndex, indexes } of segments) {
    const stem = `${folder.directory}/${offsetName(baseOffset)}`
    if (lost.length > 0) paths.push(`${stem}.log`)
    if (abortedIndex) paths.push(`${stem}.txnindex`)
    if (indexes) paths.push(`${stem}.index`, `${stem}.timeindex`)
  }
  return paths
}
