import { resolve } from 'node:path'
import { nodeFiles, silentLogger, systemClock, systemProcesses, systemRandom } from '../../base/index.ts'
import {
  dumpPartition,
  type Finding,
  findLogFolders,
  type InspectionProgress,
  type LogFolders,
  type LogReport,
  type PartitionRepair,
  type PartitionReport,
  planRepair,
  type RepairPlan,
  readOwner,
  repairLog,
  verifyLog,
} from '../../broker/index.ts'
import { dumpJson, dumpLine } from '../dump-text.ts'
import { EXIT_FAILED, Reported, UsageError } from '../failure.ts'
import { type Output, processOutput } from '../output.ts'
import { escapeControls, formatBytes, formatCount } from '../text.ts'

const PROGRESS_MS = 500
/** Lines are gathered to pieces of about this many characters: a write for each would take most of the time. */
const PIECE_CHARS = 64 << 10

export async function dumpLog(dir: string, options: { deep?: boolean; json?: boolean }): Promise<void> {
  const output = processOutput()
  const folders = await open(dir, output)
  let piece = ''
  for (const folder of folders.partitions) {
    await dumpPartition(nodeFiles, folder, { deep: options.deep === true }, async item => {
      piece += `${options.json === true ? dumpJson(item) : dumpLine(item)}\n`
      if (piece.length < PIECE_CHARS) return
      await output.data(piece)
      piece = ''
    })
  }
  await output.data(piece)
}

export async function checkLog(dir: string, options: { json?: boolean }): Promise<void> {
  const output = processOutput()
  const report = await verifyLog(nodeFiles, await open(dir, output), progressOn(process.stderr))
  if (options.json === true) output.line(JSON.stringify(asJson(report)))
  else {
    for (const partition of report.partitions) output.line(summary(partition, dir))
    for (const finding of report.findings.notes) output.line(`note: ${line(finding, dir)}`)
    for (const finding of report.findings.problems) output.line(`PROBLEM: ${line(finding, dir)}`)
    output.line(verdict(report, dir))
  }
  if (report.findings.problems.length > 0) throw new Reported(EXIT_FAILED)
}

export async function mendLog(dir: string, options: { yes?: boolean }): Promise<void> {
  const output = processOutput()
  if (options.yes !== true) {
    const plan = await planRepair(nodeFiles, await open(dir, output), progressOn(process.stderr))
    tell(plan, dir, output, 'would')
    if (plan.partitions.length > 0)
      output.line(`Nothing has been changed: \`kts-connect log repair ${dir} --yes\` does it.`)
    return
  }
  const parts = {
    files: nodeFiles,
    clock: systemClock,
    random: systemRandom,
    processes: systemProcesses,
    logger: silentLogger,
  }
  const { plan, kept } = await repairLog(parts, resolve(dir))
  tell(plan, dir, output, 'did')
  for (const path of kept) output.line(`The files as they were: ${relative(path, dir)}`)
  if (plan.staying.length > 0) throw new Reported(EXIT_FAILED)
}

/** Says when somebody is at work there: what is being written looks like damage. */
async function open(dir: string, output: Output): Promise<LogFolders> {
  const folders = await findLogFolders(nodeFiles, resolve(dir)).catch(error => {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') throw new UsageError(`${dir} is a file: name its folder`)
    throw error
  })
  const { dataDirectory } = folders
  const owner = dataDirectory === undefined ? undefined : await readOwner(nodeFiles, dataDirectory)
  const live = owner !== undefined && (owner.host !== systemProcesses.self.host || systemProcesses.isRunning(owner))
  if (live)
    output.note(
      `${dataDirectory} is in use by process ${owner.pid} on ${owner.host}: what it is writing may look unfinished`,
    )
  return folders
}

