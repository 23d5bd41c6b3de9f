import { expect, test } from 'vitest'
import { KtsError, nodeFiles, readWhole, SeededRandom, silentLogger, systemClock } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { ReaderEvent } from '../../broker/index.ts'
import { defineOptions, defineSink, type SinkConnector, type SinkTask } from '../../runtime/api/index.ts'
import type { SinkConfig, SourceConfig } from '../../runtime/config/types.ts'
import { SinkTransactions } from '../../runtime/sink-transactions.ts'
import { Worker } from '../../runtime/worker.ts'
import { lines, NEVER, subscription, until, write } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'
import { MemoryBroker } from '../support/memory-broker.ts'
import { collectingSink, countingSource, testTransform } from '../support/runtime-connectors.ts'
import { sinkConfig, sourceConfig, transformConfig, workerConfig } from '../support/worker-config.ts'

const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i))

function environmentOf(broker: MemoryBroker) {
  return { broker, clock: systemClock, random: new SeededRandom(1), files: nodeFiles, log: silentLogger }
}

function start(broker: MemoryBroker, sources: SourceConfig[], sinks: SinkConfig[]): Promise<Worker> {
  return Worker.start(workerConfig(sources, sinks), environmentOf(broker))
}

/** The same sink with some calls replaced; each is handed the task it replaces them of. */
function changed(connector: SinkConnector, change: (task: SinkTask) => Partial<SinkTask>): SinkConnector {
  return defineSink({
    ...connector,
    options: defineOptions({}),
    async open(options, context) {
      const task = await connector.open(options, context)
      return { ...task, ...change(task) }
    },
  })
}

test.each(['preCommit', 'drain'] as const)('a %s that fails with what passes by itself is called again', async call => {
  const broker = new MemoryBroker()
  const sink = collectingSink()
  let failures = 2
  const connector = changed(sink.connector, task => ({
    async [call]() {
      if (failures-- > 0) throw new KtsError('RETRIABLE', 'the store is away')
      return (await task[call]()) as never
    },
  }))
  const source = countingSource('numbers', 50)
  const worker = await start(broker, [sourceConfig(source.connector)], [sinkConfig(connector, ['numbers'])])
  await worker.finished
  expect(sink.delivered).toEqual(numbers(50))
  const status = (await worker.status()).connectors.find(c => c.kind === 'sink')!
  expect([status.state, status.tasks[0]!.restarts, status.counters.retries]).toEqual(['FINISHED', 0, 2])
})

test('partitions that come to a task while it drains are delivered before it finishes', async () => {
  const broker = new MemoryBroker()
  await broker.ensureTopic({ name: 't', partitions: 2, configs: {} })
  await write(broker, 't', 0, lines('a'))
  await write(broker, 't', 1, lines('b'))
  const sink = collectingSink()
  const group = `connect-${sink.connector.name}`
  const other = await broker.subscribe(subscription({ group, member: 'other' }))
  let drains = 0
  const connector = changed(sink.connector, () => ({
    async drain() {
      drains++
      if (drains === 1) await other.close()
    },
  }))
  const worker = await start(broker, [sourceConfig(countingSource('x', 0).connector)], [sinkConfig(connector, ['t'])])
  // The other task takes all, then gives up what the sink is to have.
  await until(other, 'assigned')
  while (drains === 0) await other.poll(5, NEVER).catch(() => undefined)
  await worker.finished
  expect(sink.delivered.sort()).toEqual(['a', 'b'])
})

test('a task has let go of its partitions before another one gets them', async () => {
  const broker = new MemoryBroker()
  await broker.ensureTopic({ name: 't', configs: {} })
  await write(broker, 't', 0, lines('a'))
  const sink = collectingSink()
  sink.beforePut = () => {
    throw new KtsError('CONFIG_INVALID', 'no such bucket')
  }
  const group = `connect-${sink.connector.name}`
  const whileClosing: ReaderEvent['kind'][] = []
  const connector = changed(sink.connector, () => ({
    async close() {
      const other = await broker.subscribe(subscription({ group, member: 'other' }))
      for (let i = 0; i < 3; i++) whileClosing.push((await other.poll(0, NEVER)).kind)
      await other.close()
    },
  }))
  const worker = await start(broker, [sourceConfig(countingSource('x', 0).connector)], [sinkConfig(connector, ['t'])])
  await worker.finished
  expect(whileClosing).toEqual(['idle', 'idle', 'idle'])
})

