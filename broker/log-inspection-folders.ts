import { errorCode, type Files, KtsError } from '../base/index.ts'

/** The folder of one partition, as it lies there. */
export interface PartitionFolder {
  readonly directory: string
  /** Undefined where the folder's name is not `<topic>-<partition>`. */
  readonly topic: string | undefined
  readonly partition: number
  /** Base offsets of its segments, in order. */
  readonly segments: readonly number[]
  /** Every name in it. */
  readonly names: readonly string[]
}

export interface LogFolders {
  /** Who owns the partitions: the folder itself, or the one above a partition's. Undefined when neither is one. */
  readonly dataDirectory: string | undefined
  /** The folder that was named is a data directory, not one partition of it. */
  readonly whole: boolean
  readonly partitions: readonly PartitionFolder[]
}

const SEGMENT = /^(\d{20})\.log$/
const PARTITION = /^([A-Za-z0-9._-]{1,249})-(\d{1,10})$/

/** What only lies in a data directory, ours or Kafka's. */
const MARKS = ['meta', 'meta.properties', 'recovery-point-offset-checkpoint']

/** Looks what `directory` is, without writing anything. Rejects with NO_LOG when there is no log in it. */
export async function findLogFolders(files: Files, directory: string): Promise<LogFolders> {
  const names = await files.list(directory)
  const own = folderOf(directory, names)
  if (own !== undefined) {
    const above = directory.slice(0, directory.lastIndexOf('/')) || '/'
    return { dataDirectory: (await isDataDirectory(files, above)) ? above : undefined, whole: false, partitions: [own] }
  }
  const partitions: PartitionFolder[] = []
  for (const name of [...names].sort()) {
    if (!PARTITION.test(name)) continue
    const folder = folderOf(`${directory}/${name}`, await listPartition(files, `${directory}/${name}`))
    if (folder !== undefined) partitions.push(folder)
  }
  if (partitions.length > 0 || (await isDataDirectory(files, directory)))
    return { dataDirectory: directory, whole: true, partitions }
  throw new KtsError(
    'NO_LOG',
    `${directory}: expected a data directory, or the folder of one partition with files like 00000000000000000000.log; found neither`,
  )
}

function folderOf(directory: string, names: readonly string[]): PartitionFolder | undefined {
  const segments = names.flatMap(name => SEGMENT.exec(name)?.[1] ?? []).map(Number)
  if (segments.length === 0) return undefined
  const [, topic, partition] = PARTITION.exec(directory.slice(directory.lastIndexOf('/') + 1)) ?? []
  return {
    directory,
    topic,
    partition: Number(partition ?? -1),
    segments: segments.sort((a, b) => a - b),
    names: [...names].sort(),
  }
}

async function isDataDirectory(files: Files, directory: string): Promise<boolean> {
  const names = await listUnless(files, directory, ['ENOTDIR', 'EACCES'])
  return MARKS.some(mark => names.includes(mark))
}

/** One that may not be read is an error: what nobody has looked at is not to be called good. */
function listPartition(files: Files, directory: string): Promise<readonly string[]> {
  return listUnless(files, directory, ['ENOTDIR'])
}

async function listUnless(files: Files, directory: string, passed: readonly string[]): Promise<readonly string[]> {
  try {
    return await files.list(directory)
  } catch (error) {
    if (passed.includes(errorCode(error))) return []
    throw error
  }
}
