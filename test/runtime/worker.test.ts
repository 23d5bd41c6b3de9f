import { afterEach, describe, expect, test } from 'vitest'
import { KtsError, nodeFiles, SeededRandom, silentLogger, systemClock } from '../../base/index.ts'
import { RecordError } from '../../runtime/api/index.ts'
import type { SinkConfig, SourceConfig, TopicConfig } from '../../runtime/config/types.ts'
import { Worker } from '../../runtime/worker.ts'
import { MemoryBroker } from '../support/memory-broker.ts'
import { recordingLogger } from '../support/recording-logger.ts'
import { collectingSink, countingSource, testTransform } from '../support/runtime-connectors.ts'
import { sinkConfig, sourceConfig, transformConfig, workerConfig } from '../support/worker-config.ts'

const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i))
const text = (value: unknown) => Buffer.from(value as Uint8Array).toString()

let broker = new MemoryBroker()
let workers: Worker[] = []

afterEach(async () => {
  for (const worker of workers) await worker.stop()
  workers = []
  broker = new MemoryBroker()
})

async function start(sources: SourceConfig[], sinks: SinkConfig[]): Promise<Worker> {
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files: nodeFiles, log: silentLogger }
  const worker = await Worker.start(workerConfig(sources, sinks), environment)
  workers.push(worker)
  return worker
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise(resolve => setTimeout(resolve, 5))
}

async function values(topic: string): Promise<string[]> {
  const { batches } = await broker.read(topic, 0, 0, { isolation: 'read_committed', bytesMax: 1 << 24, waitMs: 0 })
  return batches.flatMap(b => Array.from({ length: b.records.count }, (_, i) => b.records.value(i)!.toString()))
}

async function counters(worker: Worker, name: string) {
  return (await worker.status()).connectors.find(c => c.name === name)!
}

test('every record of a source reaches the sink once and in order, and the worker ends by itself', async () => {
  const source = countingSource('numbers', 1000)
  const sink = collectingSink()
  const worker = await start([sourceConfig(source.connector)], [sinkConfig(sink.connector, ['numbers'])])
  await worker.finished
  expect(sink.delivered).toEqual(numbers(1000))
  const { counters: read } = await counters(worker, 'counting')
  expect(read).toMatchObject({ recordsRead: 1000, recordsLogged: 1000, recordsInFlight: 0, recordsAbandoned: 0 })
  const { counters: out, lag, state } = await counters(worker, 'collecting')
  expect(out).toMatchObject({ recordsRead: 1000, recordsDelivered: 1000, recordsInFlight: 0 })
  expect([lag, state]).toEqual([0, 'FINISHED'])
})

test('what retention deleted before its delivery is an event of the sink', async () => {
  const sink = collectingSink()
  const worker = await start([], [sinkConfig(sink.connector, ['numbers'])])
  await broker.ensureTopic({ name: 'numbers', configs: {} })
  expect((await counters(worker, 'collecting')).events).toEqual({})
  const { partition } = broker
  broker.partition = async (...place) => ({ ...(await partition.apply(broker, place)), unconsumedDeleted: 7 })
  expect((await counters(worker, 'collecting')).events).toEqual({ 'deleted by retention before delivery': 7 })
})

test('committed is told only what is in the log', async () => {
  const source = countingSource('numbers', 500, 7)
  source.beforePoll = async () => {
    const told = source.committed.at(-1) ?? 0
    const logged = await broker.topic('numbers')
    if (told > 0 && logged !== undefined) expect((await values('numbers')).length).toBeGreaterThanOrEqual(told)
  }
  const worker = await start([sourceConfig(source.connector)], [])
  await worker.finished
  expect(source.committed.at(-1)).toBe(500)
  expect((await counters(worker, 'counting')).state).toBe('FINISHED')
})

