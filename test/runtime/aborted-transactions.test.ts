import { afterEach, expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { packRecords, SeededRandom, silentLogger, systemClock, writeWhole } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { Broker, GroupMember } from '../../broker/index.ts'
import { fileSource } from '../../connectors/file/source.ts'
import { verifiableSource } from '../../connectors/verifiable/index.ts'
import { defineOptions, defineSource } from '../../runtime/api/index.ts'
import type { SinkConfig, SourceConfig } from '../../runtime/config/types.ts'
import { Worker } from '../../runtime/worker.ts'
import { lines, readAll, rejection, valuesOf, write } from '../support/broker-drivers.ts'
import { unaccounted } from '../support/conservation.ts'
import { openAsNewProcess } from '../support/embedded.ts'
import { collectingSink, countingSource, scriptedSource, testTransform } from '../support/runtime-connectors.ts'
import { noteTransactions } from '../support/transaction-log.ts'
import { sinkConfig, sourceConfig, transformConfig, workerConfig } from '../support/worker-config.ts'

const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i))
const closing: { close(): Promise<void> }[] = []

afterEach(async () => {
  for (const each of closing.splice(0).reverse()) await each.close()
})

async function open(
  files: MemoryFiles | FaultyFiles = new MemoryFiles(new SeededRandom(1)),
  parts: { readonly journalBytes?: number } = {},
): Promise<Broker> {
  const broker = await openAsNewProcess({ files, ...parts })
  closing.push(broker)
  return broker
}

async function start(
  broker: Broker,
  sources: SourceConfig[],
  sinks: SinkConfig[],
  worker: Partial<ReturnType<typeof workerConfig>['worker']> = {},
): Promise<Worker> {
  const config = workerConfig(sources, sinks)
  const files = new MemoryFiles(new SeededRandom(1))
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files, log: silentLogger }
  const started = await Worker.start({ ...config, worker: { ...config.worker, ...worker } }, environment)
  closing.push({ close: () => started.stop() })
  return started
}

async function statusOf(worker: Worker, name: string) {
  return (await worker.status()).connectors.find(c => c.name === name)!
}

test.each(['numbers-0', '__transaction_state-0', 'connect-offsets-0'])(
  'a lot that is aborted because %s could not be written leaves nothing to readers and is read again, none twice',
  async directory => {
    const restarts = await Promise.all([1, 2, 3, 4].map(nth => failedAt(directory, nth)))
    expect(Math.max(...restarts)).toBeGreaterThan(0)
  },
)

/** Runs a pipeline whose `nth` write to a log fails for want of room, and answers how often its task was restarted. */
async function failedAt(directory: string, nth: number): Promise<number> {
  const files = new FaultyFiles(new MemoryFiles(new SeededRandom(nth)))
  // With a journal the transaction log is not written by a commit.
  const broker = await open(files, { journalBytes: 0 })
  await broker.ensureTopic({ name: 'numbers', configs: {} })
  const inside = (path: string) => path.includes(`/${directory}/`) && path.endsWith('.log')
  files.fail({ call: 'write', path: inside, nth, error: 'ENOSPC', partialBytes: 20 })
  const bad = testTransform(record => {
    if (
      Buffer.from(record.value as Uint8Array)
        .toString()
        .endsWith('7')
    )
      throw new Error('bad')
    return record
  })
  const letters = { 'errors.tolerance': 'all', 'errors.deadletterqueue.topic.name': 'dead' } as const
  const source = sourceConfig(countingSource('numbers', 100).connector, {}, letters, [transformConfig(bad)])
  const worker = await start(broker, [source], [])
  await worker.finished
  const good = numbers(100).filter(n => !n.endsWith('7'))
  expect(valuesOf(await readAll(broker, 'numbers', 0)), `write ${nth}`).toEqual(good)
  expect(valuesOf(await readAll(broker, 'dead', 0)), `write ${nth}`).toHaveLength(10)
  const { counters, state, tasks } = await statusOf(worker, 'counting')
  expect([state, unaccounted(counters), counters.recordsInFlight]).toEqual(['FINISHED', 0, 0])
  expect(counters).toMatchObject({ recordsLogged: 90, recordsDeadLettered: 10 })
  return tasks[0]!.restarts
}

