import { describe, expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { type CodecName, type Files, ManualClock, packRecords, type Random, SeededRandom } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { CleanerParts } from '../../broker/cleaner.ts'
import { FileCache } from '../../broker/file-cache.ts'
import type { Partition } from '../../broker/partition.ts'
import { openCleaner } from '../support/cleaner.ts'
import { openPartition, plainRecords, readAll, SETTINGS } from '../support/golden.ts'

const DIRECTORY = '/data'
const SMALL = { ...SETTINGS, segmentBytes: 600, indexIntervalBytes: 100, compacts: true }
const CONFIGS = { 'segment.bytes': '600', 'index.interval.bytes': '100' }

interface Place {
  readonly files: Files
  readonly clock: ManualClock
  readonly cache: FileCache
  readonly directory: string
}

function placeOn(files: Files, clock = new ManualClock()): Place {
  return { files, clock, cache: new FileCache(files, 16), directory: DIRECTORY }
}

async function open({ files, clock, cache }: Place, settings = SMALL, clean = false): Promise<Partition> {
  const partition = await openPartition(`${DIRECTORY}/log-0`, { files, clock, cache, settings, clean })
  for (const directory of [DIRECTORY, '/']) await files.syncDirectory(directory)
  return partition
}

function onMemory(seed: number): MemoryFiles {
  return new MemoryFiles(new SeededRandom(seed))
}

async function put(partition: Partition, ...records: (readonly [string, string | null])[]): Promise<void> {
  await partition.append([packRecords(records.map(([key, value]) => ({ key, value })))])
  await partition.sync()
}

/** So many records over few keys, some of them deletions. */
async function fill(partition: Partition, random: Random, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const key = `k${Math.floor(random.next() * 12)}`
    await put(partition, [key, random.next() < 0.15 ? null : `${i}`.padEnd(40, '.')])
  }
}

/** Offset, key and value of everything that a reader gets. */
async function contents(partition: Partition): Promise<string[]> {
  const records = plainRecords(await readAll(partition))
  return records.map(([offset, , key, value]) => `${offset} ${text(key)} ${text(value)}`)
}

function text(base64: string | null): string | null {
  return base64 === null ? null : Buffer.from(base64, 'base64').toString()
}

/** The newest value of each key, in the order of the log. */
function newest(lines: readonly string[]): Map<string, string> {
  const map = new Map<string, string>()
  for (const line of lines) {
    const key = line.split(' ')[1]!
    map.delete(key)
    if (!line.endsWith(' null')) map.set(key, line)
  }
  return map
}

async function cleanAll(partition: Partition, place: Place, configs = {}, parts: Partial<CleanerParts> = {}) {
  const cleaner = await openCleaner(partition, place, { ...CONFIGS, ...configs }, parts)
  let passes = 0
  while (await cleaner.cleanDirtiest()) passes++
  return passes
}

