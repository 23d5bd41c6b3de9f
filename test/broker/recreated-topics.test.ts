import { expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { ManualClock, SeededRandom } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { Broker, GroupMember } from '../../broker/index.ts'
import { lines, readAll, valuesOf } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'

const TOOL: GroupMember = { group: 'g', member: 'tool', generation: -1 }
const TOPIC = { name: 't', partitions: 1, configs: {} }

test('a topic that is created again under its name does not begin where the one before was cut off', async () => {
  const clock = new ManualClock()
  const files = new MemoryFiles(new SeededRandom(1), { clock })
  const first = await openAsNewProcess({ files, clock })
  await first.ensureTopic(TOPIC)
  await write(first, ['a', 'b', 'c', 'd', 'e', 'f'])
  await first.deleteRecords('t', 0, 5)
  await first.deleteTopic('t')
  await first.ensureTopic(TOPIC)
  await write(first, ['1', '2', '3'])
  // Killed.
  const second = await openAsNewProcess({ files: files.powerCut(), clock })
  expect(valuesOf(await readAll(second, 't', 0))).toEqual(['1', '2', '3'])
  await second.close()
  const third = await openAsNewProcess({ files: files.powerCut(), clock })
  await third.deleteTopic('t')
  await third.ensureTopic(TOPIC)
  expect(await third.partition('t', 0)).toMatchObject({ logStartOffset: 0, highWatermark: 0 })
  await third.close()
})

test('a power cut at any moment of a deletion leaves the topic, or nothing that one of its name would take over', async () => {
  let calls = 1
  for (let at = 1; at <= calls; at++) {
    const clock = new ManualClock()
    const disk = new MemoryFiles(new SeededRandom(at), { clock })
    let after: MemoryFiles | undefined
    let count = Number.NEGATIVE_INFINITY
    const files = new FaultyFiles(disk, () => {
      if (++count === at) after = disk.powerCut()
    })
    const first = await openAsNewProcess({ files, clock })
    await first.ensureTopic(TOPIC)
    await write(first, ['a', 'b', 'c'])
    await first.deleteRecords('t', 0, 2)
    count = 0
    await first.deleteTopic('t').catch(() => undefined)
    calls = Math.max(calls, count)
    const found = after ?? disk.powerCut()
    const second = await openAsNewProcess({ files: found, clock })
    const place = `seed and call ${at}`
    if ((await second.topic('t')) !== undefined) {
      expect(valuesOf(await readAll(second, 't', 0)), place).toEqual(['c'])
      expect(await second.committed('g'), place).toMatchObject([{ offset: 3 }])
      continue
    }
    await second.ensureTopic(TOPIC)
    expect(await second.committed('g'), place).toEqual([])
    await write(second, ['1'])
    const third = await openAsNewProcess({ files: found.powerCut(), clock })
    expect(valuesOf(await readAll(third, 't', 0)), place).toEqual(['1'])
    expect(await third.partition('t', 0), place).toMatchObject({ logStartOffset: 0 })
  }
  expect(calls).toBeGreaterThan(10)
})

async function write(broker: Broker, values: readonly string[]): Promise<void> {
  const writer = await broker.writer('w')
  const transaction = await writer.begin()
  await transaction.append('t', 0, lines(...values))
  transaction.offsets(TOOL, [{ topic: 't', partition: 0, offset: values.length, metadata: '' }])
  await transaction.commit()
}

test('a topic whose deletion failed half way is gone before another takes its name, which then stays', async () => {
  for (const nth of [1, 2, 3]) {
    const clock = new ManualClock()
    const disk = new MemoryFiles(new SeededRandom(nth), { clock })
    const files = new FaultyFiles(disk)
    const first = await openAsNewProcess({ files, clock })
    await first.ensureTopic({ ...TOPIC, partitions: 3 })
    await write(first, ['a', 'b', 'c'])
    files.fail({ call: 'rename', nth, path: path => path.endsWith('-delete'), error: 'EIO' })
    await expect(first.deleteTopic('t')).rejects.toMatchObject({ code: 'EIO' })
    await first.ensureTopic({ ...TOPIC, partitions: 3 })
    const left = valuesOf(await readAll(first, 't', 0))
    // The first folder decides.
    expect(left, `rename ${nth}`).toEqual(nth === 1 ? ['a', 'b', 'c'] : [])
    await write(first, ['1'])
    const second = await openAsNewProcess({ files: disk.powerCut(), clock })
    expect(valuesOf(await readAll(second, 't', 0)), `rename ${nth}`).toEqual([...left, '1'])
  }
})
