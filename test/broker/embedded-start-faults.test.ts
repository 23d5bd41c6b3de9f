import { expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { ManualClock, packRecords, SeededRandom } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { openAsNewProcess } from '../support/embedded.ts'

/** A log that was killed with a torn tail and an open transaction. */
async function killed(): Promise<MemoryFiles> {
  const files = new MemoryFiles(new SeededRandom(1))
  const broker = await openAsNewProcess({ files, clock: new ManualClock() })
  await broker.ensureTopic({ name: 't', partitions: 2, configs: { 'segment.bytes': '300' } })
  const writer = await broker.writer('w')
  const records = (n: number) => packRecords([{ value: `${n} ${'.'.repeat(100)}` }])
  for (let n = 0; n < 6; n++) {
    const transaction = await writer.begin()
    await transaction.append('t', n % 2, records(n))
    transaction.checkpoint([{ connector: 'c', partition: { n }, value: { n } }])
    await transaction.commit()
  }
  await (await writer.begin()).append('t', 1, records(6))
  const log = (await files.list('/data/t-1'))
    .filter(name => name.endsWith('.log'))
    .sort()
    .at(-1)!
  const file = await files.open(`/data/t-1/${log}`, 'write')
  await file.write([Buffer.alloc(50, 7)], (await file.stat()).size)
  await file.close()
  return files
}

test.each(['datasync', 'syncDirectory', 'write', 'read', 'open', 'truncate', 'rename', 'list'] as const)(
  'a start whose %s fails, any of them, says so, holds nothing back, and the next one works',
  async call => {
    for (let nth = 1; ; nth++) {
      const files = await killed()
      const faulty = new FaultyFiles(files)
      faulty.fail({ call, nth, error: 'EIO' })
      const broker = await openAsNewProcess({ files: faulty, clock: new ManualClock() }).catch((error: Error) => error)
      const met = faulty.count(call) >= nth
      faulty.clear()
      if (!(broker instanceof Error)) await broker.close()
      const again = await openAsNewProcess({ files, clock: new ManualClock() })
      expect(await again.checkpoints('c'), `${call} ${nth}`).toHaveLength(6)
      await again.close()
      if (!met) return
    }
  },
)
