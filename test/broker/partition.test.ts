import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { ManualClock, packRecords } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { SeededRandom } from '../../base/random.ts'
import { openPartition, plainRecords, readAll, SETTINGS } from '../support/golden.ts'

const DIRECTORY = '/d/log-0'

function lines(...values: string[]) {
  return packRecords(values.map((value, i) => ({ value, timestamp: 1_700_000_000_000 + i })))
}

function textOf(records: ReturnType<typeof plainRecords>): (string | null)[] {
  return records.map(r => (r[3] === null ? null : Buffer.from(r[3], 'base64').toString()))
}

test('nothing is readable before it is synced, and listeners hear of it then', async () => {
  const partition = await openPartition(DIRECTORY, { files: new MemoryFiles(new SeededRandom(1)) })
  let heard = 0
  const stop = partition.onAdvance(() => heard++, 'read_uncommitted')
  expect(await partition.append([lines('a', 'b'), lines('c')])).toEqual({ baseOffset: 0, lastOffset: 2 })
  expect(partition.highWatermark).toBe(0)
  expect(await partition.read(0, 1000, 'read_committed')).toEqual({ batches: [], nextOffset: 0 })
  await Promise.all([partition.sync(), partition.sync()])
  expect([partition.highWatermark, heard]).toEqual([3, 1])
  stop()
  await partition.append([lines('d')])
  await partition.sync()
  expect([partition.highWatermark, heard]).toEqual([4, 1])
  expect(textOf(plainRecords(await readAll(partition)))).toEqual(['a', 'b', 'c', 'd'])
  await expect(partition.read(5, 1, 'read_committed')).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' })
  await partition.close()
  await expect(partition.append([lines('x')])).rejects.toMatchObject({ code: 'CLOSED' })
})

test('a reader of committed records is woken by what it may read, not by a marker before an open transaction', async () => {
  const partition = await openPartition(DIRECTORY, { files: new MemoryFiles(new SeededRandom(1)) })
  const heard = { read_committed: 0, read_uncommitted: 0 }
  partition.onAdvance(() => heard.read_committed++, 'read_committed')
  partition.onAdvance(() => heard.read_uncommitted++, 'read_uncommitted')
  for (const epoch of [0, 1, 2]) {
    await partition.append([lines('a')], { producer: { id: 1, epoch } })
    await partition.sync()
    expect([epoch, heard]).toEqual([epoch, { read_committed: epoch, read_uncommitted: 2 * epoch + 1 }])
    // An abort too: whoever reads goes on behind it.
    await partition.endTransaction({ id: 1, epoch: epoch + 1 }, epoch === 1 ? 'abort' : 'commit')
  }
  expect([heard.read_committed, partition.lastStableOffset, partition.nextOffset]).toEqual([3, 5, 6])
  // Nothing is open behind the last marker: nobody would tell of it later.
  await partition.sync()
  expect([heard.read_committed, partition.lastStableOffset]).toEqual([4, 6])
  // What another writes behind a marker is for all at once.
  await partition.append([lines('b')], { producer: { id: 1, epoch: 3 } })
  await partition.endTransaction({ id: 1, epoch: 4 }, 'commit')
  await partition.append([lines('c')])
  await partition.append([lines('d')], { producer: { id: 2, epoch: 0 } })
  await partition.sync()
  expect([heard.read_committed, partition.lastStableOffset]).toEqual([5, 9])
  await partition.close()
  expect(heard.read_committed).toBe(6)
})

test('callers while one fdatasync runs share the next one', async () => {
  const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
  let go = () => {}
  const partition = await openPartition(DIRECTORY, { files })
  await partition.append([lines('a')])
  const clear = files.fail({ call: 'datasync', until: new Promise<void>(resolve => (go = resolve)) })
  const before = files.count('datasync')
  const first = partition.sync()
  await Promise.resolve()
  await partition.append([lines('b')])
  const later = [partition.sync(), partition.sync(), partition.sync()]
  expect(partition.highWatermark).toBe(0)
  go()
  await first
  await Promise.all(later)
  clear()
  expect(files.count('datasync') - before).toBe(2)
  expect(partition.highWatermark).toBe(2)
  await partition.close()
})

