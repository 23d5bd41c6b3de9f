import { type Files, KtsError, type Logger, type Random, randomId, readWhole, writeWhole } from '../base/index.ts'

/** What Kafka keeps of a log directory in its file `meta.properties` (KIP-631, KIP-858). */
export interface MetaProperties {
  /** Of the data directory for good: tools tell by it one log from another. */
  readonly clusterId: string
  readonly directoryId: string
}

const NODE_ID = '0'
const ID = /^[A-Za-z0-9_-]{22}$/

/** Undefined when there is no file. Rejects with STORAGE_FAILED when it is not one of version 1, or another node's. */
export async function readMetaProperties(files: Files, path: string): Promise<MetaProperties | undefined> {
  const text = (await readWhole(files, path))?.toString('latin1')
  if (text === undefined) return undefined
  const lines = text.split(/\r?\n/).filter(line => /^[^#!]/.test(line.trim()))
  const values = new Map(lines.map(line => [keyOf(line), line.slice(keyOf(line).length + 1).trim()]))
  const [clusterId, directoryId] = [values.get('cluster.id') ?? '', values.get('directory.id') ?? '']
  const ours = values.get('version') === '1' && values.get('node.id') === NODE_ID
  if (ours && ID.test(clusterId) && ID.test(directoryId)) return { clusterId, directoryId }
  throw new KtsError(
    'STORAGE_FAILED',
    `${path}: expected version=1, node.id=0, cluster.id and directory.id of 22 characters each. Restore it from a backup, or delete it: the log is kept then, under a new cluster id`,
  )
}

/** The cluster id of a data directory; `used`: there was one before. Rejects as `readMetaProperties`. */
export async function openClusterId(
  { files, random, log }: { readonly files: Files; readonly random: Random; readonly log: Logger },
  directory: string,
  used: boolean,
): Promise<string> {
  const path = `${directory}/meta.properties`
  const found = await readMetaProperties(files, path)
  if (found !== undefined) return found.clusterId
  const { clusterId } = await createMetaProperties(files, path, random)
  if (used) log.warn({ directory, clusterId }, 'meta.properties was gone: the log has a new cluster id')
  return clusterId
}

/** Makes the ids of a new data directory, durable before anything else is written there. */
async function createMetaProperties(files: Files, path: string, random: Random): Promise<MetaProperties> {
  const ids = { clusterId: randomId(random), directoryId: randomId(random) }
  const lines = ['version=1', `cluster.id=${ids.clusterId}`, `node.id=${NODE_ID}`, `directory.id=${ids.directoryId}`]
  await writeWhole(files, path, Buffer.from(`${lines.join('\n')}\n`))
  return ids
}

function keyOf(line: string): string {
  return line.split('=', 1)[0]!
}
