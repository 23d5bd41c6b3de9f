import { describe, expect, it } from 'vitest'
import { writeWhole } from '../../base/files.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { SeededRandom } from '../../base/random.ts'
import { filesContract } from '../contract/files.ts'
import { disk, outcomes, text, write } from '../support/memory-disk.ts'

filesContract('memory', async () => {
  const files = new MemoryFiles(new SeededRandom(1))
  await files.mkdir('/data')
  return { files, directory: '/data', dispose: async () => {} }
})

describe('a power cut', () => {
  it('keeps what was synced, entry and content', async () => {
    const seen = await outcomes(
      async files => {
        const file = await files.open('/d/a', 'write')
        await write(file, 0, 'content')
        await file.datasync()
        await files.syncDirectory('/d')
      },
      files => text(files, '/d/a'),
    )
    expect(seen).toEqual(['content'])
  })

  it('may take a new file whose directory was not synced, content synced or not', async () => {
    const seen = await outcomes(
      async files => {
        const file = await files.open('/d/a', 'write')
        await write(file, 0, 'content')
        await file.datasync()
      },
      files => text(files, '/d/a'),
    )
    expect(seen).toEqual(['content', 'none'])
  })

  it('may take a new directory whose parent was not synced, with all that was synced in it', async () => {
    const seen = await outcomes(
      async files => {
        await files.mkdir('/d/new')
        await writeWhole(files, '/d/new/a', Buffer.from('content'))
      },
      files => text(files, '/d/new/a'),
    )
    expect(seen).toEqual(['content', 'none'])
  })

  it('leaves of an unsynced append nothing, all, or a size whose bytes never came', async () => {
    const seen = await outcomes(
      async files => {
        const file = await files.open('/d/a', 'write')
        await write(file, 0, 'old')
        await file.datasync()
        await files.syncDirectory('/d')
        await write(file, 3, '+new')
      },
      files => text(files, '/d/a'),
    )
    expect(seen).toEqual(['old', 'old\0\0\0\0', 'old+new'].sort())
  })

  it('tears and reorders unsynced writes at sectors of 512 bytes', async () => {
    const shapes = await outcomes(
      async files => {
        const file = await files.open('/d/a', 'write')
        await write(file, 0, 'a'.repeat(2048))
        await file.datasync()
        await files.syncDirectory('/d')
        await write(file, 0, 'b'.repeat(1024))
        await write(file, 512, 'c'.repeat(1024))
      },
      async files => {
        const bytes = (await text(files, '/d/a'))!
        const sectors = bytes.match(/.{512}/g)!
        expect(sectors).toHaveLength(4)
        // A sector is never a mixture.
        expect(sectors.every(sector => new Set(sector).size === 1)).toBe(true)
        return sectors.map(sector => sector[0]).join('')
      },
      1000,
    )
    expect(shapes.every(shape => /^[ab][abc][ac]a$/.test(shape))).toBe(true)
    expect(shapes).toHaveLength(2 * 3 * 2)
  })

  it('never brings back what a kept cut removed, and shows no new content where the cut was lost', async () => {
    const seen = await outcomes(
      async files => {
        const file = await files.open('/d/a', 'write')
        await write(file, 0, 'old-old')
        await file.datasync()
        await files.syncDirectory('/d')
        await file.truncate(0)
        await write(file, 0, 'new')
      },
      files => text(files, '/d/a'),
    )
    expect(seen).toEqual(['', '\0\0\0', 'new', 'old-old'])
  })

  it('keeps the size that a synced truncate gave', async () => {
    const seen = await outcomes(
      async files => {
        const file = await files.open('/d/a', 'write')
        await write(file, 0, 'abcdef')
        await file.datasync()
        await files.syncDirectory('/d')
        await file.truncate(3)
        await file.datasync()
      },
      files => text(files, '/d/a'),
    )
    expect(seen).toEqual(['abc'])
  })

  it('leaves one name or the other of a rename, never both and never none', async () => {
    const seen = await outcomes(
      async files => {
        await writeWhole(files, '/d/a', Buffer.from('A'))
        await writeWhole(files, '/d/b', Buffer.from('B'))
        await files.rename('/d/a', '/d/b')
      },
      async files => `${await text(files, '/d/a')} ${await text(files, '/d/b')}`,
    )
    expect(seen).toEqual(['A B', 'undefined A'])
  })

  it('may keep the later of two new entries alone, but not a rename without the file it renamed', async () => {
    const seen = await outcomes(
      async files => {
        await files.open('/d/one', 'write')
        await files.open('/d/two', 'write')
        await files.rename('/d/two', '/d/three')
      },
      async files => [...(await files.list('/d'))].sort().join(' '),
    )
    expect(seen).toEqual(['', 'one', 'one three', 'one two', 'three', 'two'])
  })

  it('a sync of the target directory makes a rename across directories durable on both sides', async () => {
    const seen = await outcomes(
      async files => {
        await files.mkdir('/e')
        await files.syncDirectory('/')
        await files.open('/d/a', 'write')
        await files.rename('/d/a', '/e/a')
        await files.syncDirectory('/e')
      },
      async files => `${await files.list('/d')}|${await files.list('/e')}`,
    )
    expect(seen).toEqual(['|a'])
  })

  it('may bring back an unlinked file until the directory is synced', async () => {
    const unlink = async (files: MemoryFiles) => {
      await writeWhole(files, '/d/a', Buffer.from('A'))
      await files.unlink('/d/a')
    }
    expect(await outcomes(unlink, files => text(files, '/d/a'))).toEqual(['A', 'none'])
    const synced = async (files: MemoryFiles) => {
      await unlink(files)
      await files.syncDirectory('/d')
    }
    expect(await outcomes(synced, files => text(files, '/d/a'))).toEqual(['none'])
  })

  it('finds out a write that a running datasync was taken to cover', async () => {
    const seen = await outcomes(
      async files => {
        const file = await files.open('/d/a', 'write')
        await files.syncDirectory('/d')
        await write(file, 0, '1')
        const sync = file.datasync()
        await write(file, 1, '2')
        await sync
      },
      files => text(files, '/d/a'),
    )
    expect(seen).toEqual(['1', '12', '1\0'].sort())
  })

  it('fails the old file system and its handles with EIO, in calls under way too', async () => {
    const files = await disk(1)
    const file = await files.open('/d/a', 'write')
    const running = file.write([Buffer.from('x')], 0)
    const after = files.powerCut()
    await expect(running).rejects.toMatchObject({ code: 'EIO' })
    await expect(file.datasync()).rejects.toMatchObject({ code: 'EIO' })
    await expect(files.stat('/d')).rejects.toMatchObject({ code: 'EIO' })
    expect((await after.stat('/d')).kind).toBe('directory')
  })

  it('is the same for the same seed', async () => {
    const run = async () => {
      const files = await disk(42)
      for (let i = 0; i < 10; i++) await (await files.open(`/d/${i}`, 'write')).write([Buffer.alloc(5000, i)], 0)
      const after = files.powerCut()
      const names = [...(await after.list('/d'))]
      return Promise.all(names.map(async name => [name, await text(after, `/d/${name}`)]))
    }
    expect(await run()).toEqual(await run())
  })
})

