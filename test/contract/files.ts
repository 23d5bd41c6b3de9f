import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Files, readWhole, writeWhole } from '../../base/files.ts'

export interface FilesUnderTest {
  readonly files: Files
  /** An empty directory, absolute. */
  readonly directory: string
  dispose(): Promise<void>
}

/** What every `Files` promises (base/files.ts), whatever is behind it. */
export function filesContract(name: string, make: () => Promise<FilesUnderTest>): void {
  describe(`files contract: ${name}`, () => {
    let under: FilesUnderTest
    const path = (name: string) => `${under.directory}/${name}`

    beforeEach(async () => {
      under = await make()
    })
    afterEach(() => under.dispose())

    const put = async (name: string, text: string) => {
      const file = await under.files.open(path(name), 'write')
      await file.write([Buffer.from(text)], 0)
      await file.close()
    }
    const text = async (name: string) => (await readWhole(under.files, path(name)))?.toString('latin1')

    openingPromises()
    contentPromises()
    directoryPromises()
    watchPromises()

    function openingPromises(): void {
      it('read wants a file that exists', async () => {
        await expect(under.files.open(path('a'), 'read')).rejects.toMatchObject({ code: 'ENOENT' })
        await put('a', 'abc')
        expect(await text('a')).toBe('abc')
      })

      it('write creates what is missing and keeps what is there', async () => {
        await put('a', 'abcdef')
        await put('a', 'XY')
        expect(await text('a')).toBe('XYcdef')
      })

      it('exclusive creates, and refuses what exists, even a directory', async () => {
        await (await under.files.open(path('a'), 'exclusive')).close()
        await expect(under.files.open(path('a'), 'exclusive')).rejects.toMatchObject({ code: 'EEXIST' })
        await under.files.mkdir(path('d'))
        await expect(under.files.open(path('d'), 'exclusive')).rejects.toMatchObject({ code: 'EEXIST' })
      })

      it('a directory does not open as a file', async () => {
        await under.files.mkdir(path('d'))
        await expect(under.files.open(path('d'), 'read')).rejects.toMatchObject({ code: 'EISDIR' })
        await expect(under.files.open(path('d'), 'write')).rejects.toMatchObject({ code: 'EISDIR' })
      })

      it('a path through a file or a missing directory is refused', async () => {
        await put('a', 'x')
        await expect(under.files.open(path('a/b'), 'write')).rejects.toMatchObject({ code: 'ENOTDIR' })
        await expect(under.files.open(path('d/b'), 'write')).rejects.toMatchObject({ code: 'ENOENT' })
      })

      it('a file opened for reading is not written', async () => {
        await put('a', 'abc')
        const file = await under.files.open(path('a'), 'read')
        await expect(file.write([Buffer.from('x')], 0)).rejects.toThrow()
        await expect(file.truncate(0)).rejects.toThrow()
        await file.close()
        expect(await text('a')).toBe('abc')
      })

      it('a closed handle refuses everything, and closes twice without harm', async () => {
        const file = await under.files.open(path('a'), 'write')
        await file.close()
        await file.close()
        await expect(file.read(Buffer.alloc(1), 0, 1, 0)).rejects.toMatchObject({ code: 'EBADF' })
        await expect(file.write([Buffer.from('x')], 0)).rejects.toMatchObject({ code: 'EBADF' })
        await expect(file.datasync()).rejects.toMatchObject({ code: 'EBADF' })
        await expect(file.stat()).rejects.toMatchObject({ code: 'EBADF' })
      })
    }

    function contentPromises(): void {
      it('reads at a position into a place of the buffer, short at the end, nothing behind it', async () => {
        await put('a', 'abcdef')
        const file = await under.files.open(path('a'), 'read')
        const buffer = Buffer.from('..........')
        expect(await file.read(buffer, 2, 3, 1)).toBe(3)
        expect(buffer.toString()).toBe('..bcd.....')
        expect(await file.read(buffer, 0, 8, 4)).toBe(2)
        expect(await file.read(buffer, 0, 8, 6)).toBe(0)
        expect(await file.read(buffer, 0, 8, 600)).toBe(0)
        await file.close()
      })

      it('writes many buffers one after the other, more than the system takes at once, empty ones included', async () => {
        const file = await under.files.open(path('a'), 'write')
        const buffers = Array.from({ length: 3000 }, (_, i) => Buffer.from(i % 7 === 0 ? '' : `${i};`))
        await file.write([Buffer.from('head:')], 0)
        await file.write(buffers, 5)
        await file.write([], 5)
        await file.close()
        expect(await text('a')).toBe(`head:${Buffer.concat(buffers).toString()}`)
      })

      it('a write behind the end leaves zeros between', async () => {
        const file = await under.files.open(path('a'), 'write')
        await file.write([Buffer.from('x')], 4)
        await file.close()
        expect(await text('a')).toBe('\0\0\0\0x')
      })

      it('truncate cuts, and extends with zeros where other bytes were', async () => {
        await put('a', 'abcdef')
        const file = await under.files.open(path('a'), 'write')
        await file.truncate(2)
        expect((await file.stat()).size).toBe(2)
        await file.truncate(4)
        await file.datasync()
        await file.close()
        expect(await text('a')).toBe('ab\0\0')
      })

      it('two handles of one file see the same bytes', async () => {
        const writer = await under.files.open(path('a'), 'write')
        const reader = await under.files.open(path('a'), 'read')
        await writer.write([Buffer.from('hello')], 0)
        const buffer = Buffer.alloc(5)
        expect(await reader.read(buffer, 0, 5, 0)).toBe(5)
        expect(buffer.toString()).toBe('hello')
        expect((await reader.stat()).ino).toBe((await writer.stat()).ino)
        await writer.close()
        await reader.close()
      })

      it('an open file outlives its name and its rename', async () => {
        await put('a', 'old')
        const file = await under.files.open(path('a'), 'write')
        const { ino } = await file.stat()
        await under.files.rename(path('a'), path('b'))
        expect((await under.files.stat(path('b'))).ino).toBe(ino)
        await under.files.unlink(path('b'))
        await file.write([Buffer.from('gone')], 0)
        expect((await file.stat()).size).toBe(4)
        await file.close()
        expect(await text('b')).toBeUndefined()
      })

      it('writeWhole replaces, and readWhole refuses more than it was allowed', async () => {
        await writeWhole(under.files, path('a'), Buffer.from('first version'))
        await writeWhole(under.files, path('a'), Buffer.from('second'))
        expect(await text('a')).toBe('second')
        expect(await under.files.list(under.directory)).toEqual(['a'])
        await expect(readWhole(under.files, path('a'), 5)).rejects.toMatchObject({ code: 'EFBIG' })
      })
    }

    function directoryPromises(): void {
      it('stat tells kind, size, identity and time', async () => {
        await put('a', 'abc')
        await put('b', 'abc')
        const a = await under.files.stat(path('a'))
        const b = await under.files.stat(path('b'))
        expect(a).toMatchObject({ kind: 'file', size: 3, dev: expect.stringMatching(/^\d+$/) })
        expect(a.ino).toMatch(/^\d+$/)
        expect(a.ino).not.toBe(b.ino)
        expect(a.dev).toBe(b.dev)
        expect(a.mtimeMs).toBeGreaterThan(0)
        expect((await under.files.stat(under.directory)).kind).toBe('directory')
        await expect(under.files.stat(path('c'))).rejects.toMatchObject({ code: 'ENOENT' })
      })

      it('mkdir makes parents, and an existing directory is fine, but a file in the way is not', async () => {
        await under.files.mkdir(path('x/y/z'))
        await under.files.mkdir(path('x/y/z'))
        await put('x/y/z/a', '1')
        expect(await under.files.list(path('x/y'))).toEqual(['z'])
        await expect(under.files.mkdir(path('x/y/z/a/b'))).rejects.toMatchObject({ code: 'ENOTDIR' })
        await expect(under.files.mkdir(path('x/y/z/a'))).rejects.toMatchObject({ code: 'EEXIST' })
      })

      it('list names direct children, of directories only', async () => {
        await under.files.mkdir(path('d/e'))
        await put('d/a', '1')
        await put('d/e/deep', '1')
        expect([...(await under.files.list(path('d')))].sort()).toEqual(['a', 'e'])
        await expect(under.files.list(path('d/a'))).rejects.toMatchObject({ code: 'ENOTDIR' })
        await expect(under.files.list(path('nowhere'))).rejects.toMatchObject({ code: 'ENOENT' })
      })

      it('rename replaces a file, moves a directory with what is in it, and refuses a full one', async () => {
        await put('a', 'new')
        await put('b', 'old')
        await under.files.rename(path('a'), path('b'))
        expect(await text('b')).toBe('new')
        expect(await text('a')).toBeUndefined()
        await under.files.mkdir(path('d'))
        await put('d/f', 'inside')
        await under.files.rename(path('d'), path('e'))
        expect(await text('e/f')).toBe('inside')
        await under.files.mkdir(path('d'))
        await expect(under.files.rename(path('d'), path('e'))).rejects.toMatchObject({ code: 'ENOTEMPTY' })
        await expect(under.files.rename(path('b'), path('e'))).rejects.toMatchObject({ code: 'EISDIR' })
        await expect(under.files.rename(path('d'), path('b'))).rejects.toMatchObject({ code: 'ENOTDIR' })
        await expect(under.files.rename(path('e'), path('e/sub'))).rejects.toMatchObject({ code: 'EINVAL' })
        await expect(under.files.rename(path('none'), path('b'))).rejects.toMatchObject({ code: 'ENOENT' })
      })

      it('unlink takes a file and nothing else', async () => {
        await put('a', '1')
        await under.files.unlink(path('a'))
        await expect(under.files.unlink(path('a'))).rejects.toMatchObject({ code: 'ENOENT' })
        await under.files.mkdir(path('d'))
        await expect(under.files.unlink(path('d'))).rejects.toThrow()
        expect((await under.files.stat(path('d'))).kind).toBe('directory')
      })

      it('removeTree takes everything below, and nothing there is fine', async () => {
        await under.files.mkdir(path('d/e/f'))
        await put('d/e/a', '1')
        await under.files.removeTree(path('d'))
        await under.files.removeTree(path('d'))
        expect(await under.files.list(under.directory)).toEqual([])
      })

      it('syncDirectory wants a directory', async () => {
        await put('a', '1')
        await under.files.syncDirectory(under.directory)
        await expect(under.files.syncDirectory(path('a'))).rejects.toMatchObject({ code: 'ENOTDIR' })
        await expect(under.files.syncDirectory(path('b'))).rejects.toMatchObject({ code: 'ENOENT' })
      })

      it('realpath names what is there', async () => {
        await under.files.mkdir(path('d'))
        expect(await under.files.realpath(`${under.directory}/./d/../d`)).toBe(path('d'))
        await expect(under.files.realpath(path('none'))).rejects.toMatchObject({ code: 'ENOENT' })
      })

      it('freeBytes is a count of bytes', async () => {
        expect(await under.files.freeBytes(under.directory)).toBeGreaterThan(0)
        await expect(under.files.freeBytes(path('none'))).rejects.toMatchObject({ code: 'ENOENT' })
      })
    }

    function watchPromises(): void {
      it('a watched directory tells of a new child', async () => {
        const told = await new Promise<string | undefined>(resolve => {
          const watcher = under.files.watch(under.directory, name => {
            watcher.close()
            resolve(name)
          })
          void put('a', '1')
        })
        expect(told).toBe('a')
      })

      it('a watched file tells of a change', async () => {
        await put('a', '1')
        const told = await new Promise<string | undefined>(resolve => {
          const watcher = under.files.watch(path('a'), name => {
            watcher.close()
            resolve(name)
          })
          void put('a', '12')
        })
        expect(told).toBe('a')
      })

      it('watching what is not there is allowed', () => {
        under.files.watch(path('none'), () => {}).close()
      })
    }
  })
}
