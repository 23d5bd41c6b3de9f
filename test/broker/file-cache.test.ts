import { expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { SeededRandom, writeWhole } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
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

test('with thousands of files and readers keeps to its limit, closes nothing in use, and leaks nothing', async () => {
  const random = new SeededRandom(7)
  const disk = new MemoryFiles(new SeededRandom(7))
  const paths = Array.from({ length: 3000 }, (_, i) => `/f${i}`)
  for (const path of paths) {
    const file = await disk.open(path, 'write')
    await file.write([Buffer.from(path)], 0)
    await file.close()
  }
  const files = new FaultyFiles(disk)
  const cache = new FileCache(files, 40)
  const openNow = () => files.count('open') - files.count('close')
  let highest = 0
  const reader = async () => {
    for (let i = 0; i < 400; i++) {
      const path = paths[Math.floor(random.next() * (random.next() < 0.5 ? 20 : paths.length))]!
      const lease = await cache.lease(path, random.next() < 0.1 ? 'write' : 'read')
      const bytes = Buffer.alloc(path.length)
      await new Promise(resolve => setImmediate(resolve))
      expect(await lease.file.read(bytes, 0, bytes.length, 0)).toBe(path.length)
      expect(bytes.toString()).toBe(path)
      highest = Math.max(highest, openNow())
      lease.release()
      if (random.next() < 0.05) await cache.forget(path)
    }
  }
  await Promise.all(Array.from({ length: 16 }, reader))
  // The limit, and what the readers hold beside it.
  expect(highest).toBeLessThanOrEqual(40 + 2 * 16)
  await cache.close()
  expect(openNow()).toBe(0)
})
