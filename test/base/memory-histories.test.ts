import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { type FileHandle, readWhole, writeWhole } from '../../base/files.ts'
import { disk, outcomes, text, write } from '../support/memory-disk.ts'

/** One step of a random history over three files; `sync` is remembered as the least that must survive. */
type Step =
  | { readonly kind: 'write'; readonly file: number; readonly position: number; readonly length: number }
  | { readonly kind: 'truncate'; readonly file: number; readonly size: number }
  | { readonly kind: 'datasync'; readonly file: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    file: fc.nat(2),
    position: fc.nat(3000),
    length: fc.integer({ min: 1, max: 2000 }),
  }),
  fc.record({ kind: fc.constant('truncate' as const), file: fc.nat(2), size: fc.nat(4000) }),
  fc.record({ kind: fc.constant('datasync' as const), file: fc.nat(2) }),
)

/** Content of one file after every change since its last sync, the synced one first. */
class History {
  versions: Buffer[] = [Buffer.alloc(0)]

  change(change: (content: Buffer) => Buffer): void {
    this.versions.push(change(this.versions.at(-1)!))
  }

  sync(): void {
    this.versions = [this.versions.at(-1)!]
  }

  /** Every sector is what one of the versions has there, zeros where it was shorter. */
  allows(content: Buffer): boolean {
    const sizes = this.versions.map(version => version.length)
    if (content.length < Math.min(...sizes) || content.length > Math.max(...sizes)) return false
    for (let start = 0; start < content.length; start += 512) {
      const sector = content.subarray(start, start + 512)
      const same = this.versions.some(version => {
        const padded = Buffer.alloc(sector.length)
        padded.set(version.subarray(start, start + sector.length))
        return padded.equals(sector)
      })
      if (!same) return false
    }
    return true
  }
}

describe('any history and any power cut', () => {
  it('what was synced is there, and the rest is made of what was written since', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.array(step, { maxLength: 20 }), async (seed, steps) => {
        const files = await disk(seed)
        const handles = await Promise.all([0, 1, 2].map(i => files.open(`/d/${i}`, 'write')))
        await files.syncDirectory('/d')
        const histories = handles.map(() => new History())
        for (const [number, taken] of steps.entries()) await take(taken, number, handles, histories)
        const after = files.powerCut()
        for (const [i, history] of histories.entries()) {
          expect(history.allows((await readWhole(after, `/d/${i}`))!)).toBe(true)
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('writeWhole is atomic, at every call of it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.nat(40), fc.nat(3000), async (seed, turns, length) => {
        const files = await disk(seed)
        const [before, after] = [Buffer.alloc(2000, 'old'), Buffer.alloc(length, 'new!')]
        await writeWhole(files, '/d/a', before)
        let done = false
        const write = writeWhole(files, '/d/a', after).then(
          () => (done = true),
          () => {},
        )
        for (let i = 0; i < turns; i++) await undefined
        const acknowledged = done
        const cut = files.powerCut()
        await write
        const found = await readWhole(cut, '/d/a')
        expect(found?.equals(after) || (!acknowledged && found?.equals(before))).toBe(true)
        await writeWhole(cut, '/d/a', before)
        expect((await readWhole(cut, '/d/a'))?.equals(before)).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })

  it('writeWhole that fails at any of its calls leaves one whole content, and succeeds when tried again', async () => {
    for (let seed = 1; seed <= 50; seed++) {
      for (const call of ['open', 'truncate', 'write', 'datasync', 'close', 'rename', 'syncDirectory'] as const) {
        const memory = await disk(seed)
        await writeWhole(memory, '/d/a', Buffer.from('old'))
        const faulty = new FaultyFiles(memory)
        faulty.fail({ call, error: 'EIO', partialBytes: 1 })
        await expect(writeWhole(faulty, '/d/a', Buffer.from('new'))).rejects.toMatchObject({ code: 'EIO' })
        const retried = seed % 2 === 0
        if (retried) await writeWhole(faulty, '/d/a', Buffer.from('again'))
        expect(retried ? ['again'] : ['old', 'new']).toContain(await text(memory.powerCut(), '/d/a'))
      }
    }
  })

  /** Replaces a file as careless programs do, leaving out some of the syncs. */
  const careless = (...omit: ('datasync' | 'syncDirectory')[]) =>
    outcomes(
      async files => {
        await writeWhole(files, '/d/a', Buffer.from('old'))
        const file = await files.open('/d/a.tmp', 'write')
        await write(file, 0, 'new')
        if (!omit.includes('datasync')) await file.datasync()
        await files.rename('/d/a.tmp', '/d/a')
        if (!omit.includes('syncDirectory')) await files.syncDirectory('/d')
      },
      files => text(files, '/d/a'),
    )

  it('a replacement without one of the syncs is found out', async () => {
    expect(await careless()).toEqual(['new'])
    expect(await careless('datasync')).toEqual(['', '\0\0\0', 'new'])
    expect(await careless('syncDirectory')).toEqual(['new', 'old'])
  })

  it('leaves no less than ext4 and XFS were seen to leave after a real shutdown of the file system', async () => {
    // Without any sync: new or old on ext4, empty or old on XFS.
    expect(await careless('datasync', 'syncDirectory')).toEqual(['', '\0\0\0', 'new', 'old'])
  })
})

async function take(taken: Step, number: number, handles: FileHandle[], histories: History[]): Promise<void> {
  const [handle, history] = [handles[taken.file]!, histories[taken.file]!]
  if (taken.kind === 'datasync') {
    await handle.datasync()
    history.sync()
  } else if (taken.kind === 'truncate') {
    await handle.truncate(taken.size)
    history.change(content => Buffer.concat([content.subarray(0, taken.size)], taken.size))
  } else {
    const bytes = Buffer.alloc(taken.length, number + 1)
    await handle.write([bytes], taken.position)
    history.change(content => {
      const out = Buffer.alloc(Math.max(content.length, taken.position + taken.length))
      content.copy(out)
      bytes.copy(out, taken.position)
      return out
    })
  }
}
