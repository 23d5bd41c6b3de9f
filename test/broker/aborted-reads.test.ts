import { expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { packRecords } from '../../base/packed-writer.ts'
import { ManualClock, SeededRandom } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { PartitionLog } from '../../broker/partition-log.ts'
import { readPartition } from '../../broker/read-partition.ts'
import { lines, NEVER, subscription } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'

const PIECE = 64 << 10

test('a reader passes over 100,000 aborted records in bounded steps, comes to the end, and rests there', async () => {
  const clock = new ManualClock()
  const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1), { clock }))
  const broker = await openAsNewProcess({ files, clock })
  await broker.ensureTopic({ name: 't', partitions: 1, configs: {} })
  const writer = await broker.writer('w')
  const records = packRecords(Array.from({ length: 500 }, (_, i) => ({ value: `${i}` })))
  for (let i = 0; i < 200; i++) {
    const transaction = await writer.begin()
    await transaction.append('t', 0, records)
    await transaction.abort()
  }
  const last = await writer.begin()
  await last.append('t', 0, lines('last'))
  await last.commit()
  const reader = await broker.subscribe(subscription({ group: 'g', bytesMax: PIECE, partitionBytesMax: PIECE }))
  expect(await reader.poll(0, NEVER)).toMatchObject({ kind: 'assigned' })
  let polls = 0
  for (let event = await reader.poll(0, NEVER); event.kind !== 'records'; event = await reader.poll(0, NEVER)) {
    const before = reader.position('t', 0)
    expect(event.kind).toBe('idle')
    expect(++polls).toBeLessThan(1000)
    expect(before).toBeGreaterThan(polls)
  }
  // A piece holds some ten of these batches.
  expect(polls).toBeGreaterThan(5)
  expect(reader.position('t', 0)).toBeGreaterThan(100_000)
  await writer.close()
  expect(await reader.poll(0, NEVER)).toMatchObject({ kind: 'idle' })
  const reads = files.count('read')
  for (let i = 0; i < 10; i++) expect(await reader.poll(0, NEVER)).toMatchObject({ kind: 'idle' })
  expect(files.count('read')).toBe(reads)
  await broker.close()
})

test('the memory of records that are passed over is given back at once', async () => {
  let held = 0
  const log: PartitionLog = {
    logStartOffset: 0,
    highWatermark: 10,
    lastStableOffset: 10,
    read: async offset => {
      if (offset < 10) held++
      return offset < 10
        ? { batches: [], nextOffset: offset + 1, release: () => held-- }
        : { batches: [], nextOffset: 10 }
    },
    onAdvance: () => () => undefined,
  }
  const options = { isolation: 'read_committed', bytesMax: 1, waitMs: 0 } as const
  const read = await readPartition(new ManualClock(), log, { topic: 't', partition: 0 }, 0, options)
  expect([read.batches, held]).toEqual([[], 0])
})
