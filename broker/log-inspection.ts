import type { Files } from '../base/index.ts'
import { partitionKey } from './group-members.ts'
import { JOURNAL_DAMAGE, readJournal } from './journal-replay.ts'
import { mayBeCompacted, readFacts, verifyCheckpoints, verifyLeaderEpochs } from './log-inspection-checkpoints.ts'
import { Findings } from './log-inspection-findings.ts'
import type { LogFolders, PartitionFolder } from './log-inspection-folders.ts'
import { type PartitionReport, verifyPartition } from './log-inspection-verify.ts'
import { offsetName } from './segment.ts'

export interface LogReport {
  readonly partitions: readonly PartitionReport[]
  /** Of all partitions, and of the files beside them. */
  readonly findings: Findings
}

/** Told how far a look at a log has come, in bytes of its log files. */
export type InspectionProgress = (folder: PartitionFolder, bytes: number, bytesTotal: number) => void

/** Reads all that `findLogFolders` found and holds it against each other; writes nothing. */
export async function verifyLog(files: Files, folders: LogFolders, progress?: InspectionProgress): Promise<LogReport> {
  const facts = await readFacts(files, folders.dataDirectory)
  const findings = new Findings()
  if (folders.dataDirectory !== undefined) await verifyJournal(files, folders.dataDirectory, findings)
  const partitions: PartitionReport[] = []
  const bytesTotal = progress === undefined ? 0 : await bytesOf(files, folders)
  let bytesDone = 0
  for (const folder of folders.partitions) {
    const key = folder.topic === undefined ? undefined : partitionKey(folder.topic, folder.partition)
    const report = await verifyPartition(files, folder, {
      recoveryPoint: key === undefined ? undefined : facts.recoveryPoints?.get(key),
      compacted: mayBeCompacted(facts, folder),
      progress: bytes => {
        bytesDone += bytes
        progress?.(folder, bytesDone, bytesTotal)
      },
    })
    await verifyLeaderEpochs(files, report)
    findings.problems.push(...report.findings.problems)
    findings.notes.push(...report.findings.notes)
    partitions.push(report)
  }
  if (folders.whole && folders.dataDirectory !== undefined)
    await verifyCheckpoints(files, folders.dataDirectory, partitions, findings)
  return { partitions, findings }
}

/** What the commit journal holds is not looked for in the log: a start puts it there, whatever is missing. */
async function verifyJournal(files: Files, dataDirectory: string, findings: Findings): Promise<void> {
  const { entries, damaged } = await readJournal(files, dataDirectory)
  for (const path of damaged) findings.problem({ path, what: JOURNAL_DAMAGE })
  if (entries.length > 0) {
    const commits = entries.reduce((sum, { records }) => sum + records.length, 0)
    const what = `holds ${commits} commits that the next start or a repair writes into the log first: damage that is told here may be mended by that`
    findings.note({ path: `${dataDirectory}/meta`, what })
  }
}

async function bytesOf(files: Files, { partitions }: LogFolders): Promise<number> {
  let bytes = 0
  for (const { directory, segments } of partitions)
    for (const base of segments) bytes += (await files.stat(`${directory}/${offsetName(base)}.log`)).size
  return bytes
}
