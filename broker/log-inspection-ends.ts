import { errorCode, type Files } from '../base/index.ts'
import { batchSize } from './batch.ts'
import { batchRecords } from './batch-records.ts'
import { FileCache } from './file-cache.ts'
import { partitionKey } from './group-members.ts'
import { TRANSACTIONS_TOPIC } from './internal-topics.ts'
import { wholeBatch } from './log-inspection-dump.ts'
import { openLogFile } from './log-inspection-files.ts'
import { walkSegment } from './log-inspection-walk.ts'
import { offsetName } from './segment.ts'
import type { TopicEntry } from './topic-registry.ts'
import { decodeTransactionValue } from './transaction-records.ts'

/**
 * What the transaction log tells to have been synced, by partition key: a start takes bad bytes below for damage and not
 * for a torn tail. Damage in the transaction log itself tells nothing.
 */
export async function readDurableEnds(
  files: Files,
  dataDirectory: string,
  topics: ReadonlyMap<string, TopicEntry>,
): Promise<ReadonlyMap<string, number>> {
  const directory = `${dataDirectory}/${partitionKey(TRANSACTIONS_TOPIC, 0)}`
  const bases = (await listIfThere(files, directory)).flatMap(name => /^(\d{20})\.log$/.exec(name)?.[1] ?? []).sort()
  const names = new Map([...topics].map(([name, { id }]) => [id, name]))
  const ends = new Map<string, number>()
  const cache = new FileCache(files, 4)
  const take = (value: Buffer) => {
    for (const { topicId, partition, end } of endsIn(value)) {
      const topic = names.get(topicId)
      if (topic === undefined) continue
      const key = partitionKey(topic, partition)
      ends.set(key, Math.max(ends.get(key) ?? 0, end))
    }
  }
  try {
    for (const [i, base] of bases.entries()) {
      const store = await openLogFile(cache, `${directory}/${offsetName(Number(base))}.log`)
      await walkSegment(store, Number(base), Number(bases[i + 1] ?? Number.POSITIVE_INFINITY), {
        async batch(bytes, at, position) {
          const records = await batchRecords(await wholeBatch(store, position, batchSize(bytes, at)), 0)
          for (let r = 0; r < records.count; r++) {
            const value = records.value(r)
            if (value !== null) take(value)
          }
        },
        async bad() {},
      })
    }
  } finally {
    await cache.close()
  }
  return ends
}

async function listIfThere(files: Files, directory: string): Promise<readonly string[]> {
  try {
    return await files.list(directory)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return []
    throw error
  }
}

/** Records that do not parse are told by the look at the topic itself. */
function endsIn(value: Buffer) {
  try {
    return decodeTransactionValue(value).durableEnds
  } catch (error) {
    if (errorCode(error) === 'CORRUPT_MESSAGE') return []
    throw error
  }
}
