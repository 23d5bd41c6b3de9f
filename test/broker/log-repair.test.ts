import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import {
  type Files,
  ManualClock,
  PackedWriter,
  randomInt,
  SeededRandom,
  silentLogger,
  systemClock,
  systemProcesses,
} from '../../base/index.ts'
import type { MemoryFiles } from '../../base/memory-files.ts'
import { verifyLog } from '../../broker/log-inspection.ts'
import { readAbortedEntries } from '../../broker/log-inspection-files.ts'
import { findLogFolders } from '../../broker/log-inspection-folders.ts'
import { planRepair } from '../../broker/log-inspection-plan.ts'
import { repairLog } from '../../broker/log-inspection-repair.ts'
import { Owner } from '../../broker/owner.ts'
import { golden, openPartition, plainRecords, readAll, topicIdOf } from '../support/golden.ts'
import { alter, emptyDisk, FOLDER, goldenLog, ownLog, recordsOf } from '../support/inspected-log.ts'

const repair = (files: Files, directory = FOLDER) =>
  repairLog(
    { files, clock: new ManualClock(), random: new SeededRandom(1), processes: systemProcesses, logger: silentLogger },
    directory,
  )
const problems = async (files: Files) => (await verifyLog(files, await findLogFolders(files, FOLDER))).findings.problems

async function logFiles(files: Files): Promise<string[]> {
  return (await files.list(FOLDER))
    .filter(name => name.endsWith('.log'))
    .sort()
    .map(name => `${FOLDER}/${name}`)
}

/** Flips bits and zeroes ranges at a few places of the log files. */
async function damage(files: Files, random: SeededRandom): Promise<void> {
  const paths = await logFiles(files)
  for (let i = 1 + randomInt(random, 3); i > 0; i--) {
    await alter(files, paths[randomInt(random, paths.length)]!, bytes => {
      const at = randomInt(random, bytes.length)
      if (randomInt(random, 2) === 0) bytes[at]! ^= 1 << randomInt(random, 8)
      else bytes.fill(0, at, Math.min(bytes.length, at + 1 + randomInt(random, 400)))
      return undefined
    })
  }
}

/** Offsets that the plan gives up. */
function lostOffsets({ partitions }: Awaited<ReturnType<typeof planRepair>>): Set<number> {
  const lost = new Set<number>()
  for (const { segments } of partitions)
    for (const range of segments.flatMap(segment => segment.lost))
      for (let offset = range.firstOffset; offset <= range.lastOffset; offset++) lost.add(offset)
  return lost
}

test('whatever the damage, the log is whole afterwards but for the offsets that were named', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const files = await emptyDisk()
    await ownLog(files)
    const whole = await recordsOf(files)
    await damage(files, new SeededRandom(seed))
    const readable = await recordsOf(files)
    const lost = lostOffsets(await planRepair(files, await findLogFolders(files, FOLDER)))
    await repair(files)
    expect(await problems(files), `seed ${seed}`).toEqual([])
    const after = await recordsOf(files)
    expect(after, `seed ${seed}`).toEqual(readable)
    for (const [offset, record] of whole)
      expect([offset, after.get(offset) ?? lost.has(offset)], `seed ${seed}`).toEqual([
        offset,
        lost.has(offset) ? true : record,
      ])
  }
})

test('the engine reads on over the gap, appends behind it, and never gives a lost offset again', async () => {
  const files = await emptyDisk()
  await ownLog(files)
  const last = (await logFiles(files)).at(-1)!
  await alter(files, last, bytes => {
    bytes[100]! ^= 1
    bytes[bytes.length - 1]! ^= 1
    return undefined
  })
  const { plan } = await repair(files)
  const lost = lostOffsets(plan)
  expect(lost).toContain(299)
  const partition = await openPartition(FOLDER, { files })
  const offsets = plainRecords(await readAll(partition)).map(([offset]) => offset)
  expect(offsets).toEqual(Array.from({ length: 300 }, (_, i) => i).filter(offset => !lost.has(offset)))
  expect(partition.nextOffset).toBe(300)
  await partition.close()
})

test('what is damaged is copied aside before anything changes, and the plan alone changes nothing', async () => {
  const files = await emptyDisk()
  await ownLog(files)
  const [path] = await logFiles(files)
  let damaged = Buffer.alloc(0)
  await alter(files, path!, bytes => {
    bytes[200]! ^= 1
    damaged = Buffer.from(bytes)
    return undefined
  })
  const before = [...(await files.list(FOLDER))].sort()
  await planRepair(files, await findLogFolders(files, FOLDER))
  expect([...(await files.list(FOLDER))].sort()).toEqual(before)
  const { kept } = await repair(files)
  expect(kept).toEqual([`${FOLDER}/damaged-1`])
  await alter(files, `${FOLDER}/damaged-1/${path!.slice(FOLDER.length + 1)}`, bytes => {
    expect(bytes.equals(damaged)).toBe(true)
    return undefined
  })
  const again = await repair(files)
  expect(again.kept).toEqual([])
})

