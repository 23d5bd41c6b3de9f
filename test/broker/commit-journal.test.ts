import { describe, expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { type Files, ManualClock, packRecords, readWhole, SeededRandom, silentLogger } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { Broker } from '../../broker/index.ts'
import { readJournal } from '../../broker/journal-replay.ts'
import { verifyLog } from '../../broker/log-inspection.ts'
import { findLogFolders } from '../../broker/log-inspection-folders.ts'
import { repairLog } from '../../broker/log-inspection-repair.ts'
import { lines, readAll, rejection, valuesOf, write } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'
import { recordingLogger } from '../support/recording-logger.ts'

const JOURNALS = ['/data/meta/journal-0', '/data/meta/journal-1']
const clock = new ManualClock()

/** A disk whose log was written to and never closed; nothing but the journal was synced since. */
async function written(values: readonly string[], journalBytes = 64 << 10, seed = 1) {
  const disk = new MemoryFiles(new SeededRandom(seed), { clock })
  const broker = await openAsNewProcess({ files: disk, clock, journalBytes })
  await broker.ensureTopic({ name: 't', configs: {} })
  for (const value of values) await put(broker, value)
  return { disk, broker }
}

async function put(broker: Broker, value: string): Promise<void> {
  const transaction = await (await broker.writer('w')).begin()
  await transaction.append('t', 0, lines(value))
  transaction.checkpoint([{ connector: 'c', partition: { f: 1 }, value: { value } }])
  await transaction.commit()
}

async function seen(files: Files): Promise<readonly [unknown, unknown]> {
  const broker = await openAsNewProcess({ files, clock })
  const found = [valuesOf(await readAll(broker, 't', 0)), (await broker.checkpoints('c'))[0]?.value?.value] as const
  await broker.close()
  return found
}

async function change(files: Files, path: string, by: (bytes: Buffer) => Buffer): Promise<void> {
  const bytes = by((await readWhole(files, path))!)
  const file = await files.open(path, 'write')
  await file.truncate(0)
  await file.write([bytes], 0)
  await file.datasync()
  await file.close()
}

const commits = async (files: Files) => (await readJournal(files, '/data')).entries.length
const numbered = (count: number) => Array.from({ length: count }, (_, i) => `v${i}`)

describe('the commit journal', () => {
  test('alone brings back all that was committed after a power cut', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { disk } = await written(['one', 'two', 'three'], 64 << 10, seed)
      expect(await seen(disk.powerCut()), `seed ${seed}`).toEqual([['one', 'two', 'three'], 'three'])
    }
  })

  test('is written into the log once more by a start behind one that could not empty it', async () => {
    for (let nth = 1; nth <= 2; nth++) {
      const { disk } = await written(['one', 'two'], 64 << 10, nth)
      const faulty = new FaultyFiles(disk)
      const path = (p: string) => JOURNALS.includes(p)
      faulty.fail({ call: 'datasync', nth, error: 'EIO', path })
      expect(await rejection(openAsNewProcess({ files: faulty, clock }))).toMatchObject({ code: 'EIO' })
      expect(await seen(disk.powerCut())).toEqual([['one', 'two'], 'two'])
    }
  })

  test('holds nothing after a close, nor after a start', async () => {
    const { disk, broker } = await written(['one', 'two'])
    expect(await commits(disk)).toBe(2)
    await broker.close()
    expect(await commits(disk)).toBe(0)
    const again = await openAsNewProcess({ files: disk, clock })
    await put(again, 'three')
    expect(await commits(disk)).toBe(1)
    await openAsNewProcess({ files: disk, clock })
    expect(await commits(disk)).toBe(0)
  })

  test('begins anew when it is full, once the log has what it held', async () => {
    const { disk, broker } = await written(numbered(100), 4 << 10)
    expect(await commits(disk)).toBeLessThan(20)
    await put(broker, 'last')
    expect(await seen(disk.powerCut())).toEqual([[...numbered(100), 'last'], 'last'])
  })

  test('leaves to the transaction log how far each partition was durable, also of commits that later ones superseded', async () => {
    const { disk, broker } = await written(['one'], 4 << 10)
    await broker.ensureTopic({ name: 'other', configs: {} })
    const writer = await broker.writer('w')
    for (let n = 0; n < 50; n++) {
      const transaction = await writer.begin()
      await transaction.append('other', 0, lines(`v${n}`))
      await transaction.commit()
    }
    const { entries } = await readJournal(disk, '/data')
    expect(entries.flatMap(entry => entry.ranges).filter(range => range.place.topic === 't')).toEqual([])
    await change(disk, '/data/t-0/00000000000000000000.log', () => Buffer.alloc(0))
    const log = recordingLogger()
    await openAsNewProcess({ files: disk, clock, log })
    const gone = { level: 'error', message: expect.stringContaining('the end of the log is gone') }
    expect(log.lines).toContainEqual(expect.objectContaining(gone))
  })

  test('takes the decision alone where a partition was given much: that is synced in its file', async () => {
    const { disk, broker } = await written(['one'])
    const large = 'x'.repeat(20_000)
    await put(broker, large)
    await put(broker, 'three')
    const { entries } = await readJournal(disk, '/data')
    const bytes = entries.map(entry => entry.ranges.reduce((sum, { content }) => sum + content.length, 0))
    expect(bytes).toHaveLength(3)
    expect(Math.max(...bytes)).toBeLessThan(1000)
    expect(await seen(disk.powerCut())).toEqual([['one', large, 'three'], 'three'])
  })

  test('keeps few files open, however many partitions have something in it', async () => {
    const { disk, broker } = await written([], 256 << 10)
    await broker.ensureTopic({ name: 'wide', partitions: 300, configs: {} })
    const writer = await broker.writer('w')
    for (let n = 0; n < 300; n++) {
      const transaction = await writer.begin()
      await transaction.append('wide', n, lines(`v${n}`))
      await transaction.commit()
    }
    const { entries } = await readJournal(disk, '/data')
    const places = entries.flatMap(({ ranges }) => ranges.map(({ place }) => `${place.topic}-${place.partition}`))
    expect(new Set(places).size).toBeLessThan(220)
    const all = await writer.begin()
    for (let n = 0; n < 300; n++) await all.append('wide', n, lines('all'))
    await all.commit()
    const after = await openAsNewProcess({ files: disk.powerCut(), clock })
    for (const n of [0, 150, 299]) expect(valuesOf(await readAll(after, 'wide', n))).toEqual([`v${n}`, 'all'])
  })

  test('takes commits that come while one is written as one', async () => {
    const disk = new MemoryFiles(new SeededRandom(1), { clock })
    const files = new FaultyFiles(disk)
    const broker = await openAsNewProcess({ files, clock })
    await broker.ensureTopic({ name: 't', configs: {} })
    const writers = await Promise.all(Array.from({ length: 10 }, (_, i) => broker.writer(`w${i}`)))
    const begun = await Promise.all(writers.map(writer => writer.begin()))
    for (const [i, transaction] of begun.entries()) await transaction.append('t', 0, lines(`v${i}`))
    let letGo = () => {}
    const until = new Promise<void>(resolve => (letGo = resolve))
    files.fail({ call: 'datasync', path: path => JOURNALS.includes(path), until })
    const committing = Promise.all(begun.map(transaction => transaction.commit()))
    await new Promise(resolve => setImmediate(resolve))
    expect(await readAll(broker, 't', 0)).toEqual([])
    letGo()
    await committing
    expect(await commits(disk)).toBe(2)
    const [values] = await seen(disk.powerCut())
    expect([...(values as string[])].sort()).toEqual(numbered(10))
  })

  test('knows a topic by its id: what was written to one that is gone is not written into another of its name', async () => {
    const { disk, broker } = await written(['one', 'two'])
    await broker.deleteTopic('t')
    await broker.ensureTopic({ name: 't', configs: {} })
    expect(await commits(disk)).toBe(2)
    expect((await seen(disk))[0]).toEqual([])
  })

  test('is emptied before compaction puts a segment in the place of others', async () => {
    const disk = new MemoryFiles(new SeededRandom(1), { clock })
    const options = { 'log.cleaner.backoff.ms': 1000 }
    const broker = await openAsNewProcess({ files: disk, clock, journalBytes: 64 << 10, options })
    const configs = { 'cleanup.policy': 'compact', 'segment.bytes': '300', 'min.cleanable.dirty.ratio': '0.01' }
    await broker.ensureTopic({ name: 't', configs })
    await broker.holdFor([])
    for (let n = 0; n < 30; n++) {
      const value = `${n} ${'.'.repeat(50)}`
      await write(broker, 't', 0, packRecords([{ key: 'same', value }]))
    }
    expect(await commits(disk)).toBe(30)
    await clock.advance(60_000)
    const values = valuesOf(await readAll(broker, 't', 0))
    expect(values.length).toBeLessThan(10)
    expect(valuesOf(await readAll(await openAsNewProcess({ files: disk, clock }), 't', 0))).toEqual(values)
  })
})

