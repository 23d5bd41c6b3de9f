import { beforeEach, describe, expect, it } from 'vitest'
import { MemoryFiles } from '../../../base/memory-files.ts'
import { ManualClock, SeededRandom } from '../../../runtime/api/index.ts'
import { Tail, Writer } from './tail-harness.ts'

const LOG = '/logs/app.log'

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

const text = (lines: readonly string[]) => lines.map(line => `${line}\n`).join('')

async function restart(tail: Tail, meanwhile: () => Promise<void>): Promise<void> {
  await tail.stop()
  await clock.advance(1000)
  await meanwhile()
  await tail.start()
}

describe('lines', () => {
  it('delivers every byte of a line as it is, and empty lines as records', async () => {
    await write.append(LOG, 'a\n\nb\rc\r\n\0\xff\xfe\n')
    const tail = await tailing()
    await tail.drain()
    expect(tail.lines).toEqual(['a', '', 'b\rc\r', '\0\xff\xfe'])
  })

  it('sees a file with one short line', async () => {
    await write.append(LOG, 'x\n')
    const tail = await tailing()
    await tail.drain()
    expect(tail.lines).toEqual(['x'])
  })

  it('waits for the end of a partial line, however long that takes', async () => {
    await write.append(LOG, 'one\ntw')
    const tail = await tailing()
    await tail.drain()
    await clock.advance(10_000_000)
    await tail.drain()
    expect(tail.lines).toEqual(['one'])
    await write.append(LOG, 'o\n')
    await tail.drain()
    expect(tail.lines).toEqual(['one', 'two'])
  })

  it('delivers a line once and whole that was half written at a stop', async () => {
    await write.append(LOG, 'one\ntw')
    const tail = await tailing()
    await tail.drain()
    await restart(tail, () => write.append(LOG, 'o\nthree\n'))
    await tail.drain()
    expect(tail.lines).toEqual(['one', 'two', 'three'])
  })

  it.each([4096, 1 << 20])(
    'leaves out a line that is too long, counts it once, and has the next line right (batch %i)',
    async bytes => {
      await write.append(LOG, `a\n${'y'.repeat(900_000)}\nb\n${'z'.repeat(101)}\nc\n${'w'.repeat(100)}\n`)
      const tail = await tailing({ 'max.line.bytes': 100, 'batch.bytes': bytes })
      await tail.drain()
      expect(tail.lines).toEqual(['a', 'b', 'c', 'w'.repeat(100)])
      expect(tail.context.counts['lines.too.long']).toBe(2)
    },
  )

  it('has the next line right when the end of a too long line comes after a restart', async () => {
    await write.append(LOG, `a\n${'y'.repeat(5000)}`)
    const tail = await tailing({ 'max.line.bytes': 100 })
    await tail.drain()
    await restart(tail, () => write.append(LOG, `${'y'.repeat(5000)}\nb\n`))
    await tail.drain()
    expect(tail.lines).toEqual(['a', 'b'])
    expect(tail.context.counts['lines.too.long']).toBe(1)
  })

  it('reads lines that are longer than a batch', async () => {
    const lines = ['a', 'b'.repeat(50_000), 'c'.repeat(10_000), 'd']
    await write.append(LOG, text(lines))
    const tail = await tailing({ 'batch.bytes': 4096 })
    await tail.drain()
    expect(tail.lines).toEqual(lines)
  })
})

describe('positions', () => {
  it('are behind the records of their batch, at the beginning of a line, in the documented form', async () => {
    await write.append(LOG, 'one\ntwo\nthr')
    const tail = await tailing()
    await tail.poll()
    const [checkpoint] = [...tail.checkpoints.values()]
    expect(checkpoint?.partition).toEqual({ file: expect.stringMatching(/^[\w-]{22}$/) })
    expect(checkpoint?.position).toEqual({
      v: 1,
      path: LOG,
      dev: '1',
      ino: (await files.stat(LOG)).ino,
      headLen: 8,
      headHash: expect.any(String),
      tailHash: expect.any(String),
      offset: 8,
    })
  })

  it('of a newer version are refused, not guessed at', async () => {
    const tail = new Tail({}, { files, clock })
    tail.checkpoints.set('x', { partition: { file: 'x' }, position: { v: 2 } })
    await expect(tail.start()).rejects.toMatchObject({ code: 'POSITION_LOST' })
  })

  it('are forgotten an hour after the file is gone, and not before', async () => {
    await write.append(LOG, 'one\n')
    const tail = await tailing()
    await tail.drain()
    await files.unlink(LOG)
    await tail.drain()
    await clock.advance(10_000)
    await tail.drain()
    expect(tail.checkpoints.size).toBe(1)
    await clock.advance(3_600_000)
    await tail.drain()
    expect(tail.checkpoints.size).toBe(0)
  })

  it('start at the end only for files of the very first start', async () => {
    await write.append(LOG, 'old\npart')
    const tail = await tailing({ paths: ['/logs/*.log'], 'start.position': 'end' })
    await tail.drain()
    await write.append(LOG, 'ial\nnew\n')
    await write.append('/logs/b.log', 'b1\n')
    await tail.drain()
    expect(tail.lines.sort()).toEqual(['b1', 'new', 'partial'])
    await restart(tail, () => write.append('/logs/c.log', 'c1\n'))
    await tail.drain()
    expect(tail.lines).toContain('c1')
  })

  it('at the end are remembered when there was no file at the first start', async () => {
    const tail = await tailing({ 'start.position': 'end' })
    await tail.drain()
    await restart(tail, () => write.append(LOG, 'written while stopped\n'))
    await tail.drain()
    expect(tail.lines).toEqual(['written while stopped'])
  })
})

describe('at.end: stop', () => {
  it('reads to the end, emits the rest as a line and finishes', async () => {
    await write.append(LOG, 'one\ntwo')
    const tail = await tailing({ 'at.end': 'stop' })
    expect(await tail.drain()).toBe('finished')
    expect(tail.lines).toEqual(['one', 'two'])
  })

  it('finishes on an empty file', async () => {
    await write.append(LOG, '')
    expect(await (await tailing({ 'at.end': 'stop' })).drain()).toBe('finished')
  })

  it('does not call it finished when the path is wrong', async () => {
    const tail = await tailing({ 'at.end': 'stop' })
    await expect(tail.drain()).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  })
})
