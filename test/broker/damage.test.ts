import { describe, expect, test } from 'vitest'
import { type Files, packRecords, readWhole } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { SeededRandom } from '../../base/random.ts'
import type { Partition } from '../../broker/partition.ts'
import { openPartition, plainRecords, readAll, SETTINGS } from '../support/golden.ts'
import { recordingLogger } from '../support/recording-logger.ts'

const DIRECTORY = '/d/log-0'
const LOG = `${DIRECTORY}/00000000000000000000.log`
const BATCHES = 8
const RECORDS = 5
const TIME = 1_700_000_000_000

function batch(b: number) {
  return packRecords(
    Array.from({ length: RECORDS }, (_, i) => ({
      value: `batch ${b} record ${i} ${'.'.repeat(b)}`,
      timestamp: TIME + b * 100 + i,
    })),
  )
}

const settings = { ...SETTINGS, indexIntervalBytes: 100 }

/** A log of eight batches on a disk in memory, closed in good order, and where each of them begins. */
async function written(): Promise<{ files: MemoryFiles; positions: number[]; values: (string | null)[] }> {
  const files = new MemoryFiles(new SeededRandom(1))
  const partition = await openPartition(DIRECTORY, { files, settings })
  const positions: number[] = []
  for (let b = 0; b < BATCHES; b++) {
    positions.push(partition.sizeBytes)
    await partition.append([batch(b)])
  }
  positions.push(partition.sizeBytes)
  await partition.sync()
  const values = plainRecords(await readAll(partition)).map(r => r[3])
  await partition.close()
  return { files, positions, values }
}

async function put(files: Files, path: string, bytes: Uint8Array): Promise<void> {
  const file = await files.open(path, 'write')
  await file.truncate(0)
  await file.write([bytes], 0)
  await file.datasync()
  await file.close()
}

async function bytesOf(files: Files, path: string): Promise<Buffer> {
  return Buffer.from((await readWhole(files, path))!)
}

/** Every record that can be had, damage stepped over as its error says; and the ranges that were named. */
async function salvage(partition: Partition) {
  const records: ReturnType<typeof plainRecords> = []
  const named: [number, number][] = []
  let offset = 0
  while (offset < partition.highWatermark) {
    try {
      const read = await partition.read(offset, 1 << 20, 'read_committed')
      records.push(...plainRecords(read.batches))
      offset = read.nextOffset
    } catch (error) {
      const { code, details } = error as { code: string; details: Record<string, number> }
      expect(code).toBe('CORRUPT_MESSAGE')
      expect(details.file).toBe(LOG)
      named.push([details.firstOffset!, details.lastOffset!])
      offset = details.nextOffset!
    }
  }
  return { records, named }
}

test('what is written behind a damaged end is not taken for the rest of it, whatever sizes they have', async () => {
  const { files, positions } = await written()
  const whole = await bytesOf(files, LOG)
  const [first, missing] = [batch(0), positions[1]! - positions[0]!]
  // The last batch lacks as many bytes as the next one has.
  await put(files, LOG, whole.subarray(0, whole.length - missing))
  const acknowledgedEnd = BATCHES * RECORDS
  const partition = await openPartition(DIRECTORY, { files, settings, clean: false, acknowledgedEnd })
  for (let i = 0; i < 2; i++) await partition.append([first])
  await partition.sync()
  const expected = (await salvage(partition)).records.slice(-2 * RECORDS).map(r => r[3])
  expect(expected).toEqual([...plainRecords([first]), ...plainRecords([first])].map(r => r[3]))
  const again = await openPartition(DIRECTORY, { files, settings, clean: false, acknowledgedEnd })
  const found = await salvage(again)
  expect(found.records.slice(-2 * RECORDS).map(r => r[3])).toEqual(expected)
  expect(found.named).toEqual([[(BATCHES - 1) * RECORDS, BATCHES * RECORDS - 1]])
})

test('a tail torn at any byte of the last three batches is dropped to the last whole batch, and said so', async () => {
  const { files, positions, values } = await written()
  const whole = await bytesOf(files, LOG)
  for (let cut = positions[BATCHES - 3]!; cut < whole.length; cut++) {
    await put(files, LOG, whole.subarray(0, cut))
    const log = recordingLogger()
    const partition = await openPartition(DIRECTORY, { files, settings, log })
    const good = positions.findLastIndex(p => p <= cut)
    expect(partition.recovered.truncatedBytes).toBe(cut - positions[good]!)
    expect(log.lines.some(l => l.message.includes('torn tail'))).toBe(cut > positions[good]!)
    expect(partition.nextOffset).toBe(good * RECORDS)
    expect(plainRecords(await readAll(partition)).map(r => r[3])).toEqual(values.slice(0, good * RECORDS))
    const { baseOffset } = await partition.append([batch(99)])
    expect(baseOffset).toBe(good * RECORDS)
    await partition.close()
  }
})