function progressOn(stderr: NodeJS.WriteStream): InspectionProgress | undefined {
  if (!stderr.isTTY) return undefined
  let shownAt = systemClock.monotonic()
  return (folder, bytes, total) => {
    if (systemClock.monotonic() - shownAt < PROGRESS_MS) return
    shownAt = systemClock.monotonic()
    const name = folder.directory.slice(folder.directory.lastIndexOf('/') + 1)
    stderr.write(
      `\r\x1b[K${Math.floor((100 * bytes) / Math.max(1, total))} % of ${formatBytes(total)}: ${escapeControls(name)}`,
    )
    if (bytes >= total) stderr.write('\r\x1b[K')
  }
}

function summary(report: PartitionReport, dir: string): string {
  const { segments, batches, records, bytes, logStartOffset, nextOffset, directory } = report
  const offsets = nextOffset === logStartOffset ? 'empty' : `offsets ${logStartOffset} to ${nextOffset - 1}`
  return `${relative(directory, dir)}: ${counted(segments, 'segment')}, ${counted(batches, 'batch', 'batches')}, ${counted(records, 'record')}, ${formatBytes(bytes)}, ${offsets}`
}

function verdict({ partitions, findings }: LogReport, dir: string): string {
  const { length } = findings.problems
  const looked = counted(partitions.length, 'partition')
  if (length === 0) return `${looked}: nothing is wrong`
  return `${looked}: ${counted(length, 'problem')}; \`kts-connect log repair ${dir}\` says what can be done`
}

function tell(plan: RepairPlan, dir: string, output: Output, tense: 'would' | 'did'): void {
  if (plan.partitions.length === 0) output.line('There is nothing to repair.')
  for (const partition of plan.partitions) for (const text of repairLines(partition, dir, tense)) output.line(text)
  for (const finding of plan.staying) output.line(`stays: ${line(finding, dir)}`)
}

function repairLines({ folder, segments, snapshots }: PartitionRepair, dir: string, tense: 'would' | 'did'): string[] {
  const was = tense === 'would' ? 'would be' : 'was'
  const were = tense === 'would' ? 'would be' : 'were'
  const lines: string[] = []
  for (const { baseOffset, lost, indexes, abortedIndex } of segments) {
    const stem = `${relative(folder.directory, dir)}/${String(baseOffset).padStart(20, '0')}`
    for (const { position, end, firstOffset, lastOffset, reason } of lost) {
      const offsets = lastOffset < firstOffset ? 'no offsets' : `offsets ${firstOffset} to ${lastOffset}`
      lines.push(
        `${stem}.log: ${end - position} bytes from byte ${position} ${were} taken out (${escapeControls(reason)}); lost: ${offsets}`,
      )
    }
    if (indexes) lines.push(`${stem}: .index and .timeindex ${were} built from the log`)
    if (abortedIndex) lines.push(`${stem}: .txnindex ${was} built from the log`)
  }
  for (const path of snapshots) lines.push(`${relative(path, dir)} ${was} removed; the next start makes it anew`)
  return lines
}

function line({ path, position, firstOffset, lastOffset, what }: Finding, dir: string): string {
  const place = position === undefined ? '' : ` at byte ${position}`
  const offsets =
    firstOffset === undefined
      ? ''
      : lastOffset === undefined
        ? `, from offset ${firstOffset}`
        : `, offsets ${firstOffset} to ${lastOffset}`
  return `${relative(path, dir)}${place}${offsets}: ${escapeControls(what)}`
}

/** As it is called from where the user stands. */
function relative(path: string, dir: string): string {
  const root = resolve(dir)
  const rest = path.startsWith(root) ? path.slice(root.length) : undefined
  return escapeControls(rest === undefined ? path : `${dir.replace(/\/+$/, '')}${rest}`)
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`
}

function asJson({ partitions, findings }: LogReport): object {
  return {
    partitions: partitions.map(({ findings: _, damage: __, ...partition }) => partition),
    problems: findings.problems,
    notes: findings.notes,
  }
}