test('the task of an earlier plan that no longer exists is fenced before any task opens, and its transaction aborted', async () => {
  const broker = await open()
  const options = {
    topics: ['a', 'b', 'c'],
    partitions: 1,
    id: 'v',
    throughput: -1,
    'max.messages': 100,
    'transaction.records': -1,
    'transaction.abort.every': -1,
    'payload.bytes': 10,
  }
  const three = await start(broker, [sourceConfig(verifiableSource, options, { 'tasks.max': 3 })], [])
  await three.finished
  // A task of the first plan that hangs: it has written, and not committed.
  const hanging = await broker.writer('test-verifiable-2')
  const transaction = await hanging.begin()
  await transaction.append('c', 0, lines('never'))
  transaction.checkpoint([{ connector: 'verifiable', partition: { id: 'v', topic: 'c', partition: 0 }, value: null }])
  const one = await start(
    broker,
    [sourceConfig(verifiableSource, { ...options, 'max.messages': 150 }, { 'tasks.max': 1 })],
    [],
  )
  await one.finished
  expect(await rejection(transaction.commit())).toMatchObject({ code: 'FENCED' })
  for (const topic of options.topics) {
    const values = valuesOf(await readAll(broker, topic, 0))
    expect(values).toHaveLength(150)
    expect(values).not.toContain('never')
  }
})

test('aborted records and markers leave no lag, and an idle sink commits nothing', async () => {
  const events: string[] = []
  const broker = noteTransactions(await open(), (writer, event) => events.push(`${writer} ${event}`))
  await broker.ensureTopic({ name: 't', configs: {} })
  await write(broker, 't', 0, lines('a', 'b'))
  const sink = collectingSink()
  const worker = await start(broker, [], [sinkConfig(sink.connector, ['t'])])
  const lag = async () => (await statusOf(worker, 'collecting')).lag
  await expect.poll(lag).toBe(0)
  const writer = await broker.writer('other')
  const committed = await writer.begin()
  await committed.append('t', 0, lines('c'))
  await committed.commit()
  // Syncs the marker behind the record, so that it is readable and nothing else is.
  const positions = await writer.begin()
  positions.checkpoint([{ connector: 'other', partition: { p: 1 }, value: { at: 1 } }])
  await positions.commit()
  // Two records, a marker, a record, a marker.
  expect((await broker.partition('t', 0)).lastStableOffset).toBe(5)
  await expect.poll(async () => (await broker.committed('connect-collecting'))[0]?.offset).toBe(5)
  const aborted = await writer.begin()
  await aborted.append('t', 0, lines('gone', 'gone too'))
  await aborted.abort()
  await write(broker, 't', 0, lines('d'))
  await expect.poll(async () => (await broker.committed('connect-collecting'))[0]?.offset).toBe(10)
  expect(await lag()).toBe(0)
  const commits = () => events.filter(e => e === 'test-collecting-0 commit').length
  const before = commits()
  await new Promise(resolve => setTimeout(resolve, 300))
  expect(commits()).toBe(before)
  expect(sink.delivered).toEqual(['a', 'b', 'c', 'd'])
})

test('a source that aborts all it reads leaves its sink without a record, finished and without lag', async () => {
  const broker = await open()
  const script = Array.from({ length: 5 }, (_, i) => ({ values: [String(i)], transaction: 'abort' as const }))
  const source = sourceConfig(scriptedSource('t', script).connector, {}, { 'transaction.boundary': 'connector' })
  const sink = collectingSink()
  const worker = await start(broker, [source], [sinkConfig(sink.connector, ['t'])])
  await worker.finished
  const { lag, state, counters } = await statusOf(worker, 'collecting')
  expect([lag, state, counters.recordsRead]).toEqual([0, 'FINISHED', 0])
  const read = (await statusOf(worker, 'scripted')).counters
  expect([read.recordsAborted, unaccounted(read)]).toEqual([5, 0])
})

test('a sink ends although the log has a gap at its end, where weaker durability lost what a group had read', async () => {
  const files = new MemoryFiles(new SeededRandom(1))
  const before = await openAsNewProcess({ files })
  await before.ensureTopic({ name: 't', configs: { durability: 'os' } })
  const tool: GroupMember = { group: 'another', member: 'tool', generation: -1 }
  const transaction = await (await before.writer('w')).begin()
  transaction.offsets(tool, [{ topic: 't', partition: 0, offset: 7, metadata: '' }])
  await transaction.commit()
  await before.close()
  const broker = await open(files)
  expect((await broker.partition('t', 0)).highWatermark).toBe(7)
  const sink = collectingSink()
  const worker = await start(
    broker,
    [sourceConfig(countingSource('t', 20).connector)],
    [sinkConfig(sink.connector, ['t'])],
  )
  await worker.finished
  expect(sink.delivered).toEqual(numbers(20))
  expect((await statusOf(worker, 'collecting')).lag).toBe(0)
})

