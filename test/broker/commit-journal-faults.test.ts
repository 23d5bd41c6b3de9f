import { describe, expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import {
  type FileHandle,
  type Files,
  KtsError,
  ManualClock,
  packRecords,
  SeededRandom,
  silentLogger,
} from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { Broker, Writer } from '../../broker/index.ts'
import { readJournalFile } from '../../broker/journal-file.ts'
import { readJournal } from '../../broker/journal-replay.ts'
import { TransactionLog } from '../../broker/transaction-log.ts'
import type { TransactionRecord } from '../../broker/transaction-records.ts'
import { lines, readAll, valuesOf } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'

const JOURNALS = ['/data/meta/journal-0', '/data/meta/journal-1'] as const
const clock = new ManualClock()
const isJournal = (path: string) => JOURNALS.includes(path as never)
const logOf = (folder: string) => (path: string) => path.startsWith(`/data/${folder}/`) && path.endsWith('.log')
const open = (files: Files, more: object = {}) => openAsNewProcess({ files, clock, ...more })
const entriesOf = async (disk: Files, half: 0 | 1) => (await readJournalFile(disk, JOURNALS[half])).entries.length
const values = async (broker: Broker, topic: string) => valuesOf(await readAll(broker, topic, 0))
const codeOf = (error: { code: string }) => error.code

async function ticks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(resolve => setImmediate(resolve))
}

function newDisk(seed = 1) {
  const disk = new MemoryFiles(new SeededRandom(seed), { clock })
  return { disk, files: new FaultyFiles(disk) }
}

function gate() {
  let letGo = () => {}
  const held = new Promise<void>(resolve => (letGo = resolve))
  return { held, letGo }
}

const writers = new WeakMap<Broker, Map<string, Writer>>()

/** By the same writer for the same id. Calls `before` once all is written. */
async function put(broker: Broker, id: string, topic: string, value: string, before = () => {}, partitions = [0]) {
  const known = writers.get(broker) ?? new Map<string, Writer>()
  writers.set(broker, known)
  const writer = known.get(id) ?? (await broker.writer(id))
  known.set(id, writer)
  const transaction = await writer.begin()
  for (const partition of partitions) await transaction.append(topic, partition, lines(value))
  await ticks(20)
  before()
  await transaction.commit()
}

async function opened(files: Files, topics: readonly string[], more: object = {}): Promise<Broker> {
  const broker = await open(files, more)
  for (const name of topics) await broker.ensureTopic({ name, partitions: name === 'wide' ? 6 : 1, configs: {} })
  return broker
}

/** As `files`, but for what `change` puts in the place of handles. */
function withHandles(files: FaultyFiles, change: (file: FileHandle, path: string) => FileHandle): FaultyFiles {
  const inner = files.open.bind(files)
  files.open = async (path, mode) => change(await inner(path, mode), path)
  return files
}

describe('a half is not emptied while the records that it vouches for are on their way in a write of somebody else', () => {
  async function fill(until: number) {
    const { disk, files } = newDisk()
    const broker = await opened(files, ['t', 'u', 'wide'])
    let n = 0
    for (; n < until && (await entriesOf(disk, 1)) === 0; n++)
      await put(broker, 'w', 't', `v${String(n).padStart(3, '0')}`)
    return { disk, files, broker, n }
  }

  test.each(['power cut', 'full disk, then a kill'])('%s', async how => {
    const { n } = await fill(1000)
    const { disk, files, broker } = await fill(n - 2)
    await put(broker, 'w', 't', 'last', () => files.fail({ call: 'write', path: logOf('t-0'), until: gate().held }))
    expect(await entriesOf(disk, 1)).toBe(0)
    const state = gate()
    const path = logOf('__transaction_state-0')
    if (how === 'power cut') files.fail({ call: 'datasync', path, until: state.held })
    else files.fail({ call: 'write', path, until: state.held, error: 'ENOSPC', times: Number.POSITIVE_INFINITY })
    // Too much for an entry, in pieces that are not large: synced file by file, and what waits is written with its record.
    const big = put(broker, 'big', 'wide', 'x'.repeat(900), () => {}, [0, 1, 2, 3, 4, 5]).catch(codeOf)
    await ticks(50)
    expect(await values(broker, 't')).toContain('last')
    await put(broker, 'x', 'u', 'y'.repeat(800))
    await ticks(100)
    if (how !== 'power cut') {
      state.letGo()
      expect(await big).toBe('DISK_FULL')
    }
    const again = await open(how === 'power cut' ? disk.powerCut() : disk)
    expect(await values(again, 't')).toContain('last')
  })
})

