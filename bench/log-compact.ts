import { join } from 'node:path'
import { nodeFiles, PackedWriter, SeededRandom, systemRandom } from '../base/index.ts'
import { Compaction } from '../broker/compaction.ts'
import { removeCleaned } from '../broker/compaction-swap.ts'
import { FileCache } from '../broker/file-cache.ts'
import { openSegments } from '../broker/partition-directory.ts'
import { accessLogLine } from '../cli/access-log.ts'
import type { Bench } from './bench.ts'
import { walkAll } from './log.ts'
import { rateOf } from './log-input.ts'
import { openLog } from './open-log.ts'

const SEGMENT_BYTES = 64 << 20
const BATCH_RECORDS = 4096
/** Kafka's log.cleaner.dedupe.buffer.size. */
const MAP_BYTES = 128 << 20

/**
 * One pass of the cleaner over segments in which every key stands four times on average: what is read is counted. The
 * cleaned files are thrown away, so that each run finds the same log.
 */
export const logCompact: Bench = {
  name: 'log-compact',
  unit: 'MB/s',
  against: 'CRC walk of the same segments',
  must: 0.1,
  goal: 0.2,
  async open({ directory, bytes }) {
    const folder = join(directory, 'log', 'state-0')
    await fillKeyed(join(directory, 'log'), bytes)
    const cache = new FileCache(nodeFiles, 64)
    const everything = Number.POSITIVE_INFINITY
    const plan = { syncedOffset: everything, checkFrom: everything, acknowledgedEnd: undefined }
    const opened = await openSegments(cache, { ...plan, directory: folder, indexIntervalBytes: 4096, now: Date.now() })
    const segments = opened.segments.slice(0, -1)
    const size = segments.reduce((sum, segment) => sum + segment.bytes, 0)
    const compact = async () => {
      const { bytesAfter } = await new Compaction({
        directory: folder,
        cache,
        segments,
        offsetEnd: opened.segments.at(-1)!.baseOffset,
        dirtyFrom: segments[0]!.baseOffset,
        aborted: [],
        producerBatches: new Set(),
        producerEpochs: new Map(),
        now: Date.now(),
        deleteRetentionMs: 86_400_000,
        segmentBytes: SEGMENT_BYTES,
        indexIntervalBytes: 4096,
        mapBytesMax: MAP_BYTES,
        random: systemRandom,
        damaged: new WeakSet(),
        pace: async () => {},
        swap: async (old, cleaned) => {
          await cleaned.close()
          await removeCleaned(nodeFiles, folder, old[0]!.baseOffset)
        },
      }).run()
      if (bytesAfter === 0 || bytesAfter > size / 2) throw new Error(`${size} bytes were cleaned to ${bytesAfter}`)
    }
    return {
      ours: () => rateOf(size, compact),
      theirs: () => rateOf(size, () => walkAll(folder)),
      close: async () => {
        for (const segment of opened.segments) await segment.close()
      },
    }
  },
}

async function fillKeyed(directory: string, bytes: number): Promise<void> {
  const random = new SeededRandom(5)
  const lines = Array.from({ length: 512 }, () => Buffer.from(accessLogLine(random, 0), 'latin1'))
  const keys = Math.ceil(bytes / 214 / 4)
  const broker = await openLog(directory)
  await broker.ensureTopic({ name: 'state', configs: { 'segment.bytes': String(SEGMENT_BYTES) } })
  const writer = await broker.writer('fill')
  for (let written = 0; written < bytes; ) {
    const batch = new PackedWriter()
    for (let i = 0; i < BATCH_RECORDS; i++) {
      const line = lines[i % lines.length]!
      batch.add(Buffer.from(`key-${Math.floor(random.next() * keys)}`), line, undefined, -1)
      written += line.length
    }
    const transaction = await writer.begin()
    await transaction.append('state', 0, batch.build())
    await transaction.commit()
  }
  await broker.close()
}