const flip = (at: number) => (bytes: Buffer) => {
  bytes[at]! ^= 1
  return bytes
}

describe('a commit journal that is damaged', () => {
  test('keeps what is whole, and says that something is lost', async () => {
    const { disk } = await written(['one', 'two', 'three'])
    await change(disk, JOURNALS[0]!, flip(700))
    const log = recordingLogger()
    const broker = await openAsNewProcess({ files: disk, clock, log })
    // The files have all of it: no power was cut.
    expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['one', 'two', 'three'])
    const damage = { level: 'error', message: expect.stringContaining('damage in the commit journal') }
    expect(log.lines).toContainEqual(expect.objectContaining(damage))
  })

  test('in its head says so, and in its last entry is a torn one that nobody was told of', async () => {
    const { disk } = await written(['one', 'two'])
    await change(disk, JOURNALS[0]!, flip(5))
    expect((await readJournal(disk, '/data')).damaged).toEqual([JOURNALS[0]])
    await change(disk, JOURNALS[0]!, flip(5))
    const { entries } = await readJournal(disk, '/data')
    const { content } = entries.at(-1)!.ranges.at(-1)!
    const bytes = (await readWhole(disk, JOURNALS[0]!))!
    await change(disk, JOURNALS[0]!, flip(bytes.lastIndexOf(content)))
    expect(await readJournal(disk, '/data')).toMatchObject({ damaged: [], entries: { length: 1 } })
  })

  test.each([
    ['nothing', () => Buffer.alloc(0)],
    ['zeros', (bytes: Buffer) => Buffer.alloc(bytes.length)],
    ['noise', (bytes: Buffer) => new SeededRandom(1).bytes(bytes.length)],
    ['half of it', (bytes: Buffer) => bytes.subarray(0, bytes.length >>> 1)],
  ])('by being %s keeps no start back', async (_, by) => {
    const { disk } = await written(['one', 'two'])
    for (const path of JOURNALS) await change(disk, path, by)
    expect((await seen(disk))[0]).toEqual(['one', 'two'])
  })
})