describe('a memory disk of limited size', () => {
  it('runs full in the middle of a write, and goes on when there is room again', async () => {
    const files = await disk(1, 1000)
    const file = await files.open('/d/a', 'write')
    await write(file, 0, 'a'.repeat(900))
    await expect(write(file, 900, 'b'.repeat(200))).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(await text(files, '/d/a')).toBe('a'.repeat(900) + 'b'.repeat(100))
    expect(await files.freeBytes('/d')).toBe(0)
    await write(file, 0, 'overwriting needs no room')
    await file.truncate(500)
    expect(await files.freeBytes('/d')).toBe(500)
    await expect(file.truncate(1001)).rejects.toMatchObject({ code: 'ENOSPC' })
    files.capacityBytes = 2000
    await write(file, 500, 'c'.repeat(1500))
    expect(await files.freeBytes('/d')).toBe(0)
  })

  it('gives the room of an unlinked file back when its last handle closes', async () => {
    const files = await disk(1, 1000)
    const file = await files.open('/d/a', 'write')
    await write(file, 0, 'a'.repeat(800))
    await files.unlink('/d/a')
    expect(await files.freeBytes('/d')).toBe(200)
    await file.close()
    expect(await files.freeBytes('/d')).toBe(1000)
  })

  it('counts after a power cut what is really there', async () => {
    const files = await disk(7, 1000)
    await writeWhole(files, '/d/a', Buffer.alloc(300))
    await files.open('/d/b', 'write').then(file => write(file, 0, 'b'.repeat(100)))
    const after = files.powerCut()
    let used = 0
    for (const name of await after.list('/d')) used += (await after.stat(`/d/${name}`)).size
    expect(await after.freeBytes('/d')).toBe(1000 - used)
  })
})

it('an inode number is given again, but not while the disk may bring its file back', async () => {
  const files = await disk(1)
  await writeWhole(files, '/d/a', Buffer.from('A'))
  const { ino } = await files.stat('/d/a')
  await files.unlink('/d/a')
  const early = await files.open('/d/early', 'write')
  expect((await early.stat()).ino).not.toBe(ino)
  await files.syncDirectory('/d')
  const late = await files.open('/d/late', 'write')
  expect((await late.stat()).ino).toBe(ino)
})