test.each([
  ['zeros', Buffer.alloc(500)],
  ['noise', new SeededRandom(7).bytes(500)],
])('a tail of %s, as a power cut leaves it, is dropped', async (_, tail) => {
  const { files, positions } = await written()
  await put(files, LOG, Buffer.concat([await bytesOf(files, LOG), tail]))
  const partition = await openPartition(DIRECTORY, { files, settings })
  expect(partition.recovered.truncatedBytes).toBe(tail.length)
  expect(partition.sizeBytes).toBe(positions.at(-1))
  await partition.close()
})

describe('one flipped bit in a middle batch', () => {
  for (const clean of [true, false]) {
    test(`is never served and costs no other batch, found ${clean ? 'on the read' : 'at the start'}`, async () => {
      const { files, positions, values } = await written()
      const whole = await bytesOf(files, LOG)
      const from = positions[4]!
      const bits = (positions[5]! - from) * 8
      for (let bit = 0; bit < bits; bit++) {
        const at = from + (bit >> 3)
        // Leader epoch: outside the checksum, and served to nobody.
        if (at >= from + 12 && at < from + 16) continue
        // Every bit of the header, a sample of the records.
        if (at >= from + 61 && bit % 13 !== 0) continue
        const damaged = Buffer.from(whole)
        damaged[at]! ^= 1 << (bit & 7)
        await put(files, LOG, damaged)
        const partition = await openPartition(DIRECTORY, { files, settings, clean })
        const { records, named } = await salvage(partition)
        const place = `bit ${bit & 7} of byte ${at - from}`
        expect(named, place).toEqual([[20, 24]])
        expect(
          records.map(r => r[3]),
          place,
        ).toEqual([...values.slice(0, 20), ...values.slice(25)])
        expect(partition.nextOffset).toBe(BATCHES * RECORDS)
        for (const path of [LOG]) expect((await bytesOf(files, path)).equals(damaged), place).toBe(true)
        await partition.close()
      }
    })
  }
})

test('damage at the end of what was synced is kept and named, never taken for a torn tail', async () => {
  const { files, positions } = await written()
  const damaged = await bytesOf(files, LOG)
  damaged[positions[7]! + 70]! ^= 4
  await put(files, LOG, damaged)
  const partition = await openPartition(DIRECTORY, { files, settings, recoveryPoint: 40 })
  // Below the recovery point nothing is looked at; the read finds it.
  const { records, named } = await salvage(partition)
  expect(named).toEqual([[35, 39]])
  expect(records).toHaveLength(35)
  expect((await partition.append([batch(1)])).baseOffset).toBe(40)
  await partition.close()
})

test('a log that was cut below what a clean stop had synced gives none of the lost offsets again', async () => {
  const { files, positions } = await written()
  await put(files, LOG, (await bytesOf(files, LOG)).subarray(0, positions[7]! + 100))
  const partition = await openPartition(DIRECTORY, { files, settings, clean: true })
  expect(partition.recovered.truncatedBytes).toBe(0)
  expect((await partition.append([batch(1)])).baseOffset).toBe(40)
  await partition.sync()
  const { records, named } = await salvage(partition)
  expect(named).toEqual([[35, 39]])
  expect(records.map(r => r[0]).slice(-1)).toEqual([44])
  await partition.close()
})

test('a whole log inside a record is not taken for batches of ours when the batch around it is damaged', async () => {
  const { files } = await written()
  const inner = await bytesOf(files, LOG)
  const outer = '/d/outer-0'
  const first = await openPartition(outer, { files, settings })
  await first.append([packRecords([{ value: inner, timestamp: TIME }])])
  await first.append([batch(1)])
  await first.close()
  const path = `${outer}/00000000000000000000.log`
  const damaged = await bytesOf(files, path)
  damaged[40]! ^= 1
  await put(files, path, damaged)
  const partition = await openPartition(outer, { files, settings })
  await expect(partition.read(0, 1 << 20, 'read_committed')).rejects.toMatchObject({
    code: 'CORRUPT_MESSAGE',
    details: { firstOffset: 0, lastOffset: 0 },
  })
  expect((await partition.read(1, 1 << 20, 'read_committed')).batches[0]!.count).toBe(RECORDS)
  await partition.close()
})

