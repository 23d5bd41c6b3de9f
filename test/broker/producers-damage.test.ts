import { describe, expect, test } from 'vitest'
import { type Files, packRecords, readWhole } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { SeededRandom } from '../../base/random.ts'
import type { Partition } from '../../broker/partition.ts'
import type { PartitionParts } from '../../broker/partition-parts.ts'
import { openPartition, SETTINGS } from '../support/golden.ts'
import { recordingLogger } from '../support/recording-logger.ts'

const DIRECTORY = '/d/log-0'
const LOG = `${DIRECTORY}/00000000000000000000.log`

const lines = (...values: string[]) => [packRecords(values.map(value => ({ value, timestamp: 1_700_000_000_000 })))]
const open = (files: Files, parts: Partial<PartitionParts> = {}) =>
  openPartition(DIRECTORY, { files, producerIdExpirationMs: Number.MAX_SAFE_INTEGER, ...parts })

async function change(files: Files, path: string, how: (bytes: Buffer) => Buffer | undefined): Promise<void> {
  const bytes = how(Buffer.from((await readWhole(files, path))!))
  if (bytes === undefined) return files.unlink(path)
  const file = await files.open(path, 'write')
  await file.truncate(0)
  await file.write([bytes], 0)
  await file.datasync()
  await file.close()
}

/** What a read_committed reader gets, and the ranges that were named to it as damage. */
async function committed(partition: Partition) {
  const values: string[] = []
  const named: number[][] = []
  for (let offset = partition.logStartOffset; offset < partition.lastStableOffset; ) {
    try {
      const read = await partition.read(offset, 1 << 16, 'read_committed')
      for (const b of read.batches) for (let i = 0; i < b.count; i++) values.push(b.value(i)!.toString())
      offset = read.nextOffset
    } catch (error) {
      const { code, details } = error as { code: string; details: Record<string, number> }
      expect(code).toBe('CORRUPT_MESSAGE')
      named.push([details.firstOffset!, details.lastOffset!])
      offset = details.nextOffset!
    }
  }
  return { values, named }
}

describe('files about producers and aborted transactions', () => {
  const variants: readonly (readonly [string, (bytes: Buffer) => Buffer | undefined])[] = [
    ['deleted', () => undefined],
    ['emptied', () => Buffer.alloc(0)],
    ['zeroed', bytes => Buffer.alloc(bytes.length)],
    ['cut', bytes => bytes.subarray(0, bytes.length - 5)],
    ['cut between entries', bytes => bytes.subarray(0, bytes.length - 34)],
    ['from the future', bytes => Buffer.concat([bytes, Buffer.alloc(34, 0x7f)])],
    ['noise', bytes => new SeededRandom(3).bytes(bytes.length)],
  ]
  const suffixes = ['0.txnindex', 'aborted-transactions-checkpoint', '.snapshot']
  for (const clean of [true, false]) {
    for (const suffix of suffixes) {
      test.each(variants)(`*${suffix} %s, ${clean ? 'clean' : 'unclean'}: nothing aborted is seen`, async (_, how) => {
        const files = new MemoryFiles(new SeededRandom(1))
        const settings = { ...SETTINGS, segmentBytes: 350 }
        const first = await open(files, { settings })
        for (let i = 0; i < 8; i++) {
          await first.append(lines(`aborted ${i}`), { producer: { id: 1, epoch: i } })
          await first.append(lines(`committed ${i}`), { producer: { id: 2, epoch: i } })
          await first.endTransaction({ id: 1, epoch: i + 1 }, 'abort')
          await first.endTransaction({ id: 2, epoch: i + 1 }, 'commit')
        }
        await first.close()
        const expected = Array.from({ length: 8 }, (_unused, i) => `committed ${i}`)
        for (const name of (await files.list(DIRECTORY)).filter(n => n.endsWith(suffix))) {
          await change(files, `${DIRECTORY}/${name}`, how)
          for (const recoveryPoint of [0, 32]) {
            const partition = await open(files, { settings, clean, recoveryPoint })
            expect((await committed(partition)).values, name).toEqual(expected)
            expect(partition.abortedTransactions().length).toBe(8)
            expect(partition.producerEpochs()).toEqual(
              new Map([
                [1, 8],
                [2, 8],
              ]),
            )
            await partition.close()
          }
        }
      })
    }
  }
})

