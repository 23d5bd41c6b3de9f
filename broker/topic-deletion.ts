import { type Files, type Random, randomId, readWhole } from '../base/index.ts'
import { partitionKey } from './group-members.ts'
import type { TopicEntry } from './topic-registry.ts'

/** Kafka's name of a partition's folder that is to go: `<topic>-<partition>.<32 hex digits>-delete`, cut to fit. */
const DELETED_FOLDER = /\.[0-9a-f]{32}-delete$/
const NAME_MAX = 255

/**
 * Takes the folders of a topic out of the log, durably; the first of them that is
 * renamed decides that it goes. Answers where they lie
 * now, for `removeFolders`.
 */
export async function renameFolders(
  files: Files,
  directory: string,
  topic: string,
  partitions: readonly number[],
  random: Random,
): Promise<readonly string[]> {
  const renamed: string[] = []
  for (const partition of partitions) {
    const name = partitionKey(topic, partition)
    const suffix = `.${Buffer.from(randomId(random), 'base64url').toString('hex')}-delete`
    const folder = `${directory}/${name.slice(0, NAME_MAX - suffix.length)}${suffix}`
    await files.rename(`${directory}/${name}`, folder)
    renamed.push(folder)
  }
  await files.syncDirectory(directory)
  return renamed
}

export async function removeFolders(files: Files, folders: readonly string[]): Promise<void> {
  for (const folder of folders) await files.removeTree(folder)
}

/**
 * Ends deletions that a kill cut off, before the topics are opened: topics of `entries` with a folder on its way out lose
 * the others too, and are answered; whatever is on its way out is removed.
 */
export async function finishDeletions(
  files: Files,
  directory: string,
  entries: ReadonlyMap<string, TopicEntry>,
  random: Random,
): Promise<ReadonlySet<string>> {
  const names = await files.list(directory)
  const leaving = names.filter(name => DELETED_FOLDER.test(name))
  const byId = new Map([...entries].map(([topic, { id }]) => [id, topic]))
  const goes = new Map<string, string>()
  for (const name of leaving) {
    // By id: a topic of the same name may have been created since.
    const metadata = (await readWhole(files, `${directory}/${name}/partition.metadata`))?.toString('latin1')
    const topic = byId.get(/^topic_id: (.*)$/m.exec(metadata ?? '')?.[1] ?? '')
    if (topic !== undefined) goes.set(name, topic)
  }
  const gone = new Set(goes.values())
  for (const topic of gone) {
    const numbers = Array.from({ length: entries.get(topic)!.partitions }, (_, i) => i)
    const left = numbers.filter(i => names.includes(partitionKey(topic, i)))
    await renameFolders(files, directory, topic, left, random)
  }
  // Those that tell that their topic goes stay until the list of topics is without it.
  const free = leaving.filter(name => !goes.has(name))
  await removeFolders(
    files,
    free.map(name => `${directory}/${name}`),
  )
  return gone
}
