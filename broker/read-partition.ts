import { type Clock, KtsError } from '../base/index.ts'
import type { PartitionId } from './group-members.ts'
import type { PartitionLog } from './partition-log.ts'
import type { LogRecords, ReadOptions, Release } from './port.ts'
import { logRecords, outOfRange } from './reader.ts'
import { Wake } from './wake.ts'

/** Reads a partition without a group, waiting at most `options.waitMs` for a first record. */
export async function readPartition(
  clock: Clock,
  log: PartitionLog,
  id: PartitionId,
  offset: number,
  options: ReadOptions,
  /** Once `ends` is so, nothing more is waited for; `wake` is signalled then. */
  { wake, ends }: { readonly wake: Wake; readonly ends: () => boolean } = { wake: new Wake(), ends: () => false },
): Promise<{ readonly batches: readonly LogRecords[]; readonly release: Release }> {
  if (!Number.isSafeInteger(offset)) throw new KtsError('OFFSET_OUT_OF_RANGE', `${offset} is not an offset`)
  const deadline = clock.monotonic() + options.waitMs
  const stop = log.onAdvance(wake.signal, options.isolation)
  try {
    let from = offset
    for (;;) {
      wake.clear()
      if (from < log.logStartOffset || from > log.highWatermark)
        throw outOfRange(id.topic, id.partition, from, log.logStartOffset, log.highWatermark)
      // At the end too: a log that has ended says so.
      const read = await log.read(from, options.bytesMax, options.isolation)
      if (read.batches.length > 0) return { batches: logRecords(id, read), release: read.release ?? nothing }
      // Nothing but what is passed over: markers, aborted records.
      read.release?.()
      if (read.nextOffset > from) {
        from = read.nextOffset
        continue
      }
      const rest = deadline - clock.monotonic()
      if (rest <= 0 || options.signal?.aborted === true || ends()) return { batches: [], release: nothing }
      await wake.wait(clock, rest, options.signal)
    }
  } finally {
    stop()
  }
}

function nothing(): void {}