test('a topic that is deleted while its source writes is created again, and the source goes on', async () => {
  const source = countingSource('numbers', 300)
  let deleted = false
  source.beforePoll = async position => {
    if (position < 100 || deleted) return
    deleted = true
    await broker.deleteTopic('numbers')
  }
  const worker = await start([sourceConfig(source.connector)], [])
  await worker.finished
  expect((await counters(worker, 'counting')).tasks[0]).toMatchObject({ state: 'FINISHED', restarts: 1 })
  expect((await values('numbers')).at(-1)).toBe('299')
})

test('a topic that has more partitions than its file says keeps them, and the log says so', async () => {
  await broker.ensureTopic({ name: 'wide', partitions: 3, configs: {} })
  const log = recordingLogger()
  const values = { partitions: 2 } as TopicConfig['values']
  const topics = [{ name: 'wide', values, configs: {}, place: { file: '/test.yaml', line: 1, column: 1 } }]
  const config = { ...workerConfig([], []), topics }
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files: nodeFiles, log }
  workers.push(await Worker.start(config, environment))
  expect((await broker.topic('wide'))?.partitions).toBe(3)
  expect(log.lines).toMatchObject([{ level: 'warn', fields: { topic: 'wide', partitions: 3, declared: 2 } }])
})

test('a start that would delete records names every topic, and changes none', async () => {
  for (const name of ['a', 'b', 'c']) await broker.ensureTopic({ name, configs: { 'retention.ms': '9000000000' } })
  const refused: string[] = []
  broker.checkTopic = async ({ name }) => {
    if (name === 'b') return
    refused.push(name)
    throw new KtsError('DESTRUCTIVE_CHANGE', `topic ${name}: shorter`, { details: { topic: name } })
  }
  const sources = ['a', 'b', 'c'].map(topic => sourceConfig(countingSource(topic, 1).connector, { name: topic }))
  await expect(start(sources, [])).rejects.toMatchObject({
    code: 'DESTRUCTIVE_CHANGE',
    message: 'topic a: shorter\ntopic c: shorter',
  })
  expect(refused).toEqual(['a', 'c'])
  expect((await broker.topic('b'))?.configs).toEqual({ 'retention.ms': '9000000000' })
})

test('a source that fails goes on from its committed checkpoint, and nothing is lost', async () => {
  const source = countingSource('numbers', 300)
  let failures = 3
  source.beforePoll = position => {
    if (position === 100 && failures-- > 0) throw new Error('upstream went away')
  }
  const worker = await start([sourceConfig(source.connector)], [])
  await worker.finished
  expect(await values('numbers')).toEqual(numbers(300))
  expect(source.opens).toBe(4)
  expect((await counters(worker, 'counting')).tasks[0]).toMatchObject({ state: 'FINISHED', restarts: 3 })
})

test('a failure that a restart cannot mend leaves the task FAILED and others running', async () => {
  const source = countingSource('numbers', 100)
  const sink = collectingSink()
  sink.beforePut = () => {
    throw new KtsError('CONFIG_INVALID', 'bucket logs does not exist; create it')
  }
  const worker = await start([sourceConfig(source.connector)], [sinkConfig(sink.connector, ['numbers'])])
  await worker.finished
  const status = await counters(worker, 'collecting')
  expect(status.state).toBe('FAILED')
  expect(status.tasks[0]!.trace).toContain('bucket logs does not exist; create it')
  expect(await values('numbers')).toEqual(numbers(100))
})

