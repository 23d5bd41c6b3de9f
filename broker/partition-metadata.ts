import { type Files, KtsError, readWhole, writeWhole } from '../base/index.ts'

const NAME = 'partition.metadata'

/** Id of the topic that the directory was made for, 16 bytes in base64url; undefined where it is missing or torn. */
export async function readPartitionMetadata(files: Files, directory: string): Promise<string | undefined> {
  const text = (await readWhole(files, `${directory}/${NAME}`))?.toString('utf8') ?? ''
  return /^version: 0\ntopic_id: ([\w-]{22})\n?$/.exec(text)?.[1]
}

/**
 * `partition.metadata` ties a directory to the topic it was made for: 16 bytes in base64url, without a final newline.
 * Writes it where it is missing or torn; rejects with STORAGE_FAILED when the directory belongs to another topic.
 */
export async function openPartitionMetadata(files: Files, directory: string, topicId: string): Promise<void> {
  const path = `${directory}/${NAME}`
  const found = await readPartitionMetadata(files, directory)
  if (found === undefined) return writeWhole(files, path, Buffer.from(`version: 0\ntopic_id: ${topicId}`))
  if (found === topicId) return
  throw new KtsError(
    'STORAGE_FAILED',
    `${path}: expected topic id ${topicId}, found ${found}; the directory was left by another topic of this name, move it away`,
    { details: { directory, expected: topicId, found } },
  )
}
