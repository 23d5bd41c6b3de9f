import { beforeEach, describe, expect, it } from 'vitest'
import { FaultyFiles } from '../../../base/faulty-files.ts'
import { MemoryFiles } from '../../../base/memory-files.ts'
import { ManualClock, SeededRandom } from '../../../runtime/api/index.ts'
import { Tail, Writer } from './tail-harness.ts'

const LOG = '/logs/app.log'
const LONG = 'x'.repeat(60)

let clock: ManualClock
let files: MemoryFiles
let write: Writer

beforeEach(async () => {
  clock = new ManualClock()
  files = new MemoryFiles(new SeededRandom(1), { clock })
  write = new Writer(files)
  await files.mkdir('/logs')
})

async function tailing(options: object = {}): Promise<Tail> {
  const tail = new Tail(options, { files, clock })
  await tail.start()
  return tail
}

/** Lines enough for a whole head, so that copies can be told. */
function block(from: number, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${from + i} ${LONG}`)
}
const text = (lines: readonly string[]) => lines.map(line => `${line}\n`).join('')

async function restart(tail: Tail, meanwhile: () => Promise<void>): Promise<void> {
  await tail.stop()
  await clock.advance(1000)
  await meanwhile()
  await tail.start()
}

describe('rotation', () => {
  it('by rename: reads the old file to its end and the new one from its beginning, apart', async () => {
    await write.append(LOG, 'a1\n')
    const tail = await tailing()
    await tail.drain()
    await write.append(LOG, 'a2\n')
    await files.rename(LOG, `${LOG}.1`)
    await write.append(`${LOG}.1`, 'a3\n')
    await write.append(LOG, 'b1\n')
    await tail.drain()
    expect([...tail.byFile.values()].sort()).toEqual([['a1', 'a2', 'a3'], ['b1']])
  })

  it('by rename: emits the last line without newline once the file has not grown for rotate.wait.ms', async () => {
    await write.append(LOG, 'a1\na2')
    const tail = await tailing()
    await tail.drain()
    await files.rename(LOG, `${LOG}.1`)
    await tail.drain()
    expect(tail.lines).toEqual(['a1'])
    await clock.advance(6000)
    await tail.drain()
    expect(tail.lines).toEqual(['a1', 'a2'])
  })

  it('by rename under a glob that matches rotated names repeats nothing', async () => {
    await write.append(LOG, text(block(0, 50)))
    const tail = await tailing({ paths: [`${LOG}*`] })
    await tail.drain()
    for (let i = 1; i <= 3; i++) {
      await files.rename(LOG, `${LOG}.${4 - i}`)
      await write.append(LOG, text(block(i * 50, 50)))
      await tail.drain()
    }
    expect(tail.lines).toEqual(block(0, 200))
  })

  it('by copytruncate: finds what was not read yet in the copy, and the new content under a new id', async () => {
    await write.append(LOG, text(block(0, 50)))
    const tail = await tailing()
    await tail.drain()
    await write.append(LOG, text(block(50, 10)))
    await write.copyTruncate(LOG, `${LOG}.1`)
    await write.append(LOG, text(block(100, 5)))
    await tail.drain()
    expect([...tail.byFile.values()]).toEqual(expect.arrayContaining([block(0, 60), block(100, 5)]))
    expect(tail.lines.length).toBe(65)
    expect(tail.context.counts['files.truncated']).toBe(1)
  })

  it('by copytruncate in the middle of a look: the copy is found all the same', async () => {
    await write.append(LOG, text(block(0, 50)))
    let rotate = false
    // A look lists the folder of a glob first, and then opens what it knows.
    const slow = new FaultyFiles(files, async call => {
      if (call !== 'fstat' || !rotate) return
      rotate = false
      await write.append(LOG, text(block(50, 10)))
      await write.copyTruncate(LOG, `${LOG}.1`)
      await write.append(LOG, text(block(100, 5)))
    })
    const tail = new Tail({ paths: ['/logs/*.log'] }, { files: slow, clock })
    await tail.start()
    await tail.drain()
    await restart(tail, async () => {
      rotate = true
    })
    await tail.drain()
    expect([...tail.lines].sort()).toEqual([...block(0, 60), ...block(100, 5)].sort())
  })

  it('between a look and the first read: the file is found under its new name', async () => {
    await write.append(LOG, text(block(0, 10)))
    let rotate = true
    const slow = new FaultyFiles(files, async (call, path) => {
      if (call !== 'open' || path !== LOG || !rotate) return
      rotate = false
      await files.rename(LOG, `${LOG}.1`)
      await write.append(LOG, text(block(20, 10)))
    })
    const tail = new Tail({}, { files: slow, clock })
    await tail.start()
    await tail.drain()
    expect([...tail.lines].sort()).toEqual([...block(0, 10), ...block(20, 10)].sort())
  })

  it('by shifting names while the folder is listed: what the listing missed is neither lost nor read again', async () => {
    const rotate = async (kept: number, next: number) => {
      for (let n = kept; n > 0; n--) await files.rename(`${LOG}.${n}`, `${LOG}.${n + 1}`)
      await files.rename(LOG, `${LOG}.1`)
      await write.append(LOG, text(block(next, 10)))
    }
    let shift = false
    const moving = new FaultyFiles(files, async (call, path) => {
      if (call !== 'stat' || path !== `${LOG}.2` || !shift) return
      shift = false
      await rotate(3, 80)
    })
    await write.append(LOG, text(block(0, 10)))
    const tail = new Tail({ paths: ['/logs/*.log'] }, { files: moving, clock })
    await tail.start()
    await tail.drain()
    for (const kept of [0, 1, 2]) {
      await clock.advance(1000)
      await rotate(kept, 20 * (kept + 1))
      await tail.drain()
    }
    await restart(tail, async () => {
      shift = true
    })
    await tail.drain()
    // Its writer had not yet heard of the rotation.
    await write.append(`${LOG}.3`, text(block(30, 5)))
    for (const again of [false, true]) {
      if (again) await restart(tail, async () => {})
      await tail.drain()
      await clock.advance(6000)
      await tail.drain()
      const expected = [...[0, 20, 40, 60, 80].flatMap(from => block(from, 10)), ...block(30, 5)]
      expect([...tail.lines].sort()).toEqual(expected.sort())
    }
  })

  it('by copytruncate under a glob that matches the copy repeats nothing', async () => {
    await write.append(LOG, text(block(0, 50)))
    const tail = await tailing({ paths: [`${LOG}*`] })
    await tail.drain()
    await write.copy(LOG, `${LOG}.1`)
    await tail.drain()
    await write.overwrite(LOG, '')
    await write.append(LOG, text(block(50, 5)))
    await tail.drain()
    expect(tail.lines).toEqual(block(0, 55))
  })

  it.each([
    ['the same size', 50],
    ['a larger size', 80],
    ['a smaller size', 20],
  ])('notices a file rewritten to %s', async (_, count) => {
    await write.append(LOG, text(block(100, 50)))
    const tail = await tailing()
    await tail.drain()
    await clock.advance(1000)
    await write.overwrite(LOG, text(block(200, count)))
    await tail.drain()
    expect(tail.lines).toEqual([...block(100, 50), ...block(200, count)])
  })

  it('notices new content of which the first line is as long as all that was read, and ends alike', async () => {
    const same = 'x'.repeat(2000)
    await write.append(LOG, text([`67 ${same}`]))
    const tail = await tailing()
    await tail.drain()
    await clock.advance(1000)
    await write.overwrite(LOG, text([`68 ${same}`, '69 short']))
    await tail.drain()
    expect(tail.lines).toEqual([`67 ${same}`, `68 ${same}`, '69 short'])
  })

  it('of a file that was seen before a line of it was whole, renamed away while stopped: its line is delivered', async () => {
    await write.append(LOG, 'no end yet')
    const tail = await tailing()
    await tail.drain()
    await restart(tail, async () => {
      await files.rename(LOG, `${LOG}.1`)
      await write.append(LOG, text(['new file']))
    })
    await tail.drain()
    await clock.advance(6000)
    await tail.drain()
    expect([...tail.lines].sort()).toEqual(['new file', 'no end yet'])
  })

  it('while stopped, twice: reads the rest of the old file, the file between and the current one', async () => {
    await write.append(LOG, text(block(0, 50)))
    const tail = await tailing()
    await tail.drain()
    await restart(tail, async () => {
      await write.append(LOG, text(block(50, 10)))
      await clock.advance(1000)
      await files.rename(LOG, `${LOG}.1`)
      await write.append(LOG, text(block(100, 10)))
      await clock.advance(1000)
      await files.rename(`${LOG}.1`, `${LOG}.2`)
      await files.rename(LOG, `${LOG}.1`)
      await write.append(LOG, text(block(200, 10)))
    })
    await tail.drain()
    expect(tail.lines).toEqual([...block(0, 60), ...block(100, 10), ...block(200, 10)])
    await restart(tail, async () => {})
    await tail.drain()
    expect(tail.lines.length).toBe(80)
  })

  it('while stopped, by copytruncate: reads the rest in the copy', async () => {
    await write.append(LOG, text(block(0, 50)))
    const tail = await tailing()
    await tail.drain()
    await restart(tail, async () => {
      await write.append(LOG, text(block(50, 10)))
      await write.copyTruncate(LOG, `${LOG}.1`)
      await write.append(LOG, text(block(100, 100)))
    })
    await tail.drain()
    expect(tail.lines).toEqual([...block(0, 60), ...block(100, 100)])
  })

  it('that compressed the rest while stopped is said, not passed over', async () => {
    await write.append(LOG, text(block(0, 50)))
    const tail = await tailing()
    await tail.drain()
    await restart(tail, async () => {
      await files.unlink(LOG)
      await write.append(`${LOG}.1.gz`, 'compressed')
    })
    await tail.drain()
    expect(tail.context.counts['files.rotated.compressed']).toBe(1)
  })

  it('does not read rotations from before its time', async () => {
    await write.append(`${LOG}.2`, text(block(900, 20)))
    await clock.advance(1000)
    await write.append(LOG, text(block(0, 50)))
    const tail = await tailing()
    await tail.drain()
    await restart(tail, async () => {
      await files.rename(LOG, `${LOG}.1`)
      await write.append(LOG, 'next\n')
    })
    await tail.drain()
    expect(tail.lines).toEqual([...block(0, 50), 'next'])
  })
})

describe('identity', () => {
  it('reads a file with a used inode from its beginning, 50 times', async () => {
    const tail = await tailing()
    const expected: string[] = []
    const inodes = new Set<string>()
    for (let i = 0; i < 50; i++) {
      const lines = block(i * 1000, 3 + (i % 5))
      await restart(tail, async () => {
        await write.append(LOG, text(lines))
        await files.syncDirectory('/logs')
      })
      inodes.add((await files.stat(LOG)).ino)
      expected.push(...lines)
      await tail.drain()
      expect(tail.lines).toEqual(expected)
      await restart(tail, async () => {
        await files.unlink(LOG)
        await files.syncDirectory('/logs')
      })
    }
    expect(inodes.size).toBeLessThan(50)
  })

  it('outlives a start at which the file may not be read: it goes on where it was', async () => {
    await write.append(LOG, text(block(0, 50)))
    const guarded = new FaultyFiles(files)
    const tail = new Tail({}, { files: guarded, clock })
    await tail.start()
    await tail.drain()
    let allow = () => {}
    await restart(tail, async () => {
      await write.append(LOG, text(block(50, 5)))
      allow = guarded.fail({
        call: 'open',
        path: path => path === LOG,
        error: 'EACCES',
        times: Number.POSITIVE_INFINITY,
      })
    })
    await tail.drain()
    expect(tail.context.counts['files.unreadable']).toBe(1)
    allow()
    await tail.drain()
    expect(tail.lines).toEqual(block(0, 55))
  })

  it('a directory in the place of a file, with its inode: the other files are read on', async () => {
    await write.append(LOG, 'one\n')
    await write.append('/logs/other.log', 'two\n')
    const tail = await tailing({ paths: ['/logs/*.log'] })
    await tail.drain()
    const { ino } = await files.stat(LOG)
    await restart(tail, async () => {
      await files.unlink(LOG)
      await files.syncDirectory('/logs')
      await files.mkdir(LOG)
      await write.append('/logs/other.log', 'three\n')
    })
    expect((await files.stat(LOG)).ino).toBe(ino)
    await tail.drain()
    expect(tail.lines).toEqual(['one', 'two', 'three'])
  })

  it('keeps two files with the same content apart', async () => {
    await write.append('/logs/a.log', text(block(0, 50)))
    await write.append('/logs/b.log', text(block(0, 50)))
    const tail = await tailing({ paths: ['/logs/*.log'] })
    await tail.drain()
    expect(tail.lines.length).toBe(100)
    expect(tail.byFile.size).toBe(2)
  })

  it('does not let a busy file starve others', async () => {
    await write.append('/logs/busy.log', text(block(0, 20_000)))
    await clock.advance(1)
    await write.append('/logs/quiet.log', 'hello\n')
    const tail = await tailing({ paths: ['/logs/*.log'], 'batch.bytes': 65_536 })
    for (let i = 0; i < 3; i++) await tail.poll()
    expect(tail.lines).toContain('hello')
  })

  it('finds a new file soon, however long the first look took', async () => {
    await write.append(LOG, 'one\n')
    let slow = true
    const slowFiles = new FaultyFiles(files, async call => {
      if (call !== 'stat' || !slow) return
      slow = false
      await clock.advance(5000)
    })
    const tail = new Tail({ paths: ['/logs/*.log'] }, { files: slowFiles, clock })
    await tail.start()
    await tail.drain()
    const start = clock.monotonic()
    await write.append('/logs/new.log', 'two\n')
    while (tail.lines.length < 2) await tail.poll()
    expect(clock.monotonic() - start).toBeLessThan(5000)
  })

  it('follows hundreds more files than it keeps open', async () => {
    const names = Array.from({ length: 400 }, (_, i) => `/logs/${i}.log`)
    for (const name of names) await write.append(name, `${name} 1\n`)
    const tail = await tailing({ paths: ['/logs/*.log'] })
    await tail.drain()
    for (const name of names) await write.append(name, `${name} 2\n`)
    await tail.drain()
    expect(tail.lines.sort()).toEqual(names.flatMap(name => [`${name} 1`, `${name} 2`]).sort())
  })

  it('leaves out what is excluded and finds files in new folders', async () => {
    const tail = await tailing({ paths: ['/logs/**/*.log'], exclude: ['/logs/**/debug.log'] })
    await tail.drain()
    await files.mkdir('/logs/deep/er')
    await write.append('/logs/deep/er/a.log', 'a\n')
    await write.append('/logs/deep/debug.log', 'no\n')
    await tail.drain()
    expect(tail.lines).toEqual(['a'])
  })
})