describe('compaction', () => {
  test('keeps the newest record of each key at its offset, and says the same to every reader', async () => {
    const place = placeOn(onMemory(1))
    const partition = await open(place)
    await fill(partition, new SeededRandom(1), 200)
    const before = await contents(partition)
    expect(await cleanAll(partition, place)).toBe(1)
    const after = await contents(partition)
    expect(after.length).toBeLessThan(60)
    expect(newest(after)).toEqual(newest(before))
    expect(before).toEqual(expect.arrayContaining(after))
    for (let offset = 0; offset < 200; offset += 7) {
      const first = after.find(line => Number(line.split(' ')[0]) >= offset)
      const [records] = await readAll(partition, offset, 1)
      expect(records?.offset(0)).toBe(first === undefined ? undefined : Number(first.split(' ')[0]))
    }
    await partition.close()
    const again = await open(placeOn(place.files), SMALL, true)
    expect(await contents(again)).toEqual(after)
    expect(again.recovered.segments.every(s => s.holes.length === 0 && !s.indexesRebuilt)).toBe(true)
  })

  test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const satisfies CodecName[])(
    'keeps the codec of a batch: %s',
    async codec => {
      const place = placeOn(onMemory(2))
      const partition = await open(place, { ...SMALL, codec })
      for (let i = 0; i < 30; i++)
        await put(
          partition,
          ...['a', 'b', 'c'].map(k => [`${k}${i % 7}${k === 'a' ? i : ''}`, 'x'.repeat(200)] as const),
        )
      const before = await contents(partition)
      await cleanAll(partition, place)
      const after = await contents(partition)
      expect(after.length).toBeLessThan(before.length)
      expect(newest(after)).toEqual(newest(before))
      const codecs = new Set<number>()
      await partition.exclusively(async segments => {
        for (const segment of segments) {
          const header = Buffer.alloc(61)
          if ((await segment.store.read(header, 0, 61, 0)) === 61) codecs.add(header.readInt16BE(21) & 7)
        }
      })
      expect([...codecs]).toEqual([['none', 'gzip', 'snappy', 'lz4', 'zstd'].indexOf(codec)])
    },
  )

  test('shows a deletion for delete.retention.ms after its first pass, then forgets it', async () => {
    const place = placeOn(onMemory(3))
    const partition = await open(place)
    await put(partition, ['a', '1'.repeat(300)])
    await put(partition, ['a', null])
    await put(partition, ['b', '2'.repeat(600)])
    await put(partition, ['c', '3'.repeat(300)])
    const configs = { 'delete.retention.ms': '1000' }
    await cleanAll(partition, place, configs)
    expect((await contents(partition))[0]).toBe('1 a null')
    await put(partition, ['d', '4'.repeat(600)])
    await cleanAll(partition, place, configs)
    expect((await contents(partition))[0]).toBe('1 a null')
    await place.clock.advance(1000)
    await put(partition, ['e', '5'.repeat(600)])
    await cleanAll(partition, place, configs)
    expect((await contents(partition))[0]).toMatch(/^2 b/)
  })

  test('merges what has become small into fewer segments', async () => {
    const place = placeOn(onMemory(7))
    const partition = await open(place)
    await fill(partition, new SeededRandom(7), 200)
    await cleanAll(partition, place)
    const once = partition.segments().length
    const before = await contents(partition)
    await fill(partition, new SeededRandom(8), 20)
    await cleanAll(partition, place)
    expect(partition.segments().length).toBeLessThan(once / 2)
    expect(newest(await contents(partition)).size).toBeGreaterThanOrEqual(newest(before).size - 3)
    expect(partition.segments().every(s => s.sizeBytes <= 600)).toBe(true)
  })

  test('with little memory takes several passes to the same end', async () => {
    const place = placeOn(onMemory(4))
    const partition = await open(place)
    for (let i = 0; i < 100; i++)
      await put(partition, ...[0, 1, 2, 3].map(n => [`k${((4 * i + n) * 7) % 90}`, `${i}.${n}`] as const))
    const before = await contents(partition)
    expect(await cleanAll(partition, place, {}, { mapBytesMax: 24 * 40 })).toBeGreaterThan(5)
    const after = await contents(partition)
    expect(newest(after)).toEqual(newest(before))
    const active = partition.segments().at(-1)!.baseOffset
    const cleaned = after.filter(line => Number(line.split(' ')[0]) < active).map(line => line.split(' ')[1])
    expect(new Set(cleaned).size).toBe(cleaned.length)
  })

  test('never passes a transaction that is open, nor what a sink may still want, nor the age that was asked for', async () => {
    for (const limit of ['transaction', 'held', 'lag'] as const) {
      const place = placeOn(onMemory(5))
      const partition = await open(place)
      const both = packRecords([{ key: 'a', value: 'x'.repeat(300) }])
      for (let i = 0; i < 4; i++) await put(partition, ['a', 'x'.repeat(300)])
      await place.clock.advance(1000)
      if (limit === 'transaction') await partition.append([both], { producer: { id: 1, epoch: 0 } })
      for (let i = 0; i < 6; i++) await put(partition, ['a', 'x'.repeat(300)])
      await cleanAll(
        partition,
        place,
        limit === 'lag' ? { 'min.compaction.lag.ms': '500' } : {},
        limit === 'held' ? { heldAt: () => 4 } : {},
      )
      const offsets = plainRecords(await readAll(partition)).map(r => r[0])
      expect(offsets.filter(o => o < 4).length, limit).toBeLessThan(3)
      expect(offsets.filter(o => o >= 4).length, limit).toBeGreaterThanOrEqual(limit === 'transaction' ? 7 : 6)
    }
  })

  test('takes aborted records away, and their markers later; committed readers see the same, after a restart too', async () => {
    const random = new SeededRandom(8)
    const place = placeOn(onMemory(8))
    const partition = await open(place)
    for (let i = 0; i < 120; i++) {
      const producer = { id: 1 + (i % 3), epoch: Math.floor(i / 3) }
      const record = { key: `k${Math.floor(random.next() * 9)}`, value: `${i}`.padEnd(60, '.') }
      await partition.append([packRecords([record])], { producer })
      await partition.endTransaction(
        { ...producer, epoch: producer.epoch + 1 },
        random.next() < 0.4 ? 'abort' : 'commit',
      )
      await partition.sync()
    }
    const committed = async (log: Partition) => {
      const lines: string[] = []
      for (let offset = log.logStartOffset; offset < log.lastStableOffset; ) {
        const { batches, nextOffset } = await log.read(offset, 4096, 'read_committed')
        for (const [at, , key, value] of plainRecords(batches)) lines.push(`${at} ${text(key)} ${text(value)}`)
        offset = nextOffset
      }
      return lines
    }
    const before = await committed(partition)
    const size = partition.sizeBytes
    const configs = { 'delete.retention.ms': '0' }
    await cleanAll(partition, place, configs)
    expect(newest(await committed(partition))).toEqual(newest(before))
    // One pass finds the markers without records, the next ones take them.
    let second: string[] = []
    for (let round = 0; round < 2; round++) {
      await place.clock.advance(1)
      for (let i = 0; i < 6; i++) await put(partition, ['z', 'x'.repeat(200)])
      second = await committed(partition)
      await cleanAll(partition, place, configs)
      expect(newest(await committed(partition))).toEqual(newest(second))
    }
    expect(partition.sizeBytes).toBeLessThan(size / 4)
    for (const clean of [false, true]) {
      const again = await open(placeOn(place.files), SMALL, clean)
      expect(newest(await committed(again)), `clean: ${clean}`).toEqual(newest(second))
      expect(again.openTransactions()).toEqual([])
      await again.close()
    }
  })

  test('leaves a damaged segment as it is, and forgets no deletion behind it', async () => {
    const files = onMemory(6)
    const place = placeOn(files)
    const partition = await open(place)
    for (let i = 0; i < 20; i++) await put(partition, [i % 2 === 0 ? 'a' : `b${i}`, `${i}`.padEnd(120, '.')])
    await put(partition, ['a', null])
    for (let i = 0; i < 20; i++) await put(partition, [`c${i}`, `${i}`.padEnd(120, '.')])
    const damaged = partition.segments()[1]!.baseOffset
    const file = await files.open(`${DIRECTORY}/log-0/${String(damaged).padStart(20, '0')}.log`, 'write')
    const bytes = Buffer.alloc(1)
    await file.read(bytes, 0, 1, 100)
    await file.write([Buffer.from([bytes[0]! ^ 1])], 100)
    const untouched = Buffer.alloc(2000)
    const size = await file.read(untouched, 0, 2000, 0)
    const configs = { 'delete.retention.ms': '0' }
    await cleanAll(partition, place, configs)
    await place.clock.advance(1000)
    for (let i = 0; i < 20; i++) await put(partition, [`d${i}`, `${i}`.padEnd(120, '.')])
    await cleanAll(partition, place, configs)
    const now = Buffer.alloc(2000)
    expect(await file.read(now, 0, 2000, 0)).toBe(size)
    expect(now.equals(untouched)).toBe(true)
    expect((await partition.read(20, 1, 'read_committed')).batches[0]!.value(0)).toBeNull()
  })
})

