import { existsSync, readdirSync, readFileSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import {
  copyOfGolden,
  expectedOf,
  golden,
  openPartition,
  plainRecords,
  readAll,
  temporaryDirectory,
  topicIdOf,
} from '../support/golden.ts'

const VERSIONS = ['kafka-4.1.2', 'kafka-3.9.2']

/** Partitions that idempotent or transactional producers wrote, and that no cleaner has been at. */
const WRITTEN: readonly string[] = [
  ...VERSIONS.flatMap(v => ['txn-0', 'txn-multi-0', 'txn-multi-1', 'txn-open-0'].map(t => `${v}/2-txn/${t}`)),
  ...VERSIONS.flatMap(v => ['__consumer_offsets-0', 'grp-0'].map(t => `${v}/5-internal/${t}`)),
  'kafka-4.1.2/1-codecs/codec-zstd-0',
  'kafka-4.1.2/1-codecs/noidem-0',
  'kafka-4.1.2/4-segments/segments-0',
]

function names(directory: string, suffix: RegExp): string[] {
  return readdirSync(directory)
    .filter(name => suffix.test(name))
    .sort()
}

function hex(directory: string, name: string): string {
  return readFileSync(join(directory, name)).toString('hex')
}

function open(directory: string, clean: boolean) {
  // Their records are of years that no producer would be remembered for.
  return openPartition(directory, { topicId: topicIdOf(directory), clean, producerIdExpirationMs: 2 ** 52 })
}

describe.skipIf(golden === undefined)('what Kafka knows of producers', () => {
  test.each(WRITTEN)(
    '%s: snapshots and transaction indexes built from the log are byte for byte its own',
    async path => {
      const directory = copyOfGolden(path, temporaryDirectory(onTestFinished))
      const snapshot = names(directory, /\.snapshot$/).at(-1)!
      const indexes = names(directory, /\.txnindex$/).filter(name => readFileSync(join(directory, name)).length > 0)
      const before = new Map([snapshot, ...indexes].map(name => [name, hex(directory, name)]))
      for (const name of names(directory, /\.(snapshot|txnindex)$/)) unlinkSync(join(directory, name))
      await (await open(directory, false)).close()
      for (const [name, bytes] of before) {
        expect(existsSync(join(directory, name)), name).toBe(true)
        expect(hex(directory, name), name).toBe(bytes)
      }
    },
  )

  test.each(WRITTEN)('%s: its snapshots and transaction indexes are taken as they are', async path => {
    const directory = copyOfGolden(path, temporaryDirectory(onTestFinished))
    const before = new Map(names(directory, /\.(snapshot|txnindex)$/).map(name => [name, hex(directory, name)]))
    const partition = await open(directory, true)
    expect(partition.recovered.segments.filter(s => s.indexesRebuilt)).toEqual([])
    await partition.close()
    for (const name of names(directory, /\.(snapshot|txnindex)$/)) expect(hex(directory, name)).toBe(before.get(name))
  })

  test.each(VERSIONS)(
    '%s: a transaction that is open stays open over restarts until its marker comes',
    async version => {
      const path = `${version}/2-txn/txn-open-0`
      const directory = copyOfGolden(path, temporaryDirectory(onTestFinished))
      const expected = expectedOf(`${version}/2-txn/txn-open`, 0)
      for (const clean of [true, false]) {
        const partition = await open(directory, clean)
        expect(partition.openTransactions()).toMatchObject([{ firstOffset: 4 }])
        expect(partition.lastStableOffset).toBe(4)
        await partition.close()
      }
      const partition = await open(directory, true)
      const { producerId, epoch } = partition.openTransactions()[0]!
      await partition.endTransaction({ id: producerId, epoch: epoch + 1 }, 'commit')
      await partition.sync()
      expect(partition.openTransactions()).toEqual([])
      expect([partition.lastStableOffset, partition.nextOffset]).toEqual([9, 9])
      const committed = expected.records.filter(([offset]) => offset === 0 || offset >= 4)
      expect(plainRecords(await readAll(partition, 0, 1 << 20, 'read_committed'))).toEqual(committed)
      await partition.close()
    },
  )
})
