import { afterEach, expect, test } from 'vitest'
import { KtsError, packRecords, readWhole, SeededRandom, silentLogger, systemClock } from '../../../base/index.ts'
import { MemoryFiles } from '../../../base/memory-files.ts'
import { verifiableSink, verifiableSource } from '../../../connectors/verifiable/index.ts'
import { packNumbered, readNumbered } from '../../../connectors/verifiable/numbered.ts'
import { Tally } from '../../../connectors/verifiable/tally.ts'
import { Worker } from '../../../runtime/worker.ts'
import { readAll } from '../../support/broker-drivers.ts'
import { MemoryBroker } from '../../support/memory-broker.ts'
import { testContext } from '../../support/task-context.ts'
import { noteTransactions } from '../../support/transaction-log.ts'
import { sinkConfig, sourceConfig, workerConfig } from '../../support/worker-config.ts'

const SOURCE = {
  topics: ['numbers'],
  partitions: 1,
  id: 'v',
  throughput: -1,
  'max.messages': 1000,
  'transaction.records': -1,
  'transaction.abort.every': -1,
  'payload.bytes': 20,
}

const memoryFiles = () => new MemoryFiles(new SeededRandom(1))
const workers: Worker[] = []
afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.stop()
})

async function run(broker: MemoryBroker, files: MemoryFiles, options: object | undefined): Promise<Worker> {
  const sources = options === undefined ? [] : [sourceConfig(verifiableSource, { ...SOURCE, ...options })]
  const sink = { ...sinkConfig(verifiableSink, ['numbers']), name: 'check', options: { 'report.path': '/report.json' } }
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files, log: silentLogger }
  const worker = await Worker.start(workerConfig(sources, [sink]), environment)
  workers.push(worker)
  return worker
}

async function report(files: MemoryFiles): Promise<Record<string, unknown>> {
  return JSON.parse(((await readWhole(files, '/report.json')) ?? Buffer.from('{}')).toString())
}

test('numbers and counts go on after a restart, as if there had been none', async () => {
  const broker = new MemoryBroker()
  const files = memoryFiles()
  for (const max of [1000, 2500]) {
    const worker = await run(broker, files, { 'max.messages': max })
    await worker.finished
    await worker.stop()
    const counts = { records: max, lost: 0, duplicates: 0, disorder: 0, altered: 0 }
    expect(await report(files)).toMatchObject(counts)
    expect((await worker.status()).connectors.find(c => c.name === 'check')!.facts).toMatchObject(counts)
  }
})

test('loss, repetition, disorder, alteration and foreign records in the log are told', async () => {
  const broker = new MemoryBroker()
  const files = memoryFiles()
  await broker.ensureTopic({ name: 'numbers', partitions: 1, configs: {} })
  const writer = await broker.writer('test')
  const transaction = await writer.begin()
  const values = Array.from({ length: 12 }, (_, i) => Buffer.from(packNumbered('s', i, i + 1, 5, -1).value(0)!))
  values[4]![values[4]!.indexOf('x')] = 0x79
  // 2 and 4 never come whole, 3 comes twice, 7 after 8.
  const order = [0, 1, 3, 3, 4, 5, 6, 8, 7, 9, 10, 11].map(i => ({ value: values[i]! }))
  await transaction.append('numbers', 0, packRecords([...order, { value: 'no number' }, { value: null }]))
  await transaction.commit()
  const worker = await run(broker, files, undefined)
  const found = async () => ((await report(files)) as { records?: number }).records === 14
  while (!(await found())) await new Promise(resolve => setTimeout(resolve, 5))
  expect(await report(files)).toMatchObject({ records: 14, lost: 2, duplicates: 1, disorder: 1, altered: 3 })
  expect((await worker.status()).connectors[0]!.state).toBe('RUNNING')
})

test('any flipped bit of a numbered record is noticed', () => {
  const whole = Buffer.from(packNumbered('s"1', 41, 42, 8, -1).value(0)!)
  expect(readNumbered(whole)).toEqual({ source: 's"1', seq: 41, intact: true })
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const altered = Buffer.from(whole)
    altered[bit >> 3]! ^= 1 << (bit & 7)
    expect(readNumbered(altered)?.intact ?? false, `bit ${bit}`).toBe(false)
  }
})

test('a batch holds what was asked for, in order', () => {
  const packed = packNumbered('s', 8, 12, 0, 7)
  const read = Array.from({ length: packed.count }, (_, i) => readNumbered(packed.value(i)!)?.seq)
  expect(read).toEqual([8, 9, 10, 11])
  expect(packed.timestamp(2)).toBe(7)
})

