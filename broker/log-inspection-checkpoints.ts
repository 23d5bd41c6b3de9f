import { type Files, readWhole } from '../base/index.ts'
import { partitionKey } from './group-members.ts'
import { INTERNAL_TOPICS } from './internal-topics.ts'
import { readDurableEnds } from './log-inspection-ends.ts'
import type { Findings } from './log-inspection-findings.ts'
import type { PartitionFolder } from './log-inspection-folders.ts'
import type { PartitionReport } from './log-inspection-verify.ts'
import { readOffsetCheckpoint } from './offset-checkpoint.ts'
import { readTopics, type TopicEntry } from './topic-registry.ts'

const RECOVERY_POINTS = 'recovery-point-offset-checkpoint'

/** Kafka's names of the files of offsets in a data directory, and what an offset in them may be at most. */
const CHECKPOINTS: readonly { readonly name: string; readonly meaning: string }[] = [
  { name: RECOVERY_POINTS, meaning: 'everything below is synced' },
  { name: 'log-start-offset-checkpoint', meaning: 'records below are deleted' },
  { name: 'replication-offset-checkpoint', meaning: 'readers may see everything below' },
  { name: 'cleaner-offset-checkpoint', meaning: 'everything below is compacted' },
]

/** What the files beside the partitions tell about them, before they are looked at. */
export interface DataDirectoryFacts {
  /** What is known to be synced: by the checkpoint, and by the transaction log beyond it. Undefined without the former. */
  readonly recoveryPoints: ReadonlyMap<string, number> | undefined
  /** Undefined where there is no list of topics (Kafka keeps it elsewhere) or it cannot be read. */
  readonly topics: ReadonlyMap<string, TopicEntry> | undefined
}

export async function readFacts(files: Files, dataDirectory: string | undefined): Promise<DataDirectoryFacts> {
  if (dataDirectory === undefined) return { recoveryPoints: undefined, topics: undefined }
  const recoveryPoints = await readOffsetCheckpoint(files, `${dataDirectory}/${RECOVERY_POINTS}`)
  // What cannot be read is told by `verifyCheckpoints`.
  const topics = await readTopics(files, `${dataDirectory}/meta/topics.json`).catch(() => undefined)
  if (recoveryPoints === undefined || topics === undefined) return { recoveryPoints, topics }
  const synced = new Map(recoveryPoints)
  for (const [key, end] of await readDurableEnds(files, dataDirectory, topics))
    synced.set(key, Math.max(synced.get(key) ?? 0, end))
  return { recoveryPoints: synced, topics }
}

/** Undefined where nothing tells. */
export function mayBeCompacted({ topics }: DataDirectoryFacts, { topic }: PartitionFolder): boolean | undefined {
  if (topic === undefined) return undefined
  if (INTERNAL_TOPICS.includes(topic)) return true
  const entry = topics?.get(topic)
  if (entry === undefined) return undefined
  return (entry.configs['cleanup.policy'] ?? 'delete').includes('compact') || undefined
}

/** Holds the files of offsets, the list of topics and the ids of partitions against what was found in the partitions. */
export async function verifyCheckpoints(
  files: Files,
  dataDirectory: string,
  reports: readonly PartitionReport[],
  findings: Findings,
): Promise<void> {
  const ends = new Map(reports.map(r => [partitionKey(r.topic ?? '', r.partition), r] as const))
  for (const { name, meaning } of CHECKPOINTS) {
    const path = `${dataDirectory}/${name}`
    const bytes = await readWhole(files, path)
    // Kafka leaves them empty until there is something to say.
    if (bytes === undefined || bytes.length === 0) continue
    const offsets = await readOffsetCheckpoint(files, path)
    if (offsets === undefined) findings.problem({ path, what: 'not a whole file of offsets; it counts as missing' })
    const strangers: string[] = []
    for (const [key, offset] of offsets ?? []) {
      const report = ends.get(key)
      if (report === undefined) strangers.push(key)
      else if (offset > report.nextOffset) {
        const what = `says ${offset} of ${key} (${meaning}), and its log ends at ${report.nextOffset}: what was behind it is lost`
        findings.problem({ path, firstOffset: report.nextOffset, lastOffset: offset - 1, what })
      }
    }
    if (strangers.length > 0)
      findings.note({ path, what: `names partitions without a folder: ${strangers.join(', ')}` })
  }
  for (const { directory: path, groupOffsets } of reports) {
    for (const { group, topic, partition, offset } of groupOffsets) {
      const end = ends.get(partitionKey(topic, partition))?.nextOffset
      if (end === undefined || offset <= end) continue
      const what = `group ${group} has committed offset ${offset} of ${topic}-${partition}, whose log ends at ${end}`
      findings.problem({ path, firstOffset: end, lastOffset: offset - 1, what })
    }
  }
  await verifyTopics(files, dataDirectory, reports, findings)
}

