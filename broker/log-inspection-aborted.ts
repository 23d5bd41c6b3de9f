import {
  batchBaseOffset,
  batchBaseSequence,
  batchCount,
  batchIsControl,
  batchIsTransactional,
  batchLastOffset,
  batchLastSequence,
  batchMaxTimestamp,
  batchProducerEpoch,
  batchProducerId,
  batchSize,
} from './batch.ts'
import { readMarker } from './batch-marker.ts'
import type { FileCache } from './file-cache.ts'
import { wholeBatch } from './log-inspection-dump.ts'
import { type AbortedEntry, openLogFile, readAbortedEntries } from './log-inspection-files.ts'
import type { PartitionFolder } from './log-inspection-folders.ts'
import { walkSegment } from './log-inspection-walk.ts'
import { type AbortedTransaction, Producers } from './producers.ts'
import { offsetName } from './segment.ts'

/**
 * The aborted transactions of a partition by segment, as its batches tell them. Of a transaction whose begin is not in the
 * log any more, what `.txnindex` says is kept where its marker is there.
 */
export async function findAborted(
  cache: FileCache,
  { directory, segments }: PartitionFolder,
): Promise<Map<number, AbortedTransaction[]>> {
  const found = new Map<number, AbortedTransaction[]>()
  const producers = new Producers(directory)
  for (const [i, baseOffset] of segments.entries()) {
    const stem = `${directory}/${offsetName(baseOffset)}`
    const store = await openLogFile(cache, `${stem}.log`)
    const known = (await readAbortedEntries(cache.files, `${stem}.txnindex`))?.entries ?? []
    const entries: AbortedTransaction[] = []
    await walkSegment(store, baseOffset, segments[i + 1] ?? Number.POSITIVE_INFINITY, {
      async batch(bytes, at, position) {
        const id = batchProducerId(bytes, at)
        if (id < 0) {
          if (batchCount(bytes, at) === 0) entries.push(...toldOf(known, bytes, at))
          return
        }
        const producer = { id, epoch: batchProducerEpoch(bytes, at) }
        if (!batchIsControl(bytes, at)) {
          producers.observe(producer, {
            firstSequence: batchBaseSequence(bytes, at),
            lastSequence: batchLastSequence(bytes, at),
            baseOffset: batchBaseOffset(bytes, at),
            lastOffset: batchLastOffset(bytes, at),
            timestamp: batchMaxTimestamp(bytes, at),
            transactional: batchIsTransactional(bytes, at),
          })
          return
        }
        const marker = await readMarker(await wholeBatch(store, position, batchSize(bytes, at)), 0)
        if (marker === undefined) return
        const told = known.find(entry => entry.lastOffset === marker.offset && entry.producerId === id)
        const entry = producers.end(producer, marker) ?? (marker.outcome === 'abort' ? told : undefined)
        if (entry !== undefined) entries.push(entry)
      },
      async bad() {},
    })
    if (entries.length > 0) found.set(baseOffset, entries)
  }
  return found
}

/** Of transactions whose marker was lost to damage: nothing else tells that they were aborted. */
function toldOf(known: readonly AbortedEntry[], bytes: Buffer, at: number): readonly AbortedEntry[] {
  const [first, last] = [batchBaseOffset(bytes, at), batchLastOffset(bytes, at)]
  return known.filter(entry => entry.version === 0 && entry.lastOffset >= first && entry.lastOffset <= last)
}
