import { describe, expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { ManualClock, SeededRandom } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { Broker, GroupMember } from '../../broker/index.ts'
import { lines, readAll, rejection, valuesOf } from '../support/broker-drivers.ts'
import { JOURNAL_BYTES, openAsNewProcess } from '../support/embedded.ts'

const COMMITS = 3
const TOOL: GroupMember = { group: 'g', member: 'tool', generation: -1 }

/** Commit k: record `k` to both partitions, checkpoint and group position k. Tells of each that was acknowledged. */
async function script(broker: Broker, acknowledged: (k: number) => void): Promise<void> {
  const writer = await broker.writer('w')
  for (let k = 1; k <= COMMITS; k++) {
    const transaction = await writer.begin()
    await transaction.append('t', 0, lines(String(k)))
    await transaction.append('t', 1, lines(String(k)))
    transaction.checkpoint([{ connector: 'c', partition: { file: 'f' }, value: { at: k } }])
    transaction.offsets(TOOL, [{ topic: 't', partition: 0, offset: k, metadata: '' }])
    await transaction.commit()
    acknowledged(k)
  }
}

/** Runs the script on a disk whose power fails at file call `at` of it; answers the disk as it was found afterwards. */
async function runUntil(seed: number, at: number, journalBytes: number) {
  const clock = new ManualClock()
  const disk = new MemoryFiles(new SeededRandom(seed), { clock })
  let calls = Number.NEGATIVE_INFINITY
  let after: MemoryFiles | undefined
  const files = new FaultyFiles(disk, () => {
    if (++calls === at) after = disk.powerCut()
  })
  const broker = await openAsNewProcess({ files, clock, journalBytes })
  await broker.ensureTopic({ name: 't', partitions: 2, configs: {} })
  calls = 0
  let acknowledged = 0
  const running = script(broker, k => {
    acknowledged = k
  })
  const failed = await running.then(
    () => false,
    () => true,
  )
  return { after: after ?? disk.powerCut(), acknowledged, failed, calls, clock }
}

describe('a power cut', () => {
  test('takes nothing that was put into folders of a process that was killed before it had synced them', async () => {
    const clock = new ManualClock()
    for (let seed = 1; seed <= 12; seed++) {
      const made = ['/data', '/data/meta', '/data/meta/state'][seed % 3]!
      const disk = new MemoryFiles(new SeededRandom(seed), { clock })
      await disk.mkdir(made)
      const broker = await openAsNewProcess({ files: disk, clock })
      await broker.ensureTopic({ name: 't', partitions: 2, configs: {} })
      await script(broker, () => {})
      const after = await openAsNewProcess({ files: disk.powerCut(), clock })
      expect(valuesOf(await readAll(after, 't', 0)), `${made}, seed ${seed}`).toEqual(['1', '2', '3'])
      await after.close()
    }
  })

  test.each([
    ['that is synced file by file', 0],
    ['in the commit journal', JOURNAL_BYTES],
  ])(
    'at any file call of a commit %s leaves every acknowledged record, and never a position without what is before it',
    async (_, journalBytes) => {
      const whole = await runUntil(1, Number.POSITIVE_INFINITY, journalBytes)
      expect(whole).toMatchObject({ acknowledged: COMMITS, failed: false })
      expect(whole.calls).toBeGreaterThan(COMMITS * 6)
      let cutInside = 0
      for (let seed = 1; seed <= 5; seed++) {
        for (let at = 1; at <= whole.calls; at++) {
          const { after, acknowledged, failed, clock } = await runUntil(seed * 1000 + at, at, journalBytes)
          if (failed) cutInside++
          const place = `seed ${seed}, call ${at}, acknowledged ${acknowledged}`
          const broker = await openAsNewProcess({ files: after, clock, journalBytes })
          const checkpoint = Number((await broker.checkpoints('c'))[0]?.value?.at ?? 0)
          const position = (await broker.committed('g'))[0]?.offset ?? 0
          expect(checkpoint, place).toBeGreaterThanOrEqual(acknowledged)
          expect(position, place).toBeGreaterThanOrEqual(acknowledged)
          // Positions move behind the checkpoint, never before it.
          expect(position, place).toBeLessThanOrEqual(checkpoint)
          for (const partition of [0, 1]) {
            const values = valuesOf(await readAll(broker, 't', partition))
            expect(values.length, place).toBeGreaterThanOrEqual(checkpoint)
            expect(values, place).toEqual(Array.from({ length: values.length }, (_, i) => String(i + 1)))
          }
          await script(broker, () => undefined)
          await broker.close()
        }
      }
      expect(cutInside).toBeGreaterThan(whole.calls)
    },
  )
})

describe('weaker durability', () => {
  test('may lose what a group has read, but never gives its offsets to other records', async () => {
    let lost = 0
    for (let seed = 1; seed <= 20; seed++) {
      const clock = new ManualClock()
      const disk = new MemoryFiles(new SeededRandom(seed), { clock })
      const broker = await openAsNewProcess({ files: disk, clock })
      await broker.ensureTopic({ name: 't', partitions: 2, configs: { durability: 'os' } })
      await script(broker, () => undefined)
      const again = await openAsNewProcess({ files: disk.powerCut(), clock })
      const { highWatermark } = await again.partition('t', 0)
      expect(highWatermark, `seed ${seed}`).toBeGreaterThanOrEqual(COMMITS)
      const before = await readAll(again, 't', 0)
      if (before.length < COMMITS) lost++
      await script(again, () => undefined)
      const after = await readAll(again, 't', 0)
      expect(after.slice(0, before.length), `seed ${seed}`).toEqual(before)
      expect(after[before.length]!.offset, `seed ${seed}`).toBeGreaterThanOrEqual(COMMITS)
    }
    expect(lost).toBeGreaterThan(0)
  })
})

describe('a disk that fails', () => {
  test.each([
    ['write', 'synced file by file', 4, 0],
    ['datasync', 'synced file by file', 4, 0],
    ['write', 'in the commit journal', 5, JOURNAL_BYTES],
    ['datasync', 'in the commit journal', 1, JOURNAL_BYTES],
  ] as const)('at any %s of a commit %s never acknowledges what is not there', async (call, _, calls, journalBytes) => {
    for (let nth = 1; nth <= calls; nth++) {
      const clock = new ManualClock()
      const disk = new MemoryFiles(new SeededRandom(nth), { clock })
      const files = new FaultyFiles(disk)
      const broker = await openAsNewProcess({ files, clock, journalBytes })
      await broker.ensureTopic({ name: 't', partitions: 2, configs: {} })
      files.fail({ call, nth, error: 'EIO', path: path => /\.log$|\/journal-/.test(path) })
      let acknowledged = 0
      const error = await rejection(script(broker, k => (acknowledged = k)))
      expect(['STORAGE_FAILED', 'COMMIT_UNKNOWN']).toContain(error.code)
      expect(acknowledged).toBe(0)
      files.clear()
      await broker.close().catch(() => undefined)
      const again = await openAsNewProcess({ files: disk, clock })
      const checkpoint = Number((await again.checkpoints('c'))[0]?.value?.at ?? 0)
      for (const partition of [0, 1])
        expect((await readAll(again, 't', partition)).length, `nth ${nth}`).toBeGreaterThanOrEqual(checkpoint)
      await script(again, () => undefined)
    }
  })

  test('that is full takes nothing, stops the sources, and goes on by itself once there is room', async () => {
    const clock = new ManualClock()
    const files = new MemoryFiles(new SeededRandom(1), { clock })
    const broker = await openAsNewProcess({ files, clock, options: { 'log.disk.reserve.bytes': 1 << 16 } })
    await broker.ensureTopic({ name: 't', configs: {} })
    const commit = async (value: string) => {
      const writer = await broker.writer('w')
      const transaction = await writer.begin()
      await transaction.append('t', 0, lines(value))
      await transaction.commit()
    }
    await commit('before')
    files.capacityBytes -= (await files.freeBytes('/data')) - 100_000
    await clock.advance(1000)
    expect(broker.acceptsAppends()).toBe(true)
    expect(await rejection(commit('x'.repeat(200_000)))).toMatchObject({ code: 'DISK_FULL' })
    expect(broker.acceptsAppends()).toBe(false)
    files.capacityBytes += 10_000_000
    await clock.advance(1000)
    expect(broker.acceptsAppends()).toBe(true)
    await commit('after')
    expect((await readAll(broker, 't', 0)).map(r => [r.offset, r.value])).toEqual([
      [0, 'before'],
      // The marker of the first has offset 1; of the one that was taken back there is nothing.
      [2, 'after'],
    ])
    await broker.close()
    const again = await openAsNewProcess({ files, clock })
    expect(valuesOf(await readAll(again, 't', 0))).toEqual(['before', 'after'])
  })

  test('below its reserve pauses the sources while sinks may still commit', async () => {
    const clock = new ManualClock()
    const files = new MemoryFiles(new SeededRandom(1), { clock })
    const broker = await openAsNewProcess({ files, clock, options: { 'log.disk.reserve.bytes': 1 << 20 } })
    await broker.ensureTopic({ name: 't', partitions: 2, configs: {} })
    files.capacityBytes -= (await files.freeBytes('/data')) - (1 << 19)
    await clock.advance(1000)
    expect(broker.acceptsAppends()).toBe(false)
    await script(broker, () => undefined)
    files.capacityBytes += 1 << 20
    await clock.advance(1000)
    expect(broker.acceptsAppends()).toBe(true)
  })
})