test('more gaps than are remembered still count as lost, also over a restart', () => {
  let tally = new Tally()
  for (let seq = 1; seq < 2000; seq += 2) tally.take(seq)
  expect(tally.summary().lost).toBe(1000)
  tally = Tally.fromJson(JSON.parse(JSON.stringify(tally.toJson())))!
  tally.take(1998)
  expect(tally.summary()).toMatchObject({ records: 1001, lost: 999, disorder: 1, duplicates: 0 })
  expect(tally.summary().gaps.length).toBeLessThanOrEqual(256)
})

test('a state that is not ours is refused with a remedy', async () => {
  const context = { files: memoryFiles(), connector: 'check', report: () => {} }
  const task = await verifiableSink.open({ 'report.path': undefined } as never, context as never)
  const opening = task.open([{ topic: 't', partition: 0, offset: 5, state: { v: 2 } }])
  await expect(opening).rejects.toMatchObject({
    code: 'POSITION_LOST',
    message: expect.stringContaining('another name'),
  })
})

/** Numbers that each partition of each topic has, as a reader of committed records sees them. */
async function numbersOf(broker: MemoryBroker, topics: readonly string[], partitions: number): Promise<number[]> {
  const counts: number[] = []
  for (const topic of topics) {
    for (let partition = 0; partition < partitions; partition++) {
      const read = (await readAll(broker, topic, partition)).map(r => readNumbered(Buffer.from(r.value!))!.seq)
      expect(read).toEqual(read.map((_, i) => i))
      counts.push(read.length)
    }
  }
  return counts
}

const MANY = { topics: ['a', 'b', 'c'], partitions: 8, 'max.messages': 120, 'transaction.records': 12 }

test.each(['poll', 'interval', 'connector'] as const)(
  'whole transactions over all partitions: %s commits none in part, wherever the task fails',
  async boundary => {
    const broker = new MemoryBroker({ partitions: 8 })
    let appends = 0
    const failing = noteTransactions(broker, (writer, event) => {
      // A few times only: an interval may gather more than 97 appends into each transaction, none of which would end.
      if (writer === 'test-verifiable-0' && event.startsWith('append') && ++appends % 97 === 0 && appends < 500)
        throw new KtsError('STORAGE_FAILED', 'the disk is broken now and then')
    })
    const environment = {
      broker: failing,
      clock: systemClock,
      random: new SeededRandom(1),
      files: memoryFiles(),
      log: silentLogger,
    }
    const source = sourceConfig(verifiableSource, { ...SOURCE, ...MANY }, { 'transaction.boundary': boundary })
    const worker = await Worker.start(workerConfig([source], []), environment)
    workers.push(worker)
    let running = true
    void worker.finished.then(() => (running = false))
    while (running) {
      const counts = await numbersOf(broker, MANY.topics, 8)
      // Read one after the other: a later one may have more, and never less.
      expect(counts).toEqual(counts.toSorted((a, b) => a - b))
      expect(counts.filter(c => c % 12 !== 0)).toEqual([])
      await new Promise(resolve => setTimeout(resolve, 1))
    }
    expect(await numbersOf(broker, MANY.topics, 8)).toEqual(Array.from({ length: 24 }, () => 120))
    const { tasks, counters } = (await worker.status()).connectors[0]!
    expect(tasks[0]!.restarts).toBeGreaterThan(0)
    expect(counters.recordsRead).toBe(counters.recordsLogged + counters.recordsAbandoned)
  },
)

test('aborted transactions leave no number, and their numbers come again', async () => {
  const broker = new MemoryBroker({ partitions: 8 })
  const environment = {
    broker,
    clock: systemClock,
    random: new SeededRandom(1),
    files: memoryFiles(),
    log: silentLogger,
  }
  const options = { ...SOURCE, ...MANY, 'transaction.abort.every': 3 }
  const source = sourceConfig(verifiableSource, options, { 'transaction.boundary': 'connector' })
  const worker = await Worker.start(workerConfig([source], []), environment)
  await worker.finished
  expect(await numbersOf(broker, MANY.topics, 8)).toEqual(Array.from({ length: 24 }, () => 120))
  const { counters } = (await worker.status()).connectors[0]!
  // Ten transactions of 288, each third new one aborted once before.
  expect(counters).toMatchObject({ recordsLogged: 2880, recordsAborted: 3 * 288, recordsInFlight: 0 })
})

test('aborts where the connector does not define transactions are refused', async () => {
  const opening = verifiableSource.open(
    { ...SOURCE, ...MANY, 'transaction.abort.every': 3 } as never,
    [],
    testContext(),
  )
  await expect(opening).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
})
