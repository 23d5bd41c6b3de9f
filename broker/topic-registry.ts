import { type Files, KtsError, readWhole, writeWhole } from '../base/index.ts'

/** What is remembered of a topic besides its records. */
export interface TopicEntry {
  readonly id: string
  readonly partitions: number
  /** As given, without defaults. */
  readonly configs: Readonly<Record<string, string>>
}

/** The file `meta/topics.json`: every topic's id, number of partitions and settings. Replaced as a whole. */
export async function writeTopics(files: Files, path: string, topics: ReadonlyMap<string, TopicEntry>): Promise<void> {
  const sorted = [...topics].sort(([a], [b]) => (a < b ? -1 : 1))
  const text = JSON.stringify({ version: 1, topics: Object.fromEntries(sorted) }, undefined, 2)
  await writeWhole(files, path, Buffer.from(`${text}\n`))
}

/** Undefined when there is no file. Rejects with STORAGE_FAILED when it is not what was written. */
export async function readTopics(files: Files, path: string): Promise<Map<string, TopicEntry> | undefined> {
  const bytes = await readWhole(files, path)
  if (bytes === undefined) return undefined
  try {
    const { version, topics } = JSON.parse(bytes.toString()) as { version: unknown; topics: Record<string, TopicEntry> }
    const entries = Object.entries(topics)
    if (version === 1 && entries.every(([, entry]) => isEntry(entry))) return new Map(entries)
  } catch {
    // Answered below, as any other content that is not ours.
  }
  throw new KtsError(
    'STORAGE_FAILED',
    `${path}: not a list of topics of version 1. Restore it from a backup, or delete it: topics are then found again by their folders, with default settings until the configuration sets them`,
  )
}

/**
 * The topics whose folders lie in a data directory, for when the list is lost: id and partitions are in the folders, the
 * settings are not.
 */
export async function findTopics(files: Files, directory: string): Promise<Map<string, TopicEntry>> {
  const topics = new Map<string, TopicEntry>()
  for (const name of [...(await files.list(directory))].sort()) {
    const [, topic, partition] = /^([A-Za-z0-9._-]+)-(\d{1,5})$/.exec(name) ?? []
    if (topic === undefined) continue
    const metadata = (await readWhole(files, `${directory}/${name}/partition.metadata`))?.toString('latin1')
    const id = /^topic_id: ([A-Za-z0-9_-]{22})$/m.exec(metadata ?? '')?.[1]
    if (id === undefined) continue
    const partitions = Math.max(topics.get(topic)?.partitions ?? 0, Number(partition) + 1)
    topics.set(topic, { id, partitions, configs: {} })
  }
  return topics
}

function isEntry({ id, partitions, configs }: TopicEntry): boolean {
  return (
    typeof id === 'string' &&
    Number.isInteger(partitions) &&
    typeof configs === 'object' &&
    Object.values(configs).every(value => typeof value === 'string')
  )
}

export function sameConfigs(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(a)
  return names.length === Object.keys(b).length && names.every(name => a[name] === b[name])
}