describe('bad bytes in front of whole batches', () => {
  /** A plain record, two transactional batches of which the first is damaged, and what else `more` writes. */
  async function damaged(more: (partition: Partition) => Promise<unknown>, at = 1) {
    const files = new MemoryFiles(new SeededRandom(1))
    const partition = await open(files)
    const positions: number[] = []
    const append = async (value: string, producer?: { id: number; epoch: number }) => {
      positions.push(partition.sizeBytes)
      await partition.append(lines(value), producer === undefined ? {} : { producer })
    }
    await append('plain')
    await append('one', { id: 1, epoch: 0 })
    await append('two', { id: 1, epoch: 0 })
    await more(partition)
    await partition.sync()
    await change(files, LOG, bytes => {
      bytes[positions[at]! + 65]! ^= 1
      return bytes
    })
    return files
  }

  test('are cut with what is behind them, when that was never committed', async () => {
    const files = await damaged(async () => undefined)
    const log = recordingLogger()
    const partition = await open(files, { log, acknowledgedEnd: 1 })
    expect([partition.nextOffset, partition.openTransactions()]).toEqual([1, []])
    expect(partition.recovered.truncatedBytes).toBeGreaterThan(0)
    expect(log.lines.map(l => l.message)).toEqual(['a torn tail, never acknowledged, was cut'])
    expect(await committed(partition)).toEqual({ values: ['plain'], named: [] })
  })

  test('stay and are named when a record of no transaction is behind them, which may have been acknowledged', async () => {
    const files = await damaged(partition => partition.append(lines('behind')))
    const partition = await open(files, { acknowledgedEnd: 1 })
    // Nothing behind the acknowledged end was committed, so the damage hides no marker.
    expect(partition.openTransactions()).toMatchObject([{ producerId: 1, firstOffset: 2, undecidable: false }])
    await partition.endTransaction({ id: 1, epoch: 1 }, 'abort')
    await partition.sync()
    expect(await committed(partition)).toEqual({ values: ['plain', 'behind'], named: [[1, 1]] })
  })

  test('stay without a transaction log', async () => {
    const partition = await open(await damaged(async () => undefined))
    expect(partition.nextOffset).toBe(3)
    expect(partition.recovered.segments[0]!.holes).toHaveLength(1)
  })

  test('below the acknowledged end leave an open transaction undecidable: its records are named, until somebody knows', async () => {
    for (const known of [true, false]) {
      const files = await damaged(partition => partition.append(lines('behind')), 2)
      const log = recordingLogger()
      let partition = await open(files, { acknowledgedEnd: 4, log })
      expect(log.lines.some(l => l.message.includes('marker of a transaction may lie in damage'))).toBe(true)
      const undecidable = [{ producerId: 1, epoch: 0, firstOffset: 1, undecidable: true }]
      expect(partition.openTransactions()).toEqual(undecidable)
      expect(partition.lastStableOffset).toBe(4)
      await partition.endTransaction({ id: 1, epoch: 1 }, 'abort')
      expect(partition.openTransactions()).toEqual(undecidable)
      if (known) await partition.endTransaction({ id: 1, epoch: 1 }, 'commit')
      // The record below the damage, and the damage itself; the damage alone once it is known.
      const named = known
        ? [[2, 2]]
        : [
            [1, 1],
            [2, 2],
          ]
      const values = known ? ['plain', 'one', 'behind'] : ['plain', 'behind']
      expect(await committed(partition)).toEqual({ values, named })
      await partition.close()
      partition = await open(files, { clean: true })
      expect(partition.openTransactions()).toEqual(known ? [] : undecidable)
      expect(await committed(partition)).toEqual({ values, named })
      await partition.close()
    }
  })
})

