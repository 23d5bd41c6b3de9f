import { PackedRecords, SeededRandom } from '../base/index.ts'
import type { Broker } from '../broker/index.ts'
import { accessLogChunk } from '../cli/access-log.ts'

/** What the tailer reads in one go: one batch of the log. */
export const BATCH_BYTES = 960 << 10

/** A few distinct batches of lines, repeated up to `bytes`: the input must not be what fills the memory. */
export function batchesOf(bytes: number, batchBytes = BATCH_BYTES): readonly PackedRecords[] {
  const random = new SeededRandom(7)
  const distinct = Array.from({ length: 8 }, () => packLines(accessLogChunk(random, batchBytes, 0, 10).text))
  return Array.from({ length: Math.ceil(bytes / batchBytes) }, (_, i) => distinct[i % distinct.length]!)
}

function packLines(text: string): PackedRecords {
  const bytes = Buffer.from(text, 'latin1')
  const starts: number[] = []
  const ends: number[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(10, at)
    starts.push(at)
    ends.push(end)
    at = end + 1
  }
  return new PackedRecords({
    count: starts.length,
    bytes,
    valueStarts: Int32Array.from(starts),
    valueEnds: Int32Array.from(ends),
    timestamps: Date.now(),
  })
}

/** Runs `work` and answers MB of `bytes` per second. */
export async function rateOf(bytes: number, work: () => Promise<void>): Promise<number> {
  const started = performance.now()
  await work()
  return bytes / 1e6 / ((performance.now() - started) / 1000)
}

export function bytesOf(batches: readonly PackedRecords[]): number {
  return batches.reduce((sum, batch) => sum + batch.bytes.length, 0)
}

/** Fills a topic in transactions of `lot` batches, over its partitions in turn. */
export async function fill(broker: Broker, topic: string, partitions: number, bytes: number, lot = 16): Promise<void> {
  const batches = batchesOf(16 * BATCH_BYTES)
  const writer = await broker.writer(`fill-${topic}`)
  for (let done = 0, i = 0; done < bytes; ) {
    const transaction = await writer.begin()
    for (let n = 0; n < lot && done < bytes; n++, i++) {
      const batch = batches[i % batches.length]!
      await transaction.append(topic, i % partitions, batch)
      done += batch.bytes.length
    }
    await transaction.commit()
  }
  await writer.close()
}