test('weaker durability reads what was written, without a sync', async () => {
  const settings = { ...SETTINGS, durability: 'os' as const }
  const partition = await openPartition(DIRECTORY, { files: new MemoryFiles(new SeededRandom(1)), settings })
  await partition.append([lines('a')])
  expect([partition.highWatermark, partition.recoveryPoint]).toEqual([1, 0])
  expect(textOf(plainRecords(await readAll(partition)))).toEqual(['a'])
  await partition.close()
})

test('a record above max.message.bytes rejects the whole call before anything is written', async () => {
  const settings = { ...SETTINGS, maxMessageBytes: 200 }
  const partition = await openPartition(DIRECTORY, { files: new MemoryFiles(new SeededRandom(1)), settings })
  const large = partition.append([lines('a'), lines('b', 'x'.repeat(200))])
  await expect(large).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE', details: { record: 1 } })
  expect([partition.nextOffset, partition.sizeBytes]).toEqual([0, 0])
  await partition.append([lines('x'.repeat(100), 'y'.repeat(100), 'z'.repeat(100))])
  await partition.sync()
  expect((await partition.read(0, 1 << 20, 'read_committed')).batches.map(b => b.count)).toEqual([1, 1, 1])
  await partition.close()
})

test('a full disk takes the append back, rolls of it too, and the log goes on when there is room', async () => {
  const memory = new MemoryFiles(new SeededRandom(1))
  const settings = { ...SETTINGS, segmentBytes: 400, maxMessageBytes: 200 }
  for (let nth = 1; nth <= 8; nth++) {
    const files = new FaultyFiles(memory)
    const directory = `/d/full${nth}-0`
    const partition = await openPartition(directory, { files, settings })
    await partition.append([lines('kept')])
    await partition.sync()
    const size = partition.sizeBytes
    const clear = files.fail({ call: 'write', nth, error: 'ENOSPC', partialBytes: 30 })
    const many = lines(...Array.from({ length: 8 }, (_, i) => `${i}`.repeat(100)))
    await expect(partition.append([many]), `write ${nth}`).rejects.toMatchObject({ code: 'DISK_FULL' })
    clear()
    expect([partition.nextOffset, partition.sizeBytes, partition.segments().length]).toEqual([1, size, 1])
    expect(await partition.append([many])).toEqual({ baseOffset: 1, lastOffset: 8 })
    await partition.sync()
    expect(await readAll(partition)).toHaveLength(9)
    await partition.close()
    const again = await openPartition(directory, { files: memory, settings })
    expect(again.recovered.truncatedBytes).toBe(0)
    expect(plainRecords(await readAll(again))).toHaveLength(9)
    await again.close()
  }
})

test.each([['datasync'], ['write']] as const)(
  'after a failed %s nothing more is taken, and reads go on',
  async call => {
    const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
    const partition = await openPartition(DIRECTORY, { files })
    await partition.append([lines('kept')])
    await partition.sync()
    files.fail({ call, error: 'EIO' })
    const failing =
      call === 'write'
        ? partition.append([lines('lost')])
        : partition.append([lines('lost')]).then(() => partition.sync())
    await expect(failing).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    await expect(partition.sync()).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    await expect(partition.append([lines('later')])).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    expect(partition.highWatermark).toBe(1)
    expect(textOf(plainRecords(await readAll(partition)))).toEqual(['kept'])
    await expect(partition.close()).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
  },
)