test('a record without a key is one bad record where the topic is compacted', async () => {
  const broker = await open()
  await broker.ensureTopic({ name: 'state', configs: { 'cleanup.policy': 'compact' } })
  const records = packRecords([{ key: 'a', value: '1' }, { value: '2' }, { value: '3' }, { key: 'b', value: '4' }])
  let polled = false
  const source = defineSource({
    ...countingSource('state', 0).connector,
    name: 'keyed',
    options: defineOptions({}),
    open: async () => ({
      poll: async () => {
        if (polled) return 'finished'
        polled = true
        const parts = [{ kind: 'packed', topic: 'state', partition: 0, packed: records }] as const
        return { parts, checkpoints: [{ partition: { p: 1 }, position: { next: 4 } }] }
      },
      close: async () => {},
    }),
  })
  const letters = { 'errors.tolerance': 'all', 'errors.deadletterqueue.topic.name': 'dead' } as const
  const config = { name: 'state', values: {}, configs: { 'cleanup.policy': 'compact' } }
  const environment = {
    broker,
    clock: systemClock,
    random: new SeededRandom(1),
    files: new MemoryFiles(new SeededRandom(1)),
    log: silentLogger,
  }
  const worker = await Worker.start(
    { ...workerConfig([sourceConfig(source, {}, letters)], []), topics: [config] } as never,
    environment,
  )
  await worker.finished
  expect(valuesOf(await readAll(broker, 'state', 0))).toEqual(['1', '4'])
  expect(valuesOf(await readAll(broker, 'dead', 0))).toEqual(['2', '3'])
  const { counters } = await statusOf(worker, 'keyed')
  expect(counters).toMatchObject({ recordsLogged: 2, recordsDeadLettered: 2 })
})

test('without transactions sources are at least once: everything arrives, also after a failed append', async () => {
  const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
  const broker = await open(files)
  await broker.ensureTopic({ name: 'numbers', configs: {} })
  const inside = (path: string) => path.includes('/connect-offsets-0/')
  files.fail({ call: 'write', path: inside, nth: 3, error: 'ENOSPC' })
  const sink = collectingSink()
  const source = sourceConfig(countingSource('numbers', 100).connector)
  const worker = await start(broker, [source], [sinkConfig(sink.connector, ['numbers'])], {
    'exactly.once.source.support': 'disabled',
  })
  await worker.finished
  expect([...new Set(sink.delivered)]).toEqual(numbers(100))
  const { batches } = await broker.read('numbers', 0, 0, { isolation: 'read_uncommitted', bytesMax: 1, waitMs: 0 })
  expect(batches[0]!.records.offset(0)).toBe(0)
})

test('lines of files are in the log once, in order, however often a commit fails', async () => {
  const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
  const broker = await open(files)
  const input = new MemoryFiles(new SeededRandom(2))
  await input.mkdir('/in')
  const lines = (name: string) => Array.from({ length: 2000 }, (_, i) => `${name} ${i}`)
  for (const name of ['a', 'b']) await writeWhole(input, `/in/${name}.log`, Buffer.from(`${lines(name).join('\n')}\n`))
  const options = {
    paths: ['/in/*.log'],
    exclude: [],
    topic: 'lines',
    'start.position': 'beginning',
    'at.end': 'stop',
    'max.line.bytes': 1000,
    // Small, so that there are many polls.
    'batch.bytes': 1024,
    'poll.interval.ms': 1000,
    'rotate.wait.ms': 1000,
  }
  await broker.ensureTopic({ name: 'lines', configs: {} })
  const inside = (path: string) => /\/(lines|connect-offsets|__transaction_state)-0\/.*\.log$/.test(path)
  // Of two that follow each other one at least is more than a marker, which is only written again.
  for (const nth of [5, 6, 12, 13, 20, 21])
    files.fail({ call: 'write', path: inside, nth, error: 'ENOSPC', partialBytes: 30 })
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files: input, log: silentLogger }
  const worker = await Worker.start(workerConfig([sourceConfig(fileSource, options)], []), environment)
  closing.push({ close: () => worker.stop() })
  await worker.finished
  const { tasks, counters } = await statusOf(worker, 'file')
  expect(tasks[0]!.restarts).toBeGreaterThan(0)
  expect([counters.recordsLogged, unaccounted(counters)]).toEqual([4000, 0])
  const values = valuesOf(await readAll(broker, 'lines', 0))
  for (const name of ['a', 'b']) expect(values.filter(v => v!.startsWith(name))).toEqual(lines(name))
})