test('dead letters do not pile up until the next commit is due', async () => {
  const broker = new MemoryBroker()
  await broker.ensureTopic({ name: 't', configs: {} })
  const large = 'x'.repeat(1 << 20)
  for (let i = 0; i < 10; i++) await write(broker, 't', 0, lines(large))
  const letters = { 'errors.tolerance': 'all', 'errors.deadletterqueue.topic.name': 'dead' } as const
  const fails = testTransform(() => {
    throw new Error('nothing is welcome')
  })
  const config = workerConfig([], [sinkConfig(collectingSink().connector, ['t'], letters, [transformConfig(fails)])])
  const worker = await Worker.start(
    { ...config, worker: { ...config.worker, 'offset.flush.interval.ms': 3_600_000 } },
    environmentOf(broker),
  )
  await expect.poll(async () => (await broker.partition('dead', 0)).highWatermark).toBeGreaterThanOrEqual(8)
  await worker.stop()
})

test('state that a task saved at once is replaced by the commit that takes it back', async () => {
  const broker = new MemoryBroker()
  const sink = collectingSink('planning')
  let planned: unknown
  const connector = defineSink({
    ...sink.connector,
    options: defineOptions({}),
    async open(options, context) {
      const task = await sink.connector.open(options as never, context)
      return {
        ...task,
        async put(batches) {
          const { topic, partition } = batches[0]!
          await context.saveState([{ topic, partition, state: { plan: 'upload' } }])
          planned = (await broker.checkpoints('planning'))[0]?.value
          await task.put(batches)
        },
        preCommit: async () => (await task.preCommit()).map(progress => ({ ...progress, state: null })),
      }
    },
  })
  const worker = await start(broker, [sourceConfig(countingSource('t', 5).connector)], [sinkConfig(connector, ['t'])])
  await worker.finished
  expect(planned).toEqual({ plan: 'upload' })
  expect(await broker.checkpoints('planning')).toEqual([])
})

test('what a task saves while a commit is under way waits for its turn', async () => {
  const broker = new MemoryBroker()
  const transactions = new SinkTransactions(await broker.writer('w'))
  const order: string[] = []
  const first = transactions.commit(async () => {
    order.push('first begins')
    await new Promise(resolve => setImmediate(resolve))
    order.push('first is filled')
  })
  const failing = transactions.commit(() => {
    throw new Error('no')
  })
  const third = transactions.commit(() => void order.push('third'))
  await expect(failing).rejects.toThrow('no')
  await Promise.all([first, third])
  expect(order).toEqual(['first begins', 'first is filled', 'third'])
})

test.each([
  ['none', 'FAILED'],
  ['all', 'FINISHED'],
] as const)('records damaged in the log under errors.tolerance %s: %s', async (tolerance, state) => {
  const files = new MemoryFiles(new SeededRandom(1))
  const broker = await openAsNewProcess({ files })
  await broker.ensureTopic({ name: 't', configs: {} })
  for (const value of ['first', 'to be damaged', 'last']) await write(broker, 't', 0, lines(value))
  const path = '/data/t-0/00000000000000000000.log'
  const at = (await readWhole(files, path))!.indexOf('damaged')
  const file = await files.open(path, 'write')
  await file.write([Buffer.from('D')], at)
  await file.close()
  const sink = collectingSink()
  const source = sourceConfig(countingSource('x', 0).connector)
  const config = workerConfig([source], [sinkConfig(sink.connector, ['t'], { 'errors.tolerance': tolerance })])
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files, log: silentLogger }
  const worker = await Worker.start(config, environment)
  await worker.finished
  const status = (await worker.status()).connectors.find(c => c.kind === 'sink')!
  expect(status.state).toBe(state)
  if (tolerance === 'all') {
    expect(sink.delivered).toEqual(['first', 'last'])
    expect([status.events['records.damaged'], status.lag]).toEqual([1, 0])
  } else {
    expect(status.tasks[0]!.trace).toContain('CORRUPT_MESSAGE')
    expect(sink.delivered).not.toContain('last')
  }
  await broker.close()
})