test('deletion takes whole segments, and readers below are told', async () => {
  const files = new MemoryFiles(new SeededRandom(1))
  const partition = await openPartition(DIRECTORY, { files, settings: { ...SETTINGS, segmentBytes: 300 } })
  for (let i = 0; i < 10; i++) await partition.append([lines(`${i}`.repeat(100))])
  await partition.sync()
  const [first, second] = partition.segments()
  expect(await partition.deleteBefore(second!.nextOffset - 1)).toBe(first!.nextOffset)
  await expect(partition.read(0, 1, 'read_committed')).rejects.toMatchObject({
    code: 'OFFSET_OUT_OF_RANGE',
    details: { offset: 0, logStartOffset: first!.nextOffset, highWatermark: 10 },
  })
  expect(
    (await files.list(DIRECTORY)).filter(n => n.includes('deleted') || n.startsWith('00000000000000000000')),
  ).toEqual([])
  await partition.deleteBefore(10)
  expect(partition.segments()).toHaveLength(1)
  await partition.close()
  const again = await openPartition(DIRECTORY, { files, clean: true })
  expect([again.logStartOffset, again.nextOffset]).toEqual([partition.logStartOffset, 10])
  await again.close()
})

test('old records roll by wall-clock time too', async () => {
  const clock = new ManualClock()
  const settings = { ...SETTINGS, segmentMs: 1000 }
  const partition = await openPartition(DIRECTORY, { files: new MemoryFiles(new SeededRandom(1)), clock, settings })
  await partition.append([lines('a')])
  await clock.advance(1001)
  await partition.append([lines('b')])
  expect(partition.segments()).toHaveLength(2)
  await partition.close()
})

test('an end that was raised is kept by the next append', async () => {
  const files = new MemoryFiles(new SeededRandom(1))
  const partition = await openPartition(DIRECTORY, { files })
  await partition.append([lines('a')])
  await partition.raiseEnd(7)
  expect([partition.highWatermark, partition.nextOffset]).toEqual([7, 7])
  expect(await partition.append([lines('b')])).toEqual({ baseOffset: 7, lastOffset: 7 })
  await partition.sync()
  expect(plainRecords(await readAll(partition)).map(r => r[0])).toEqual([0, 7])
  await partition.close()
})

describe('against a list in memory', () => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('append' as const),
        sizes: fc.array(fc.nat(90), { minLength: 1, maxLength: 6 }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('sync' as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('cut' as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('read' as const), at: fc.nat(1000), bytes: fc.nat(500) }) },
  )

  test('synced records survive power cuts, whole and in order; offsets are as in the list', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.nat(), async (steps, seed) => {
        let files = new MemoryFiles(new SeededRandom(seed))
        await files.mkdir('/d')
        await files.mkdir(DIRECTORY)
        await files.syncDirectory('/')
        await files.syncDirectory('/d')
        const settings = { ...SETTINGS, segmentBytes: 700, indexIntervalBytes: 100, maxMessageBytes: 300 }
        const open = (clean: boolean, recoveryPoint = 0) =>
          openPartition(DIRECTORY, { files, settings, clean, recoveryPoint })
        let partition = await open(false)
        let list: string[] = []
        let synced = 0
        for (const s of steps) {
          if (s.kind === 'append') {
            const values = s.sizes.map((size, i) => `${list.length + i} ${'.'.repeat(size)}`)
            const { baseOffset } = await partition.append([lines(...values)])
            expect(baseOffset).toBe(list.length)
            list.push(...values)
          } else if (s.kind === 'sync') {
            await partition.sync()
            synced = list.length
          } else if (s.kind === 'restart') {
            await partition.close()
            partition = await open(true)
            synced = list.length
          } else if (s.kind === 'cut') {
            const point = partition.recoveryPoint
            files = files.powerCut()
            partition = await open(false, point)
            expect(partition.nextOffset).toBeGreaterThanOrEqual(synced)
            list = list.slice(0, partition.nextOffset)
            synced = list.length
          } else {
            const from = partition.highWatermark === 0 ? 0 : s.at % partition.highWatermark
            const { batches } = await partition.read(from, s.bytes, 'read_committed')
            const got = plainRecords(batches)
            expect(textOf(got)).toEqual(list.slice(from, from + got.length))
          }
          expect(partition.highWatermark).toBeLessThanOrEqual(list.length)
        }
        await partition.sync()
        expect(textOf(plainRecords(await readAll(partition)))).toEqual(list)
        await partition.close()
      }),
      { numRuns: 150, seed: 1 },
    )
  })
})