test('a record that found no room does not come back over a newer one of its writer', async () => {
  const { held, letGo } = gate()
  let nextOffset = 0
  let appends = 0
  const log = await TransactionLog.open({
    topic: '__transaction_state',
    topicId: 'x',
    files: newDisk().disk,
    snapshotPath: '/s',
    logger: silentLogger,
    lossMeans: '',
    log: {
      logStartOffset: 0,
      get nextOffset() {
        return nextOffset
      },
      get lastStableOffset() {
        return nextOffset
      },
      async append(records) {
        if (++appends === 1) {
          await held
          throw new KtsError('DISK_FULL', 'no room for so much')
        }
        const baseOffset = nextOffset
        nextOffset += records.reduce((n, r) => n + r.count, 0)
        return { baseOffset, lastOffset: nextOffset - 1 }
      },
      async sync() {},
      read: async () => ({ batches: [], nextOffset }) as never,
    },
  })
  log.writeLater('w', record(1))
  const settling = log.flush().catch(codeOf)
  const committing = log.write('w', record(2))
  letGo()
  expect(await settling).toBe('DISK_FULL')
  await committing
  await log.flush()
  expect(log.states.get('w')!.producerEpoch).toBe(2)
})

function record(producerEpoch: number): TransactionRecord {
  const none = { previousProducerId: -1, nextProducerId: -1, nextProducerEpoch: -1 }
  const times = { timeoutMs: 1, updatedAt: 0, startedAt: 0 }
  const rest = { state: 'PrepareCommit', partitions: [], clientVersion: 2, durableEnds: [] } as const
  return { producerId: 1, producerEpoch, ...none, ...times, ...rest }
}

test('a commit whose marker found no room up to the close is there after it', async () => {
  const { disk, files } = newDisk()
  const broker = await opened(files, ['t'])
  await put(broker, 'w', 't', 'one')
  // The marker, its try at the writer's close, and the one at the coordinator's.
  await put(broker, 'w', 't', 'two', () => files.fail({ call: 'write', path: logOf('t-0'), error: 'ENOSPC', times: 3 }))
  await broker.close()
  expect(await values(await open(disk), 't')).toEqual(['one', 'two'])
})

test('a topic that takes the name of a deleted one, killed while its folder is made, has nothing of that one', async () => {
  const { disk, files } = newDisk()
  const broker = await opened(files, ['t'])
  await put(broker, 'w', 't', 'secret')
  await broker.deleteTopic('t')
  files.fail({ call: 'open', path: path => path.includes('/t-0/partition.metadata'), until: gate().held })
  void broker.ensureTopic({ name: 't', partitions: 1, configs: {} })
  await ticks(50)
  expect(await disk.list('/data/t-0')).toContain('00000000000000000000.log')
  const again = await opened(disk, ['t'])
  expect(await again.partition('t', 0)).toMatchObject({ highWatermark: 0, lastStableOffset: 0 })
  await put(again, 'w', 't', 'new')
  expect(await values(again, 't')).toEqual(['new'])
})

test('compaction waits for an entry that is being written', async () => {
  const { disk, files } = newDisk()
  const broker = await open(files, { journalBytes: 32 << 10, options: { 'log.cleaner.backoff.ms': 1000 } })
  const configs = { 'cleanup.policy': 'compact', 'segment.bytes': '1200', 'min.cleanable.dirty.ratio': '0.01' }
  await broker.ensureTopic({ name: 'c', partitions: 1, configs })
  await broker.ensureTopic({ name: 'f', partitions: 1, configs: {} })
  await broker.holdFor([])
  // As with exactly.once.source.support: disabled.
  const plain = { transactional: false }
  const [p, q, r] = [await broker.writer('p', plain), await broker.writer('q', plain), await broker.writer('r', plain)]
  const add = async (writer: Writer, ...records: [string, string][]) => {
    const transaction = await writer.begin()
    for (const [key, value] of records) {
      await transaction.append('c', 0, packRecords([{ key, value }]))
      await ticks(10)
    }
    transaction.checkpoint([{ connector: 'c', partition: { f: 1 }, value: { n: 1 } }])
    return transaction.commit()
  }
  await add(p, ['a', 'x'.repeat(150)])
  await add(p, ['b', 'x'.repeat(300)])
  await clock.advance(65_000)
  await ticks(100)
  const mentions = async () =>
    (await readJournal(disk, '/data')).entries.some(e => e.ranges.some(range => range.place.topic === 'c'))
  while (await mentions()) await put(broker, 'f', 'f', 'y'.repeat(500))
  const read = gate()
  files.fail({ call: 'read', path: logOf('c-0'), until: read.held })
  const late = add(p, ['a', 'second'], ['b', 'z'.repeat(200)])
  await ticks(60)
  // Synced by themselves, each in a segment of its own.
  const large = [add(q, ['other', 'y'.repeat(20_000)])]
  await ticks(60)
  large.push(add(r, ['another', 'y'.repeat(20_000)]))
  await ticks(60)
  // Neighbours become one.
  await broker.ensureTopic({ name: 'c', partitions: 1, configs: { ...configs, 'segment.bytes': '100000' } })
  await clock.advance(5_000)
  await ticks(300)
  read.letGo()
  await Promise.all([late, ...large])
  const shown = async (of: Broker) => (await readAll(of, 'c', 0)).map(({ offset, key, value }) => [offset, key, value])
  const before = await shown(broker)
  expect(await shown(await open(disk.powerCut()))).toEqual(before)
})

