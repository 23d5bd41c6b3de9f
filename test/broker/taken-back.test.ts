import { expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { packRecords } from '../../base/packed-writer.ts'
import { openPartition, SETTINGS } from '../support/golden.ts'
import { disk } from '../support/memory-disk.ts'

const batch = (value: string) => [packRecords([{ value }])]

test('an append that a full disk refused does not come back with a power cut', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const files = await disk(seed)
    const faulty = new FaultyFiles(files)
    const settings = { ...SETTINGS, maxMessageBytes: 400 }
    const partition = await openPartition('/d/log-0', { files: faulty, settings })
    await files.syncDirectory('/d')
    await partition.append(batch('kept'))
    await partition.sync()
    // The first of two batches is whole in the file.
    faulty.fail({ call: 'write', nth: 2, error: 'ENOSPC', partialBytes: 30 })
    const refused = ['a', 'b'].map(letter => packRecords([{ value: letter.repeat(300) }]))
    await expect(partition.append(refused)).rejects.toMatchObject({ code: 'DISK_FULL' })
    const after = files.powerCut()
    const again = await openPartition('/d/log-0', { files: after, settings })
    expect(again.nextOffset, `seed ${seed}`).toBe(1)
  }
})

test('a sync that fails for want of room is never tried again as a success', async () => {
  const files = await disk(1)
  const faulty = new FaultyFiles(files)
  const partition = await openPartition('/d/log-0', { files: faulty })
  await partition.append(batch('a'))
  faulty.fail({ call: 'datasync', path: path => path.endsWith('.log'), error: 'ENOSPC' })
  await expect(partition.snapshotProducers()).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
  await expect(partition.sync()).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
  expect(partition.highWatermark).toBe(0)
})

test('what was decided of a transaction whose first append is taken back does not meet the next one', async () => {
  const faulty = new FaultyFiles(await disk(1))
  const settings = { ...SETTINGS, maxMessageBytes: 400 }
  const partition = await openPartition('/d/log-0', { files: faulty, settings })
  const before = faulty.count('write')
  let go = () => {}
  const until = new Promise<void>(resolve => (go = resolve))
  faulty.fail({ call: 'write', nth: 2, error: 'ENOSPC', until })
  const records = ['a', 'b'].map(letter => packRecords([{ value: letter.repeat(300) }]))
  const refused = partition.append(records, { producer: { id: 7, epoch: 0 } })
  while (faulty.count('write') < before + 2) await new Promise<void>(resolve => setImmediate(resolve))
  const aborted = partition.endTransaction({ id: 7, epoch: 1 }, 'abort')
  go()
  await expect(refused).rejects.toMatchObject({ code: 'DISK_FULL' })
  await aborted
  await partition.append(batch('kept'), { producer: { id: 7, epoch: 1 } })
  await partition.sync()
  expect(partition.lastStableOffset).toBe(0)
  await partition.endTransaction({ id: 7, epoch: 2 }, 'commit')
  await partition.sync()
  expect((await partition.read(0, 1000, 'read_committed')).batches).toHaveLength(1)
  await partition.close()
})