test('the end of a log that is gone is named, in every later start too, and none of its offsets is given again', async () => {
  const files = new MemoryFiles(new SeededRandom(1))
  const first = await open(files)
  await first.append(lines('a'))
  const bytes = first.sizeBytes
  await first.append(lines('b'))
  await first.append(lines('c'))
  await first.close()
  await change(files, LOG, whole => whole.subarray(0, bytes))
  for (const clean of [true, false, true]) {
    const log = recordingLogger()
    const partition = await open(files, { clean, recoveryPoint: 3, log })
    expect(await committed(partition)).toEqual({ values: ['a'], named: [[1, 2]] })
    expect(partition.nextOffset).toBe(3)
    await partition.close()
  }
})

test('a recovery point from the future is not believed: everything is checked', async () => {
  const files = new MemoryFiles(new SeededRandom(1))
  const first = await open(files)
  for (const value of ['a', 'b', 'c']) await first.append(lines(value))
  await first.sync()
  await change(files, LOG, bytes => {
    bytes[bytes.length / 3 + 65]! ^= 1
    return bytes
  })
  const partition = await open(files, { recoveryPoint: 1_000_000 })
  expect(partition.recovered.segments[0]!.holes).toMatchObject([{ firstOffset: 1, lastOffset: 1 }])
  expect(await committed(partition)).toEqual({ values: ['a', 'c'], named: [[1, 1]] })
  expect(partition.nextOffset).toBe(3)
})

test('a last batch whose offset was altered upwards is named after a clean stop, and served at no wrong offset', async () => {
  for (let bit = 0; bit < 80; bit++) {
    // Also where each batch has an index entry, which holds no such offset.
    const settings = { ...SETTINGS, indexIntervalBytes: bit < 40 ? 4096 : 1 }
    const files = new MemoryFiles(new SeededRandom(1))
    const first = await open(files, { settings })
    for (const value of ['a', 'b']) await first.append(lines(value))
    const position = first.sizeBytes
    await first.append(lines('c', 'd'))
    await first.close()
    const altered = position + 7 - ((bit % 40) >> 3)
    const before = (await readWhole(files, LOG))![altered]!
    if ((before & (1 << (bit & 7))) !== 0) continue
    await change(files, LOG, bytes => {
      bytes[altered]! ^= 1 << (bit & 7)
      return bytes
    })
    const partition = await open(files, { clean: true, recoveryPoint: 4, settings })
    expect(partition.nextOffset, `bit ${bit}`).toBe(4)
    expect(await committed(partition), `bit ${bit}`).toEqual({ values: ['a', 'b'], named: [[2, 3]] })
    expect((await partition.append(lines('e'))).baseOffset).toBe(4)
    await partition.sync()
    expect(await committed(partition)).toEqual({ values: ['a', 'b', 'e'], named: [[2, 3]] })
    await partition.close()
  }
})

test('a last batch of a segment that claims offsets of the next one is damage of its own offsets alone', async () => {
  const settings = { ...SETTINGS, segmentBytes: 200 }
  for (const clean of [true, false]) {
    for (let bit = 1; bit < 31; bit++) {
      const files = new MemoryFiles(new SeededRandom(1))
      const first = await open(files, { settings })
      await first.append(lines('a', 'b'))
      const position = first.sizeBytes
      await first.append(lines('c', 'd'), { producer: { id: 1, epoch: 0 } })
      for (const value of ['e', 'f']) await first.append(lines(value))
      await first.endTransaction({ id: 1, epoch: 1 }, 'commit')
      for (const value of ['g', 'h']) await first.append(lines(value))
      await first.close()
      await change(files, LOG, bytes => {
        bytes[position + 26 - (bit >> 3)]! ^= 1 << (bit & 7)
        return bytes
      })
      const partition = await open(files, { clean, recoveryPoint: clean ? 9 : 0, settings })
      const expected = { values: ['a', 'b', 'e', 'f', 'g', 'h'], named: [[2, 3]] }
      expect(await committed(partition), `bit ${bit}, clean ${clean}`).toEqual(expected)
      await partition.close()
    }
  }
})
