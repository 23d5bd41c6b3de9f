import { expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { writeWhole } from '../../base/index.ts'
import { FileCache } from '../../broker/file-cache.ts'
import { disk } from '../support/memory-disk.ts'

test('a file whose opening fails meanwhile is forgotten all the same', async () => {
  const files = new FaultyFiles(await disk(1))
  const cache = new FileCache(files, 4)
  let fail = () => {}
  files.fail({ call: 'open', error: 'ENOENT', until: new Promise<void>(resolve => (fail = resolve)) })
  const lease = cache.lease('/d/gone', 'read')
  const forgotten = cache.forget('/d/gone')
  fail()
  await expect(lease).rejects.toMatchObject({ code: 'ENOENT' })
  await forgotten
})

test('a closed cache has closed what it had open, waits for who reads, and opens nothing more', async () => {
  const files = new FaultyFiles(await disk(1))
  await writeWhole(files, '/d/a', Buffer.from('a'))
  const before = files.count('open') - files.count('close')
  const cache = new FileCache(files, 4)
  const lease = await cache.lease('/d/a', 'read')
  let closed = false
  const closing = cache.close().then(() => (closed = true))
  await new Promise(resolve => setImmediate(resolve))
  expect(closed).toBe(false)
  lease.release()
  await closing
  expect(files.count('open') - files.count('close')).toBe(before)
  await expect(cache.lease('/d/a', 'read')).rejects.toMatchObject({ code: 'CLOSED' })
})
