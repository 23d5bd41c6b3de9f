import { type Files, KtsError, readWhole, writeWhole } from '../base/index.ts'

const NAME = 'partition.metadata'

/**
 * `partition.metadata` ties a directory to the topic it was made for: 16 bytes in base64url, without a final newline.
 * Writes it where it is missing or torn; rejects with STORAGE_FAILED when the directory belongs to another topic.
 */
export async function openPartitionMetadata(files: Files, directory: string, topicId: string): Promise<void> {
  const path = `${directory}/${NAME}`
  const found = /^version: 0\ntopic_id: ([\w-]{22})\n?$/.exec((await readWhole(files, path))?.toString('utf8') ?? '')
  if (found === null) return writeWhole(files, path, Buffer.from(`version: 0\ntopic_id: ${topicId}`))
  if (found[1] === topicId) return
  throw new KtsError(
    'STORAGE_FAILED',
    `${path}: expected topic id ${topicId}, found ${found[1]}; the directory was left by another topic of this name, move it away`,
    { details: { directory, expected: topicId, found: found[1] } },
  )
}