describe('a kill in the middle of compaction', () => {
  /** Cleans on a disk where file call `at` of the pass is the last one; answers the disk and what stood in the log. */
  async function runUntil(seed: number, at: number, power: boolean) {
    const disk = onMemory(seed)
    let calls = Number.NEGATIVE_INFINITY
    let after: Files = disk
    const files = new FaultyFiles(disk, () => {
      if (++calls < at) return
      if (power && calls === at) after = disk.powerCut()
      throw new Error('killed')
    })
    const place = placeOn(files)
    const partition = await open(place)
    const random = new SeededRandom(seed)
    for (let i = 0; i < 8; i++)
      await put(
        partition,
        ...[0, 1, 2, 3, 4].map(n => [`k${Math.floor(random.next() * 9)}`, `${i}.${n}`.padEnd(50)] as const),
      )
    const before = await contents(partition)
    calls = 0
    const passes = await cleanAll(partition, place).catch(() => 0)
    return { after, before, passes, calls }
  }

  test.each([
    ['power cut', true],
    ['kill', false],
  ] as const)('(%s) leaves the old log or the new one, never a gap and never both', async (_, power) => {
    const whole = await runUntil(1, Number.POSITIVE_INFINITY, false)
    expect(whole.passes).toBe(1)
    const cleaned = await contents(await open(placeOn(whole.after)))
    const ends = { old: 0, new: 0, between: 0 }
    for (let at = 1; at <= whole.calls; at++) {
      const { after, before } = await runUntil(1, at, power)
      const place = placeOn(after)
      const partition = await open(place)
      const found = await contents(partition)
      expect(
        partition.recovered.segments.flatMap(s => s.holes),
        `call ${at}`,
      ).toEqual([])
      expect(newest(found), `call ${at}`).toEqual(newest(before))
      expect(before, `call ${at}`).toEqual(expect.arrayContaining(found))
      if (found.length === before.length) ends.old++
      else if (found.length === cleaned.length) ends.new++
      else ends.between++
      const names = await after.list(`${DIRECTORY}/log-0`)
      expect(
        names.filter(name => /\.(swap|cleaned|deleted)$/.test(name)),
        `call ${at}`,
      ).toEqual([])
      await cleanAll(partition, place)
      expect(newest(await contents(partition)), `call ${at}`).toEqual(newest(before))
      await partition.close()
    }
    expect(ends.old).toBeGreaterThan(10)
    expect(ends.new + ends.between).toBeGreaterThan(3)
  })
})

describe('readers beside compaction', () => {
  test('get every newest record and no wrong one, whatever is replaced under them', async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const random = new SeededRandom(seed)
      const place = placeOn(onMemory(seed))
      const partition = await open(place)
      await fill(partition, random, 100)
      const before = await contents(partition)
      const read = async () => {
        const lines = await contents(partition)
        expect(before, `seed ${seed}`).toEqual(expect.arrayContaining(lines))
        expect([...newest(lines)].sort(), `seed ${seed}`).toEqual([...newest(before)].sort())
      }
      const times = async () => {
        for (let i = 0; i < 20; i++) expect(await partition.offsetForTime(0)).toBeGreaterThanOrEqual(0)
      }
      await Promise.all([read(), cleanAll(partition, place), read(), times(), read()])
      await read()
    }
  })
})