describe('a sink that fails after every source has ended', () => {
  /** The first put waits for that end. */
  async function failing(failures: number, code: string) {
    const source = countingSource('numbers', 100)
    const sink = collectingSink()
    let left = failures
    let worker: Worker | undefined
    sink.beforePut = async () => {
      await until(async () => worker !== undefined && (await counters(worker, 'counting')).state === 'FINISHED')
      // A turn of the event loop: the worker has told its sinks of the end.
      await new Promise(resolve => setImmediate(resolve))
      if (left-- > 0) throw new KtsError(code, 'nobody may write here')
    }
    worker = await start([sourceConfig(source.connector)], [sinkConfig(sink.connector, ['numbers'])])
    await worker.finished
    return { sink, status: await counters(worker, 'collecting') }
  }

  test('is restarted three times, and delivers everything if that helps', async () => {
    const { sink, status } = await failing(3, 'ACCESS_DENIED')
    expect([status.state, status.tasks[0]!.restarts]).toEqual(['FINISHED', 3])
    expect(sink.delivered).toEqual(numbers(100))
  })

  test('stays FAILED the fourth time, so that the worker ends', async () => {
    const { sink, status } = await failing(Number.POSITIVE_INFINITY, 'ACCESS_DENIED')
    expect([status.state, status.tasks[0]!.restarts]).toEqual(['FAILED', 3])
    expect(status.tasks[0]!.trace).toBe('ACCESS_DENIED: nobody may write here')
    expect(sink.delivered).toEqual([])
    expect(await values('numbers')).toEqual(numbers(100))
  })

  test('is waited for as long as it takes while its failure is of a kind that passes', async () => {
    const { sink, status } = await failing(6, 'RETRIABLE')
    expect([status.state, status.tasks[0]!.restarts]).toEqual(['FINISHED', 0])
    expect(sink.delivered).toEqual(numbers(100))
  })
})

test('a retriable put gets the same batches again, and nothing new in between', async () => {
  const source = countingSource('numbers', 200)
  const sink = collectingSink()
  const seen: number[] = []
  let failures = 2
  sink.beforePut = batches => {
    seen.push(batches[0]!.nextOffset)
    if (failures-- > 0) throw new KtsError('RETRIABLE', 'slow down')
  }
  const worker = await start([sourceConfig(source.connector)], [sinkConfig(sink.connector, ['numbers'])])
  await worker.finished
  expect(seen[1]).toBe(seen[0])
  expect(seen[2]).toBe(seen[0])
  expect(sink.delivered).toEqual(numbers(200))
  expect((await counters(worker, 'collecting')).counters.retries).toBe(2)
})

test('a stopped worker has committed what it read; the next one goes on behind it', async () => {
  const source = countingSource('numbers', 100_000, 100)
  const sink = collectingSink()
  const first = await start([sourceConfig(source.connector)], [sinkConfig(sink.connector, ['numbers'])])
  await until(() => source.committed.length > 3)
  await first.stop()
  expect((await values('numbers')).length).toBe(source.committed.at(-1))
  const done = sink.delivered.length
  const second = await start([sourceConfig(source.connector)], [sinkConfig(sink.connector, ['numbers'])])
  await second.finished
  expect(sink.delivered).toEqual(numbers(100_000))
  expect(sink.opened).toEqual(['numbers-0@0', `numbers-0@${done}`])
})

test('several tasks of a sink share the partitions and deliver everything', async () => {
  broker = new MemoryBroker({ partitions: 6 })
  const source = countingSource('numbers', 3000)
  const sink = collectingSink()
  const worker = await start(
    [sourceConfig(source.connector, {}, { 'partition.by': 'round-robin' })],
    [sinkConfig(sink.connector, ['numbers'], { 'tasks.max': 3 })],
  )
  await worker.finished
  expect(sink.delivered.map(Number).sort((a, b) => a - b)).toEqual(numbers(3000).map(Number))
  expect((await counters(worker, 'collecting')).tasks).toHaveLength(3)
})

