import { describe, expect, it } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { type FileHandle, readWhole, writeWhole } from '../../base/files.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { SeededRandom } from '../../base/random.ts'
import { filesContract } from '../contract/files.ts'

filesContract('faulty, without faults', async () => {
  const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
  await files.mkdir('/data')
  return { files, directory: '/data', dispose: async () => {} }
})

async function opened(files: FaultyFiles, content = ''): Promise<FileHandle> {
  const file = await files.open('/a', 'write')
  await file.write([Buffer.from(content)], 0)
  return file
}

const text = async (files: FaultyFiles) => (await readWhole(files, '/a'))?.toString()

describe('faulty files', () => {
  it('fails the nth call of a kind, once, and counts every call', async () => {
    const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
    const file = await opened(files)
    files.fail({ call: 'datasync', nth: 2, error: 'EIO' })
    await file.datasync()
    await expect(file.datasync()).rejects.toMatchObject({ code: 'EIO' })
    await file.datasync()
    expect(files.count('datasync')).toBe(3)
    expect(files.count('rename')).toBe(0)
  })

  it('fails until it is cleared, and by path only', async () => {
    const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
    const clear = files.fail({ call: 'open', path: path => path.endsWith('.log'), times: Infinity, error: 'EMFILE' })
    for (let i = 0; i < 3; i++) {
      await expect(files.open('/x.log', 'write')).rejects.toMatchObject({ code: 'EMFILE', path: '/x.log' })
    }
    await files.open('/x.index', 'write')
    clear()
    await files.open('/x.log', 'write')
  })

  it('asks about both paths of a rename', async () => {
    const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
    await opened(files)
    files.fail({ call: 'rename', path: path => path === '/b', error: 'EIO' })
    await expect(files.rename('/a', '/b')).rejects.toMatchObject({ code: 'EIO' })
    expect(await files.list('/')).toEqual(['a'])
  })

  it('a write falls short before it fails', async () => {
    const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
    const file = await opened(files, 'abc')
    files.fail({ call: 'write', error: 'ENOSPC', partialBytes: 4 })
    await expect(file.write([Buffer.from('123'), Buffer.from('456')], 3)).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(await text(files)).toBe('abc1234')
  })

  it('a read falls short, and the reader goes on', async () => {
    const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
    await opened(files, 'abcdef')
    files.fail({ call: 'read', partialBytes: 2, times: 2 })
    expect(await text(files)).toBe('abcdef')
    expect(files.count('read')).toBe(3)
  })

  it('a call waits for what it was told to wait for', async () => {
    const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
    const file = await opened(files)
    let release = () => {}
    files.fail({ call: 'datasync', until: new Promise<void>(resolve => (release = resolve)) })
    let synced = false
    const sync = file.datasync().then(() => (synced = true))
    await file.write([Buffer.from('meanwhile')], 0)
    await new Promise(resolve => setImmediate(resolve))
    expect(synced).toBe(false)
    release()
    await sync
    expect(synced).toBe(true)
  })

  it('the hook sees every call in order before it happens, and can end it', async () => {
    const seen: string[] = []
    const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)), (call, path, number) => {
      if (number === 5) throw Object.assign(new Error('stop'), { code: 'STOP' })
      seen.push(`${number} ${call} ${path}`)
    })
    await expect(writeWhole(files, '/a', Buffer.from('x'))).rejects.toMatchObject({ code: 'STOP' })
    expect(seen).toEqual(['1 open /a.tmp', '2 truncate /a.tmp', '3 write /a.tmp', '4 datasync /a.tmp'])
  })

  it('a failed datasync loses what it should have synced, though a second one succeeds', async () => {
    let lost = 0
    for (let seed = 0; seed < 20; seed++) {
      const memory = new MemoryFiles(new SeededRandom(seed))
      const files = new FaultyFiles(memory)
      const file = await opened(files, 'kept')
      await file.datasync()
      await files.syncDirectory('/')
      await file.write([Buffer.from('LOST')], 0)
      files.fail({ call: 'datasync', error: 'EIO' })
      await expect(file.datasync()).rejects.toMatchObject({ code: 'EIO' })
      await file.datasync()
      expect(await text(files)).toBe('LOST')
      const after = await readWhole(memory.powerCut(), '/a')
      if (after?.toString() === 'kept') lost++
    }
    expect(lost).toBe(20)
  })

  it('a failed close has closed', async () => {
    const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
    const file = await opened(files)
    files.fail({ call: 'close', error: 'EIO' })
    await expect(file.close()).rejects.toMatchObject({ code: 'EIO' })
    await expect(file.stat()).rejects.toMatchObject({ code: 'EBADF' })
  })
})
