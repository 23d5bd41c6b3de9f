import { readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ManualClock, nodeFiles } from '../../base/index.ts'
import { batchBaseOffset, batchMaxTimestamp, batchSize } from '../../broker/batch.ts'
import { deleteHorizon } from '../../broker/compaction-batch.ts'
import { FileCache } from '../../broker/file-cache.ts'
import type { Partition } from '../../broker/partition.ts'
import { openCleaner } from '../support/cleaner.ts'
import {
  copyOfGolden,
  expectedOf,
  golden,
  openPartition,
  plainRecords,
  readAll,
  SETTINGS,
  temporaryDirectory,
  topicIdOf,
} from '../support/golden.ts'

const FOLDER = 'kafka-4.1.2/3-compacted'
const LOG = '00000000000000000000.log'
const FOREVER = '8640000000'
/** A few seconds behind the records: by then Kafka had forgotten the producers whose record times are of 2023. */
const CLEANED_AT = 1_795_174_480_000

async function openCopy(path: string) {
  const directory = temporaryDirectory(onTestFinished)
  renameSync(copyOfGolden(path, directory), join(directory, 'log-0'))
  const clock = new ManualClock(CLEANED_AT)
  const cache = new FileCache(nodeFiles, 64)
  const partition = await openPartition(join(directory, 'log-0'), {
    topicId: topicIdOf(join(directory, 'log-0')),
    clean: true,
    clock,
    cache,
    settings: { ...SETTINGS, segmentMs: 60_000, compacts: true },
  })
  onTestFinished(() => partition.close())
  return { partition, at: { files: nodeFiles, clock, directory, cache } }
}

/** Batches of a log file by base offset; where a pass has set a horizon, without what depends on the time of that pass. */
function batchesOf(path: string): Map<number, string> {
  const bytes = readFileSync(path)
  const batches = new Map<number, string>()
  for (let at = 0; at < bytes.length; at += batchSize(bytes, at)) {
    const batch = Buffer.from(bytes.subarray(at, at + batchSize(bytes, at)))
    const timed = deleteHorizon(batch, 0) !== undefined
    const shown = timed
      ? `${batch.subarray(21, 27).toString('hex')} ${batchMaxTimestamp(batch, 0)}`
      : batch.toString('hex')
    batches.set(batchBaseOffset(batch, 0), shown)
  }
  return batches
}

/** What Kafka appended between two of its passes, as its client encoded it. */
async function appendWhatFollowed(partition: Partition, path: string): Promise<void> {
  const from = partition.nextOffset
  for (const name of [LOG, '00000000000000000148.log', '00000000000000000017.log']) {
    let bytes: Buffer
    try {
      bytes = readFileSync(join(golden!, path, name))
    } catch {
      continue
    }
    for (let at = 0; at < bytes.length; at += batchSize(bytes, at)) {
      const batch = Buffer.from(bytes.subarray(at, at + batchSize(bytes, at)))
      if (batchBaseOffset(batch, 0) < from) continue
      batch.writeBigInt64BE(0n, 0)
      await partition.appendEncoded(batch)
    }
  }
  await partition.sync()
}

describe.skipIf(golden === undefined)("compaction beside Kafka's own, over the same files", () => {
  test.each(['compact-keep', 'compact-drop', 'compact-txn', 'compact-empty'])(
    '%s: after one pass the same batches stand there, byte for byte but for the horizon',
    async topic => {
      const { partition, at } = await openCopy(`${FOLDER}/before/${topic}-0`)
      const configs = { 'delete.retention.ms': topic === 'compact-drop' ? '1' : FOREVER }
      const cleaner = await openCleaner(partition, at, configs)
      expect(await cleaner.cleanDirtiest()).toBe(true)
      expect(await cleaner.cleanDirtiest()).toBe(false)
      const after = `${FOLDER}/after1/${topic}`
      expect(plainRecords(await readAll(partition))).toEqual(expectedOf(after, 0).records)
      const kafkas = batchesOf(join(golden!, `${after}-0`, LOG))
      expect(batchesOf(join(at.directory, 'log-0', LOG))).toEqual(kafkas)
    },
  )

  test.each(['compact-keep', 'compact-drop', 'compact-txn'])(
    '%s: after more records and another pass, too',
    async topic => {
      const { partition, at } = await openCopy(`${FOLDER}/before/${topic}-0`)
      const configs = { 'delete.retention.ms': topic === 'compact-drop' ? '1' : FOREVER }
      const cleaner = await openCleaner(partition, at, configs)
      await cleaner.cleanDirtiest()
      at.clock.advance(60_000)
      await appendWhatFollowed(partition, `${FOLDER}/after2/${topic}-0`)
      expect(await cleaner.cleanDirtiest()).toBe(true)
      expect(plainRecords(await readAll(partition))).toEqual(expectedOf(`${FOLDER}/after2/${topic}`, 0).records)
    },
  )
})