describe('indexes that are not those of the log are built again', () => {
  const variants: readonly (readonly [string, (bytes: Buffer) => Buffer | undefined])[] = [
    ['deleted', () => undefined],
    ['emptied', () => Buffer.alloc(0)],
    ['zeroed', bytes => Buffer.alloc(bytes.length)],
    ['cut inside an entry', bytes => bytes.subarray(0, bytes.length - 5)],
    ['cut between entries', bytes => bytes.subarray(0, bytes.length / 2 - ((bytes.length / 2) % 24))],
    ['from the future', bytes => Buffer.concat([bytes, Buffer.alloc(24, 0x7f)])],
    ['preallocated', bytes => Buffer.concat([bytes, Buffer.alloc(2400)])],
    ['noise', bytes => new SeededRandom(3).bytes(bytes.length)],
  ]
  // Every entry looks like one, and is not true.
  const later = (bytes: Buffer) => bytes.map((byte, at) => (at % 12 === 7 ? byte + 1 : byte)) as Buffer
  for (const clean of [true, false]) {
    for (const suffix of ['index', 'timeindex']) {
      const all = suffix === 'index' ? variants : [...variants, ['of later times', later] as const]
      test.each(all)(`.${suffix} %s, ${clean ? 'clean' : 'unclean'}`, async (_, change) => {
        const { files, values } = await written()
        const path = `${DIRECTORY}/00000000000000000000.${suffix}`
        const before = await bytesOf(files, path)
        expect(before.length).toBeGreaterThan(48)
        const after = change(before)
        if (after === undefined) await files.unlink(path)
        else await put(files, path, after)
        const partition = await openPartition(DIRECTORY, { files, settings, clean, recoveryPoint: clean ? 0 : 20 })
        for (let offset = 0; offset < values.length; offset++) {
          const { batches } = await partition.read(offset, 1, 'read_committed')
          expect(batches[0]!.offset(0)).toBe(offset)
          const time = TIME + Math.floor(offset / RECORDS) * 100 + (offset % RECORDS)
          expect(await partition.offsetForTime(time)).toBe(offset)
        }
        expect(await partition.offsetForTime(TIME + 1000)).toBeUndefined()
        await partition.close()
        expect((await bytesOf(files, path)).toString('hex')).toBe(before.toString('hex'))
      })
    }
  }
})

test('files of a directory that were emptied are written again, and another topic is not taken over', async () => {
  const { files } = await written()
  await put(files, `${DIRECTORY}/leader-epoch-checkpoint`, Buffer.alloc(0))
  await put(files, `${DIRECTORY}/partition.metadata`, Buffer.alloc(0))
  const partition = await openPartition(DIRECTORY, { files, settings, clean: true })
  await partition.close()
  expect((await bytesOf(files, `${DIRECTORY}/leader-epoch-checkpoint`)).toString()).toBe('0\n1\n0 0\n')
  expect((await bytesOf(files, `${DIRECTORY}/partition.metadata`)).length).toBe(43)
  const other = openPartition(DIRECTORY, { files, settings, topicId: 'BBBBBBBBBBBBBBBBBBBBBB' })
  await expect(other).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
})

test.each([0, 20, 39])(
  'a torn header that claims offset %d is cut as any torn tail, and the batch before stays',
  async claimed => {
    const { files, positions, values } = await written()
    const torn = Buffer.alloc(150)
    torn.writeBigInt64BE(BigInt(claimed), 0)
    torn.writeInt32BE(500, 8)
    torn[16] = 2
    await put(files, LOG, Buffer.concat([await bytesOf(files, LOG), torn]))
    const partition = await openPartition(DIRECTORY, { files, settings, recoveryPoint: BATCHES * RECORDS })
    expect(partition.recovered.truncatedBytes).toBe(torn.length)
    expect(partition.sizeBytes).toBe(positions.at(-1))
    expect((await partition.append([batch(1)])).baseOffset).toBe(BATCHES * RECORDS)
    await partition.sync()
    expect(
      plainRecords(await readAll(partition))
        .map(r => r[3])
        .slice(0, -RECORDS),
    ).toEqual(values)
    await partition.close()
  },
)

test('acknowledged records that are gone from a killed log are named, where the recovery point says what the transaction log says', async () => {
  const { files, positions } = await written()
  await put(files, LOG, (await bytesOf(files, LOG)).subarray(0, positions[6]!))
  await files.unlink(`${DIRECTORY}/00000000000000000040.snapshot`)
  const partition = await openPartition(DIRECTORY, { files, settings, recoveryPoint: 40, acknowledgedEnd: 40 })
  expect((await partition.append([batch(1)])).baseOffset).toBe(40)
  await partition.sync()
  expect((await salvage(partition)).named).toEqual([[30, 39]])
  await partition.close()
})
