import { expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { SeededRandom } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { lines, NEVER, subscription, until, write } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'

test('a partition changes hands only after the commit that its last owner had begun, even when that one left', async () => {
  const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
  const broker = await openAsNewProcess({ files })
  await broker.ensureTopic({ name: 't', configs: {} })
  await write(broker, 't', 0, lines('a', 'b'))
  const first = await broker.subscribe(subscription({ group: 'g', member: 'a' }))
  await until(first, 'assigned')
  let letGo = () => {}
  const held = new Promise<void>(resolve => {
    letGo = resolve
  })
  files.fail({ call: 'datasync', path: path => path.includes('/journal-'), until: held })
  const transaction = await (await broker.writer('w')).begin()
  transaction.offsets(first.group, [{ topic: 't', partition: 0, offset: 1, metadata: '' }])
  const committing = transaction.commit()
  await first.close()
  const second = await broker.subscribe(subscription({ group: 'g', member: 'b' }))
  expect(await second.poll(1, NEVER)).toEqual({ kind: 'idle' })
  letGo()
  await committing
  expect((await until(second, 'assigned')).partitions).toEqual([{ topic: 't', partition: 0, offset: 1, metadata: '' }])
  await broker.close()
})

test('a new writer of an id waits for what the old one had begun to commit', async () => {
  const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
  const broker = await openAsNewProcess({ files })
  const old = await (await broker.writer('w')).begin()
  old.checkpoint([{ connector: 'c', partition: { file: 'f' }, value: { at: 1 } }])
  let letGo = () => {}
  const held = new Promise<void>(resolve => {
    letGo = resolve
  })
  files.fail({ call: 'datasync', path: path => path.includes('/journal-'), until: held })
  const committing = old.commit()
  let opened = false
  const opening = Promise.all([broker.writer('w'), broker.writer('w')]).then(() => {
    opened = true
  })
  await new Promise(resolve => setImmediate(resolve))
  expect(opened).toBe(false)
  letGo()
  await opening
  expect((await broker.checkpoints('c')).map(c => c.value)).toEqual([{ at: 1 }])
  await committing
  await broker.close()
})