test('bytes that are not what was written are not made durable', async () => {
  // A write-back that failed and pages that were dropped since: zeros are read, and only the file's fsync would say so.
  const { files } = newDisk()
  let isLost = false
  withHandles(files, (file, path) => ({
    ...file,
    write: (...args) => file.write(...args),
    truncate: size => file.truncate(size),
    stat: () => file.stat(),
    close: () => file.close(),
    read: async (into, at, length, position, fresh) => {
      const count = await file.read(into, at, length, position, fresh)
      if (isLost && logOf('t-0')(path)) into.fill(0, at, at + count)
      return count
    },
    datasync: async () => {
      if (isLost && logOf('t-0')(path)) throw Object.assign(new Error('EIO'), { code: 'EIO' })
      return file.datasync()
    },
  }))
  const broker = await opened(files, ['t'])
  await put(broker, 'w', 't', 'one')
  const failing = put(broker, 'w', 't', 'two', () => {
    isLost = true
  })
  await expect(failing).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
})

test('behind a sync of the journal that failed nothing more is committed, what waited for the next entry neither', async () => {
  const { files } = newDisk()
  const broker = await open(files)
  await broker.ensureTopic({ name: 't', partitions: 3, configs: {} })
  for (const i of [0, 1, 2]) await put(broker, `w${i}`, 't', 'first', () => {}, [i])
  const { held, letGo } = gate()
  files.fail({ call: 'datasync', path: isJournal, until: held, error: 'EIO' })
  const results = [0, 1, 2].map(i => put(broker, `w${i}`, 't', `v${i}`, () => {}, [i]).then(() => 'committed', codeOf))
  await ticks(60)
  letGo()
  expect(await Promise.all(results)).toEqual(['COMMIT_UNKNOWN', 'STORAGE_FAILED', 'STORAGE_FAILED'])
})

test('a write into the journal that finds no room (copy on write, thin pools) has the commit synced file by file', async () => {
  const { disk, files } = newDisk()
  const broker = await opened(files, ['t'])
  files.fail({ call: 'write', path: isJournal, error: 'ENOSPC', partialBytes: 100 })
  for (const value of ['one', 'two']) await put(broker, 'w', 't', value)
  expect(await values(await open(disk.powerCut()), 't')).toEqual(['one', 'two'])
})

test('a topic that is deleted does not take commits of others with it', async () => {
  const { disk, files } = newDisk()
  const broker = await opened(files, ['t', 'u'])
  const { held, letGo } = gate()
  files.fail({ call: 'read', path: logOf('t-0'), until: held })
  const commits = [put(broker, 'a', 't', 'x'), put(broker, 'b', 'u', 'x')].map(put =>
    put.then(() => 'committed', codeOf),
  )
  await ticks(60)
  const deleting = broker.deleteTopic('t')
  await ticks(60)
  letGo()
  await deleting
  expect((await Promise.all(commits))[1]).toBe('committed')
  expect(await values(await open(disk.powerCut()), 'u')).toEqual(['x'])
})

test('too many open files once, while a half is emptied, is no end of a partition', async () => {
  const { files } = newDisk()
  const broker = await opened(files, ['t', 'u'], { options: { 'log.open.files.max': 1 } })
  await put(broker, 'w', 't', 'one')
  await put(broker, 'x', 'u', 'one')
  // Recovery points: everything is synced, and the files are closed.
  await clock.advance(61_000)
  await ticks(100)
  files.fail({ call: 'open', path: logOf('t-0'), error: 'EMFILE' })
  for (let i = 0; i < 60; i++) await put(broker, 'x', 'u', `v${i}`)
  await put(broker, 'w', 't', 'two').catch(() => undefined)
  await put(broker, 'w', 't', 'three')
  expect(await values(broker, 't')).toContain('three')
})

test('a start that fails leaves nothing open', async () => {
  const { disk, files } = newDisk()
  const broker = await opened(files, ['t'])
  const transaction = await (await broker.writer('c')).begin()
  transaction.checkpoint([{ connector: 'c', partition: { f: 1 }, value: { a: 1 } }])
  await transaction.commit()
  await broker.close()
  const isOpen = new Set<object>()
  const counting = withHandles(new FaultyFiles(disk), file => {
    const token = {}
    isOpen.add(token)
    const close = file.close.bind(file)
    file.close = () => {
      isOpen.delete(token)
      return close()
    }
    return file
  })
  const path = (p: string) => p.includes('state/connect-offsets')
  counting.fail({ call: 'read', path, error: 'EIO', times: Number.POSITIVE_INFINITY })
  await expect(open(counting)).rejects.toMatchObject({ code: 'EIO' })
  expect(isOpen.size).toBe(0)
})
