import { expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { SeededRandom } from '../../base/random.ts'
import { lines, write } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'
import { watchHandles } from '../support/watch-handles.ts'

test('a read that is under way while the broker closes leaves no file open', async () => {
  const memory = new MemoryFiles(new SeededRandom(1))
  const open = watchHandles(memory)
  const files = new FaultyFiles(memory)
  const broker = await openAsNewProcess({ files })
  await broker.ensureTopic({ name: 't', configs: {} })
  await write(broker, 't', 0, lines('a'))
  await broker.close()
  const again = await openAsNewProcess({ files })
  let go = () => {}
  const isLog = (path: string) => path.includes('/t-0/') && path.endsWith('.log')
  files.fail({ call: 'read', path: isLog, until: new Promise<void>(resolve => (go = resolve)) })
  const reads = files.count('read')
  const read = again.read('t', 0, 0, { isolation: 'read_committed', bytesMax: 1000, waitMs: 0 }).catch(() => undefined)
  await expect.poll(() => files.count('read')).toBeGreaterThan(reads)
  const closing = again.close()
  await new Promise(resolve => setImmediate(resolve))
  go()
  await Promise.all([read, closing])
  expect(open.size).toBe(0)
})

test('a wait for records ends when the broker closes', async () => {
  const broker = await openAsNewProcess({ files: new MemoryFiles(new SeededRandom(1)) })
  await broker.ensureTopic({ name: 't', configs: {} })
  const read = broker.read('t', 0, 0, { isolation: 'read_committed', bytesMax: 1000, waitMs: 1 << 30 })
  const failed = expect(read).rejects.toMatchObject({ code: 'CLOSED' })
  await broker.close()
  await failed
})