describe('a disk without room', () => {
  test('for the journal has commits synced file by file', async () => {
    const disk = new MemoryFiles(new SeededRandom(1), { clock })
    const files = new FaultyFiles(disk)
    const path = (p: string) => p.startsWith('/data/meta/journal-')
    const clear = files.fail({ call: 'write', error: 'ENOSPC', path, times: Number.POSITIVE_INFINITY })
    const broker = await openAsNewProcess({ files, clock })
    await broker.ensureTopic({ name: 't', configs: {} })
    await put(broker, 'one')
    expect(await commits(disk)).toBe(0)
    clear()
    await put(broker, 'two')
    expect(await commits(disk)).toBe(1)
    expect(await seen(disk.powerCut())).toEqual([['one', 'two'], 'two'])
  })

  test('for what the journal alone has says so at the start, and the next one with room has it', async () => {
    let refused = 0
    for (let seed = 1; seed <= 10; seed++) {
      const { disk } = await written(['one', 'two'], 64 << 10, seed)
      const after = disk.powerCut()
      const faulty = new FaultyFiles(after)
      // Of the second commit: where it lies in the file already there is no need for room.
      faulty.fail({ call: 'write', path: p => p.startsWith('/data/t-0/'), nth: 2, error: 'ENOSPC' })
      const started = await openAsNewProcess({ files: faulty, clock }).catch(error => error)
      if (started instanceof Error) {
        expect(started).toMatchObject({ code: 'DISK_FULL', message: expect.stringContaining('free space') })
        refused++
      } else await started.close()
      expect(await seen(after), `seed ${seed}`).toEqual([['one', 'two'], 'two'])
    }
    expect(refused).toBeGreaterThan(0)
  })

  test('for the transaction log fills the journal, and then nothing more is committed until there is room', async () => {
    const { disk } = await written([])
    const files = new FaultyFiles(disk)
    const broker = await openAsNewProcess({ files, clock, journalBytes: 4 << 10 })
    const path = (p: string) => p.startsWith('/data/__transaction_state-0/')
    const clear = files.fail({ call: 'write', error: 'ENOSPC', path, times: Number.POSITIVE_INFINITY })
    let count = 0
    const error = await rejection(
      (async () => {
        for (; count < 100; count++) await put(broker, `v${count}`)
      })(),
    )
    expect(error.code).toBe('DISK_FULL')
    expect(count).toBeGreaterThan(2)
    expect(valuesOf(await readAll(broker, 't', 0))).toEqual(numbered(count))
    clear()
    await put(broker, 'last')
    expect(await seen(disk.powerCut())).toEqual([[...numbered(count), 'last'], 'last'])
  })
})

describe('the tools for a log that was not closed', () => {
  test('say what the journal holds, and a repair writes it into the files before it changes them', async () => {
    const { disk } = await written(['one', 'two', 'three'])
    const after = disk.powerCut()
    const look = async () => (await verifyLog(after, await findLogFolders(after, '/data'))).findings
    expect((await look()).notes.map(note => note.what)).toContainEqual(expect.stringContaining('holds 3 commits'))
    await repair(after)
    expect((await look()).problems).toEqual([])
    const { entries } = await readJournal(after, '/data')
    expect(entries.flatMap(entry => entry.ranges)).toEqual([])
    expect(await seen(after)).toEqual([['one', 'two', 'three'], 'three'])
  })

  test('name damage in the journal, and a repair that writes the rest of it into the files does so once more', async () => {
    const { disk } = await written(['one', 'two', 'three'])
    await change(disk, JOURNALS[0]!, flip(700))
    const { findings } = await verifyLog(disk, await findLogFolders(disk, '/data'))
    expect(findings.problems.map(({ path }) => path)).toContain(JOURNALS[0])
    expect((await repair(disk)).plan.staying.map(({ path }) => path)).toEqual([JOURNALS[0]])
    expect((await seen(disk))[0]).toEqual(['one', 'two', 'three'])
  })
})

function repair(files: Files) {
  const self = { host: 'here', pid: 1, bootId: 'boot', startTime: 'tool' }
  const processes = { self, isRunning: () => false }
  return repairLog({ files, clock, random: new SeededRandom(2), processes, logger: silentLogger }, '/data')
}
