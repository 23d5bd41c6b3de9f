import { expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { KtsError, nodeFiles, SeededRandom, silentLogger, systemClock } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { Worker } from '../../runtime/worker.ts'
import { readAll } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'
import { countingSource, testTransform } from '../support/runtime-connectors.ts'
import { noteTransactions } from '../support/transaction-log.ts'
import { sourceConfig, transformConfig, workerConfig } from '../support/worker-config.ts'

test('a source that fails while a commit is under way has that commit in full, told and counted', async () => {
  const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
  const broker = await openAsNewProcess({ files })
  await broker.ensureTopic({ name: 'numbers', configs: {} })
  let go = () => {}
  const source = countingSource('numbers', 100)
  const isTopic = (path: string) => path.includes('/numbers-0/')
  files.fail({ call: 'datasync', path: isTopic, until: new Promise<void>(resolve => (go = resolve)) })
  const syncs = files.count('datasync')
  source.beforePoll = async position => {
    if (position < 10) return
    await expect.poll(() => files.count('datasync')).toBeGreaterThan(syncs)
    setTimeout(go, 20)
    throw new KtsError('CONFIG_INVALID', 'upstream is gone for good')
  }
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files: nodeFiles, log: silentLogger }
  const worker = await Worker.start(workerConfig([sourceConfig(source.connector)], []), environment)
  await worker.finished
  const { counters, state } = (await worker.status()).connectors[0]!
  expect([state, source.committed]).toEqual(['FAILED', [10]])
  expect(counters).toMatchObject({ recordsLogged: 10, recordsInFlight: 0, recordsAbandoned: 0 })
  expect(await readAll(broker, 'numbers', 0)).toHaveLength(10)
  expect(await broker.checkpoints('counting')).toMatchObject([{ value: { next: 10 } }])
  await broker.close()
})

test('a source of nothing but bad records waits for its dead letters to be committed, too', async () => {
  const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
  const broker = await openAsNewProcess({ files })
  await broker.ensureTopic({ name: 'dead', configs: {} })
  let go = () => {}
  const isTopic = (path: string) => path.includes('/dead-0/')
  files.fail({ call: 'datasync', path: isTopic, until: new Promise<void>(resolve => (go = resolve)) })
  // Each record is 100 kB of dead letter, and the buffer 1 MiB: beside the one that is being committed the 11th has to wait.
  const source = countingSource('numbers', 40, 1)
  const name = 'n'.repeat(100_000)
  const fails = testTransform(() => {
    throw new Error(name)
  })
  let polls = 0
  source.beforePoll = () => void polls++
  const letters = { 'errors.tolerance': 'all', 'errors.deadletterqueue.topic.name': 'dead' } as const
  const config = workerConfig([sourceConfig(source.connector, {}, letters, [transformConfig(fails)])], [])
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files: nodeFiles, log: silentLogger }
  const worker = await Worker.start(config, environment)
  await expect.poll(() => polls).toBeGreaterThanOrEqual(12)
  for (let turn = 0; turn < 50; turn++) await new Promise(resolve => setImmediate(resolve))
  expect(polls).toBe(12)
  go()
  await worker.finished
  expect(await readAll(broker, 'dead', 0)).toHaveLength(40)
  await broker.close()
})

test('polling and encoding go on while a commit runs, and what has gathered by its end is one transaction', async () => {
  const files = new FaultyFiles(new MemoryFiles(new SeededRandom(1)))
  const embedded = await openAsNewProcess({ files })
  const appends: number[][] = []
  const broker = noteTransactions(embedded, (writer, event) => {
    if (writer !== 'test-counting-0') return
    if (event === 'begin') appends.push([])
    if (event.startsWith('append')) appends.at(-1)!.push(Number(event.split(' ')[2]))
  })
  await broker.ensureTopic({ name: 'numbers', configs: {} })
  const source = countingSource('numbers', 1000)
  let go = () => {}
  const held = new Promise<void>(resolve => (go = resolve))
  source.beforePoll = async position => {
    // From here on a commit takes until `go`: the first one does, which is that of the first poll.
    if (position === 0) files.fail({ call: 'datasync', path: path => path.includes('/journal-'), until: held })
  }
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files: nodeFiles, log: silentLogger }
  const worker = await Worker.start(workerConfig([sourceConfig(source.connector)], []), environment)
  const read = async () => (await worker.status()).connectors[0]!.counters.recordsRead
  await expect.poll(read).toBe(1000)
  expect(source.committed).toEqual([])
  go()
  await worker.finished
  // The task count, the first poll, and all the others.
  const perTransaction = appends.map(lot => lot.reduce((sum, count) => sum + count, 0))
  expect(perTransaction).toEqual([0, 10, 990])
  expect(source.committed.at(-1)).toBe(1000)
  // Of the 99 polls' checkpoints for one partition only the newest is written: one record for each transaction.
  const next = (await readAll(broker, 'connect-offsets', 0)).map(({ value }) => JSON.parse(String(value)).next)
  expect(next.filter(position => position !== undefined)).toEqual([10, 1000])
  await embedded.close()
})

test('of positions for one source partition the last one holds, in whatever order its members stand', async () => {
  const broker = await openAsNewProcess({ files: new MemoryFiles(new SeededRandom(1)) })
  const { connector } = countingSource('numbers', 0)
  const partitions = [
    { a: 1, b: 2 },
    { b: 2, a: 1 },
    { a: 1, b: 2 },
  ]
  const checkpoints = partitions.map((partition, next) => ({ partition, position: { next } }))
  let polls = 0
  const open = async () => ({
    poll: async () => (polls++ === 0 ? { parts: [], checkpoints } : ('finished' as const)),
    close: async () => {},
  })
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files: nodeFiles, log: silentLogger }
  const worker = await Worker.start(workerConfig([sourceConfig({ ...connector, open })], []), environment)
  await worker.finished
  expect(await broker.checkpoints('counting')).toMatchObject([{ value: { next: 2 } }])
  await broker.close()
})
