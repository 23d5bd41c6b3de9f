import { expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { FileCache } from '../../broker/file-cache.ts'
import { Store } from '../../broker/store.ts'
import { disk, text } from '../support/memory-disk.ts'

/** A store in a cache that closes whatever is not leased. */
async function openStore() {
  const memory = await disk(1)
  const files = new FaultyFiles(memory)
  const store = new Store('/d/log', new FileCache(files, 0), 0)
  const append = (content: string) => store.append([Buffer.from(content)], content.length)
  return { memory, files, store, append }
}

function hold(files: FaultyFiles, call: 'write' | 'datasync'): () => void {
  let goOn = () => {}
  files.fail({ call, until: new Promise<void>(resolve => (goOn = resolve)) })
  return goOn
}

test('a sync that begins and ends while a write is under way leaves the file open until that write is synced', async () => {
  const { memory, files, store, append } = await openStore()
  await append('a')
  const goOn = hold(files, 'write')
  const appended = append('b')
  await store.datasync()
  goOn()
  await appended
  expect(files.count('close')).toBe(0)
  await store.datasync()
  expect(files.count('close')).toBe(1)
  expect(await text(memory, '/d/log')).toBe('ab')
})

test('a write that ends while a sync is under way is not covered by it', async () => {
  const { files, store, append } = await openStore()
  const writeOn = hold(files, 'write')
  const syncOn = hold(files, 'datasync')
  const appended = append('a')
  const synced = store.datasync()
  writeOn()
  await appended
  syncOn()
  await synced
  expect(files.count('close')).toBe(0)
  await store.datasync()
  expect(files.count('close')).toBe(1)
})

test('two syncs come one after the other, and the second lets the file go', async () => {
  const { files, store, append } = await openStore()
  await append('a')
  const goOn = hold(files, 'datasync')
  const synced = Promise.all([store.datasync(), store.datasync()])
  await new Promise(setImmediate)
  expect(files.count('datasync')).toBe(1)
  goOn()
  await synced
  expect([files.count('datasync'), files.count('close')]).toEqual([2, 1])
})

test('behind a sync that failed every other one fails too, those that came beside it as well', async () => {
  const { files, store, append } = await openStore()
  await append('a')
  files.fail({ call: 'datasync', error: 'EIO' })
  const outcomes = await Promise.allSettled([store.datasync(), store.datasync()])
  expect(outcomes.map(outcome => outcome.status)).toEqual(['rejected', 'rejected'])
  await expect(store.datasync()).rejects.toMatchObject({ code: 'EIO' })
  expect(files.count('datasync')).toBe(1)
})