async function verifyTopics(
  files: Files,
  dataDirectory: string,
  reports: readonly PartitionReport[],
  findings: Findings,
) {
  const path = `${dataDirectory}/meta/topics.json`
  let topics: ReadonlyMap<string, TopicEntry> | undefined
  try {
    topics = await readTopics(files, path)
  } catch {
    findings.problem({
      path,
      what: 'not a list of topics; topics are found by their folders then, without their settings',
    })
  }
  const found = new Set(reports.map(r => partitionKey(r.topic ?? '', r.partition)))
  for (const { directory, topic } of reports) {
    const metadata = `${directory}/partition.metadata`
    const text = (await readWhole(files, metadata))?.toString('latin1')
    const id = /^version: 0\ntopic_id: ([\w-]{22})\n?$/.exec(text ?? '')?.[1]
    const expected = topic === undefined ? undefined : topics?.get(topic)?.id
    if (id === undefined)
      findings.problem({ path: metadata, what: text === undefined ? 'missing' : 'not the id of a topic' })
    else if (expected !== undefined && expected !== id)
      findings.problem({ path: metadata, what: `says topic id ${id}, and the list of topics says ${expected}` })
  }
  const folders = await files.list(dataDirectory)
  const leaving = folders.flatMap(folder => /^(.+)\.[0-9a-f]{32}-delete$/.exec(folder)?.[1] ?? [])
  const synced = await readOffsetCheckpoint(files, `${dataDirectory}/${RECOVERY_POINTS}`)
  for (const [name, { partitions }] of topics ?? []) {
    for (let partition = 0; partition < partitions; partition++) {
      const place = partitionKey(name, partition)
      if (found.has(place)) continue
      const offsets = synced?.get(place) ?? 0
      // A deletion that was cut off is ended by the next start.
      if (leaving.some(folder => place.startsWith(folder))) findings.note({ path, what: `${place} is being deleted` })
      else if (!folders.includes(place))
        findings.problem({
          path,
          what: `the folder of ${place} is gone, with its records; no worker starts without it`,
        })
      else if (offsets > 0)
        findings.problem({
          path,
          what: `${place} has no log any more, and its offsets below ${offsets} had been synced`,
        })
      else findings.note({ path, what: `${place} has no log yet` })
    }
  }
}

/** `leader-epoch-checkpoint` of a partition: epochs and their first offsets rise, and stay inside the log. */
export async function verifyLeaderEpochs(
  files: Files,
  { directory, nextOffset, findings }: PartitionReport,
): Promise<void> {
  const path = `${directory}/leader-epoch-checkpoint`
  const text = (await readWhole(files, path))?.toString('latin1')
  if (text === undefined || text === '') return
  const [version, count, ...lines] = text.split('\n')
  const entries = lines.filter(line => line !== '').map(line => /^(\d{1,10}) (\d{1,16})$/.exec(line))
  if (version !== '0' || String(entries.length) !== count || entries.some(entry => entry === null)) {
    findings.problem({ path, what: 'not a whole list of leader epochs; it is begun anew' })
    return
  }
  let [epochBefore, startBefore] = [-1, -1]
  for (const entry of entries) {
    const [epoch, start] = [Number(entry![1]), Number(entry![2])]
    if (epoch <= epochBefore || start < startBefore || start > nextOffset)
      findings.problem({
        path,
        firstOffset: start,
        what: `epoch ${epoch} begins at offset ${start}, behind epoch ${epochBefore} at ${startBefore}, in a log that ends at ${nextOffset}`,
      })
    epochBefore = epoch
    startBefore = start
  }
}
