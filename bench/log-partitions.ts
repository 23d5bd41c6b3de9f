import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bench, BenchContext } from './bench.ts'
import { batchesOf, bytesOf, rateOf } from './log-input.ts'
import { openLog } from './open-log.ts'

/**
 * What one transaction holds, however many partitions it is spread over: 64 KiB for each of 1,024, since every file that a
 * commit touches costs an fdatasync.
 */
const LOT_BYTES = 64 << 20
const BATCH_BYTES = 64 << 10

/** The same bytes in the same lots over many partitions and in one: what partitions cost. */
function manyPartitions(partitions: number, must: number, goal: number): Bench {
  return {
    name: `log-many-partitions-${partitions}`,
    unit: 'MB/s',
    against: 'the same in 1 partition',
    must,
    goal,
    open: async context => ({
      ours: () => spread(context, partitions),
      theirs: () => spread(context, 1),
      close: () => rm(join(context.directory, 'log'), { recursive: true, force: true }),
    }),
  }
}

export const logManyPartitions: readonly Bench[] = [manyPartitions(256, 0.55, 0.7), manyPartitions(1024, 0.35, 0.5)]

async function spread({ directory, bytes }: BenchContext, partitions: number): Promise<number> {
  const lot = batchesOf(LOT_BYTES, BATCH_BYTES)
  await rm(join(directory, 'log'), { recursive: true, force: true })
  const broker = await openLog(join(directory, 'log'))
  await broker.ensureTopic({ name: 'lines', partitions, configs: {} })
  const writer = await broker.writer('bench')
  const lots = Math.ceil(bytes / LOT_BYTES)
  const rate = await rateOf(lots * bytesOf(lot), async () => {
    for (let i = 0; i < lots; i++) {
      const transaction = await writer.begin()
      for (const [piece, batch] of lot.entries()) await transaction.append('lines', piece % partitions, batch)
      await transaction.commit()
    }
  })
  await broker.close()
  return rate
}