test('a transaction whose marker was in the damage is not taken for an aborted one after the repair', async () => {
  const files = await emptyDisk()
  const packed = new PackedWriter()
  packed.add(null, Buffer.from('acknowledged'), undefined, -1)
  const partition = await openPartition(FOLDER, { files })
  await partition.append([packed.build()], { producer: { id: 5, epoch: 0 } })
  await partition.endTransaction({ id: 5, epoch: 1 }, 'commit')
  await partition.append([packed.build()])
  await partition.close()
  await alter(files, (await logFiles(files))[0]!, bytes => {
    bytes[12 + bytes.readInt32BE(8) + 70]! ^= 1
    return undefined
  })
  expect([...lostOffsets((await repair(files)).plan)]).toEqual([1])
  // As after a clean stop, the snapshot would say that nothing is open.
  for (const name of await files.list(FOLDER)) if (name.endsWith('.snapshot')) await files.unlink(`${FOLDER}/${name}`)
  const again = await openPartition(FOLDER, { files })
  expect(again.openTransactions()).toMatchObject([{ producerId: 5, firstOffset: 0, undecidable: true }])
  await again.close()
})

test('a directory with a live owner is refused', async () => {
  const files = await emptyDisk()
  await ownLog(files)
  await files.mkdir('/data/meta')
  const parts = { files, clock: systemClock, processes: systemProcesses, logger: silentLogger }
  const owner = await Owner.take({ ...parts, directory: '/data/meta' })
  for (const directory of ['/data', FOLDER])
    await expect(repair(files, directory)).rejects.toMatchObject({ code: 'DATA_DIR_IN_USE' })
  await owner.release()
  await expect(repair(files, '/data')).resolves.toMatchObject({ kept: [] })
})

test('a power cut at any call leaves a log that a second repair makes whole', async () => {
  const prepare = async (seed: number) => {
    const files = await emptyDisk(seed)
    await ownLog(files)
    const [first, , third] = await logFiles(files)
    await alter(files, first!, bytes => {
      bytes[300]! ^= 1
      return undefined
    })
    await alter(files, third!.replace('.log', '.index'), bytes => {
      bytes[1]! ^= 1
      return undefined
    })
    return files
  }
  const expected = await recordsOf(await prepare(0))
  for (let call = 1, done = false; !done; call += 3) {
    const files = await prepare(call)
    done = await cutAt(files, call)
    const rest: MemoryFiles = files.powerCut()
    await repair(rest)
    expect(await problems(rest), `call ${call}`).toEqual([])
    expect(await recordsOf(rest), `call ${call}`).toEqual(expected)
  }
}, 60_000)

/** Repairs until the call of that number, which fails with all that follow. True when the repair was done before. */
async function cutAt(files: MemoryFiles, call: number): Promise<boolean> {
  const faulty = new FaultyFiles(files, (_, __, number) => {
    if (number >= call) throw Object.assign(new Error('power'), { code: 'EIO' })
  })
  return repair(faulty).then(
    () => true,
    () => false,
  )
}

describe.skipIf(golden === undefined)('logs that Kafka wrote', () => {
  test('a flipped batch becomes a gap: the batches behind it stay, in our engine too', async () => {
    const files = await emptyDisk()
    const damaged = join(golden!, 'kafka-4.1.2/7-damaged/damaged/flip-0')
    await goldenLog(files, damaged)
    const { plan } = await repair(files)
    expect([...lostOffsets(plan)]).toEqual([30, 31, 32, 33, 34, 35, 36, 37, 38, 39])
    expect(await problems(files)).toEqual([])
    const partition = await openPartition(FOLDER, { files, topicId: topicIdOf(damaged) })
    expect(plainRecords(await readAll(partition)).map(([offset]) => offset)).toHaveLength(50)
    await partition.close()
  })

  test.each(['zeroed', 'cut', 'gone'])(
    'an index of aborted transactions that is %s is built from the log',
    async how => {
      const files = await emptyDisk()
      await goldenLog(files, join(golden!, 'kafka-4.1.2/2-txn/txn-0'))
      const path = `${FOLDER}/00000000000000000005.txnindex`
      let original = Buffer.alloc(0)
      await alter(files, path, bytes => {
        original = Buffer.from(bytes)
        return how === 'zeroed' ? bytes.fill(0) : bytes.subarray(0, 40)
      })
      if (how === 'gone') await files.unlink(path)
      expect(await problems(files)).not.toEqual([])
      await repair(files)
      expect(await problems(files)).toEqual([])
      await alter(files, path, bytes => {
        expect(bytes.equals(original)).toBe(true)
        return undefined
      })
    },
  )

  test('an aborted transaction stays aborted when its marker is damaged, and a cut index with it', async () => {
    const files = await emptyDisk()
    await goldenLog(files, join(golden!, 'kafka-4.1.2/2-txn/txn-0'))
    await alter(files, `${FOLDER}/00000000000000000005.log`, bytes => {
      // The marker at offset 11.
      bytes[229 + 65]! ^= 1
      return undefined
    })
    await alter(files, `${FOLDER}/00000000000000000005.txnindex`, bytes => bytes.subarray(0, 40))
    expect([...lostOffsets((await repair(files)).plan)]).toEqual([11])
    expect(await problems(files)).toEqual([])
    const entries = await readAbortedEntries(files, `${FOLDER}/00000000000000000005.txnindex`)
    expect(entries?.entries).toMatchObject([
      { producerId: 9, firstOffset: 6, lastOffset: 11 },
      { producerId: 8, firstOffset: 12, lastOffset: 26 },
    ])
  })
})