describe('bad records', () => {
  const failsOnSeven = testTransform(record => {
    if (text(record.value).endsWith('7')) throw new RecordError('sevens are not welcome')
    return record
  })
  const drops = testTransform(record => (text(record.value).endsWith('7') ? undefined : record))

  test('fail the task by default, and the message says how to go on', async () => {
    const source = countingSource('numbers', 20)
    const worker = await start([sourceConfig(source.connector, {}, {}, [transformConfig(failsOnSeven)])], [])
    await worker.finished
    const { state, restarts, trace } = (await counters(worker, 'counting')).tasks[0]!
    expect([state, restarts]).toEqual(['FAILED', 0])
    expect(trace).toContain('errors.tolerance: all')
  })

  test.each(['source', 'sink'] as const)('of a %s are skipped and counted under tolerance all', async side => {
    const transforms = [transformConfig(failsOnSeven)]
    const source = countingSource('numbers', 100)
    const sink = collectingSink()
    const tolerant = { 'errors.tolerance': 'all' } as const
    const worker = await start(
      [sourceConfig(source.connector, {}, tolerant, side === 'source' ? transforms : [])],
      [sinkConfig(sink.connector, ['numbers'], tolerant, side === 'sink' ? transforms : [])],
    )
    await worker.finished
    expect(sink.delivered).toEqual(numbers(100).filter(n => !n.endsWith('7')))
    const status = await counters(worker, side === 'source' ? 'counting' : 'collecting')
    const { recordsRead, recordsLogged, recordsDelivered, recordsSkipped } = status.counters
    expect([recordsRead, recordsLogged + recordsDelivered, recordsSkipped]).toEqual([100, 90, 10])
  })

  test.each(['source', 'sink'] as const)('of a %s go to the dead-letter topic with bytes and reason', async side => {
    const transforms = [transformConfig(failsOnSeven)]
    const source = countingSource('numbers', 30)
    const sink = collectingSink()
    const letters = { 'errors.tolerance': 'all', 'errors.deadletterqueue.topic.name': 'dead' } as const
    const worker = await start(
      [sourceConfig(source.connector, {}, letters, side === 'source' ? transforms : [])],
      [sinkConfig(sink.connector, ['numbers'], letters, side === 'sink' ? transforms : [])],
    )
    await worker.finished
    expect(await values('dead')).toEqual(['7', '17', '27'])
    const { batches } = await broker.read('dead', 0, 0, { isolation: 'read_committed', bytesMax: 1 << 20, waitMs: 0 })
    const block = batches[0]!.records.headerBlock(0)!.toString()
    expect(block).toContain('__connect.errors.stage')
    expect(block).toContain('TRANSFORMATION')
    expect(block).toContain('sevens are not welcome')
  })

  test('what a transform drops is counted as filtered', async () => {
    const source = countingSource('numbers', 50)
    const worker = await start([sourceConfig(source.connector, {}, {}, [transformConfig(drops)])], [])
    await worker.finished
    const { recordsRead, recordsLogged, recordsFiltered } = (await counters(worker, 'counting')).counters
    expect([recordsRead, recordsLogged, recordsFiltered]).toEqual([50, 45, 5])
  })
})

test('a parser in the source makes the topic JSON, and a sink of a later run reads it as JSON', async () => {
  const parses = testTransform(record => {
    record.value = { number: Number(text(record.value)) }
    return record
  }, true)
  const source = countingSource('numbers', 3)
  await (await start([sourceConfig(source.connector, {}, {}, [transformConfig(parses)])], [])).finished
  expect(await values('numbers')).toEqual(['{"number":0}', '{"number":1}', '{"number":2}'])
  const sink = collectingSink()
  const other = countingSource('other', 1)
  await (await start([sourceConfig(other.connector)], [sinkConfig(sink.connector, ['numbers'])])).finished
  expect(sink.delivered).toEqual(['{"number":0}', '{"number":1}', '{"number":2}'])
})

test('a source pauses while the disk is below its reserve, and goes on by itself', async () => {
  const source = countingSource('numbers', 100)
  broker.setAcceptsAppends(false)
  const worker = await start([sourceConfig(source.connector)], [])
  await new Promise(resolve => setTimeout(resolve, 30))
  expect((await counters(worker, 'counting')).counters.recordsRead).toBe(0)
  broker.setAcceptsAppends(true)
  await worker.finished
  expect(await values('numbers')).toEqual(numbers(100))
})
