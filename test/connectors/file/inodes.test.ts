import { expect, test } from 'vitest'
import { MemoryFiles } from '../../../base/memory-files.ts'
import { ManualClock, SeededRandom, writeWhole } from '../../../runtime/api/index.ts'
import { Tail } from './tail-harness.ts'

/** More than are held open, so that some are closed. */
const FILES = 300

test('a file that gets the inode of one that went on in a copy is read like any other', async () => {
  const clock = new ManualClock()
  const files = new MemoryFiles(new SeededRandom(1), { clock })
  const held = new Set<string>()
  const open = files.open.bind(files)
  files.open = async (path, mode) => {
    const handle = await open(path, mode)
    const close = handle.close.bind(handle)
    handle.close = () => {
      held.delete(path)
      return close()
    }
    held.add(path)
    return handle
  }
  await files.mkdir('/logs')
  await files.mkdir('/elsewhere')
  const put = async (path: string, content: string) => {
    await writeWhole(files, '/elsewhere/file', Buffer.from(content))
    await files.rename('/elsewhere/file', path)
    await files.syncDirectory('/logs')
    await files.syncDirectory('/elsewhere')
  }
  const paths = Array.from({ length: FILES }, (_, i) => `/logs/${i}.log`)
  for (const path of paths) await put(path, 'first\n')
  const tail = new Tail({ paths: ['/logs/*.log'], 'poll.interval.ms': 60_000 }, { files, clock })
  await tail.start()
  await tail.drain()
  const closed = paths.find(path => !held.has(path))!
  const { ino } = await files.stat(closed)
  // As an editor or a restore does: a copy, and more, takes the name. Its hint comes before the next look.
  await put(closed, 'first\nsecond\n')
  await tail.drain()
  for (let n = 0; n < 5; n++) await put(`/logs/new-${n}.log`, `new ${n}\n`)
  const inodes = await Promise.all([0, 1, 2, 3, 4].map(async n => (await files.stat(`/logs/new-${n}.log`)).ino))
  expect(inodes).toContain(ino)
  await clock.advance(60_000)
  await tail.drain()
  expect(tail.lines.slice(FILES).sort()).toEqual(['new 0', 'new 1', 'new 2', 'new 3', 'new 4', 'second'])
  await tail.stop()
})
