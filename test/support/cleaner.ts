import { type Files, type ManualClock, SeededRandom, silentLogger } from '../../base/index.ts'
import { Cleaner, type CleanerParts } from '../../broker/cleaner.ts'
import type { FileCache } from '../../broker/file-cache.ts'
import type { Partition } from '../../broker/partition.ts'
import { parseTopicConfigs } from '../../broker/topic-configs.ts'
import type { Topic } from '../../broker/topic-store.ts'

export interface OneTopic {
  readonly files: Files
  readonly clock: ManualClock
  /** Of the data directory; the partition lies in `<directory>/log-0`. */
  readonly directory: string
  readonly cache: FileCache
}

/** Settings that let everything but the active segment be cleaned at once. */
export const EAGER = { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0' }

/** A cleaner over one partition of a topic with these settings. */
export function openCleaner(
  partition: Partition,
  at: OneTopic,
  configs: Readonly<Record<string, string>> = {},
  parts: Partial<CleanerParts> = {},
): Promise<Cleaner> {
  const all = { ...EAGER, ...configs }
  const topic: Topic = {
    name: partition.topic,
    internal: false,
    entry: { id: 'AAAAAAAAAAAAAAAAAAAAAA', partitions: 1, configs: all },
    settings: parseTopicConfigs(all).settings,
    partitions: [partition],
  }
  return Cleaner.open({
    directory: at.directory,
    files: at.files,
    clock: at.clock,
    logger: silentLogger,
    cache: at.cache,
    topics: { all: () => [topic], has: () => true, folderOf: () => `${at.directory}/log-0` },
    mapBytesMax: 1 << 20,
    random: new SeededRandom(1),
    bytesPerSecond: Number.POSITIVE_INFINITY,
    backoffMs: 15_000,
    now: () => at.clock.now(),
    heldAt: () => Number.POSITIVE_INFINITY,
    beforeInternal: async () => undefined,
    beforeSwap: async () => undefined,
    ...parts,
  })
}
