import { afterEach, expect, test } from 'vitest'
import { nodeFiles, packRecords, SeededRandom, silentLogger, systemClock } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { EmbeddedBroker } from '../../broker/embedded.ts'
import { decodeHeaders, defineOptions, defineSource } from '../../runtime/api/index.ts'
import type { SourceConfig } from '../../runtime/config/types.ts'
import { Worker } from '../../runtime/worker.ts'
import { readAll } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'
import { recordingLogger } from '../support/recording-logger.ts'
import { collectingSink, testTransform } from '../support/runtime-connectors.ts'
import { sinkConfig, sourceConfig, transformConfig, workerConfig } from '../support/worker-config.ts'

const LARGE = 'x'.repeat(2000)
const LETTERS = { 'errors.tolerance': 'all', 'errors.deadletterqueue.topic.name': 'dead' } as const
const fails = testTransform(() => {
  throw new Error('nothing is welcome')
})

let broker: EmbeddedBroker | undefined

afterEach(() => broker?.close())

/** Runs a source that writes these values in one poll, to a topic whose records may have 1000 bytes. */
async function run(values: readonly string[], common: Partial<SourceConfig['common']>, deadBytesMax = 1 << 20) {
  const log = recordingLogger()
  broker = await openAsNewProcess({ files: new MemoryFiles(new SeededRandom(1)) })
  await broker.ensureTopic({ name: 't', configs: { 'max.message.bytes': '1000' } })
  await broker.ensureTopic({ name: 'dead', configs: { 'max.message.bytes': String(deadBytesMax) } })
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files: nodeFiles, log }
  const topics = [
    { name: 't', values: {}, configs: { 'max.message.bytes': '1000' } },
    { name: 'dead', values: {}, configs: { 'max.message.bytes': String(deadBytesMax) } },
  ]
  const config = { ...workerConfig([sourceConfig(onePoll(values), {}, common)], []), topics } as never
  const worker = await Worker.start(config, environment)
  await worker.finished
  const status = (await worker.status()).connectors[0]!
  return { broker, status, values: (await readAll(broker, 't', 0)).map(r => r.value), log: log.lines }
}

function onePoll(values: readonly string[]) {
  return defineSource({
    kind: 'source',
    name: 'once',
    aliases: [],
    version: '1',
    doc: 'one poll',
    options: defineOptions({}),
    defaultConverter: 'bytes',
    topics: () => ['t'],
    plan: options => [options],
    async open() {
      let polled = false
      return {
        async poll() {
          if (polled) return 'finished'
          polled = true
          const packed = packRecords(values.map(value => ({ value })))
          const checkpoints = [{ partition: { p: 1 }, position: { next: values.length } }]
          return { parts: [{ kind: 'packed', topic: 't', orderKey: 'o', packed }], checkpoints }
        },
        close: async () => {},
      }
    },
  })
}

test('a record above max.message.bytes fails the task by default', async () => {
  const { status, values } = await run(['a', LARGE, 'b'], {})
  expect([status.state, values]).toEqual(['FAILED', []])
  expect(status.tasks[0]!.trace).toContain('max.message.bytes')
})

test('it is one bad record under tolerance all: the others are logged, in order, and their checkpoint with them', async () => {
  const { broker, status, values } = await run(['a', LARGE, 'b', 'c', LARGE, LARGE], { 'errors.tolerance': 'all' })
  expect([status.state, values]).toEqual(['FINISHED', ['a', 'b', 'c']])
  expect(status.counters).toMatchObject({ recordsRead: 6, recordsLogged: 3, recordsSkipped: 3, recordsInFlight: 0 })
  expect(status.counters).toMatchObject({ recordsAbandoned: 0, bytesOut: 3 })
  expect(await broker.checkpoints('once')).toMatchObject([{ value: { next: 6 } }])
})

test('it goes to the dead-letter topic where it fits there', async () => {
  const { broker, status, values } = await run([LARGE, 'a'], LETTERS)
  expect([status.state, values]).toEqual(['FINISHED', ['a']])
  expect(status.counters).toMatchObject({ recordsLogged: 1, recordsDeadLettered: 1, recordsSkipped: 0 })
  expect((await readAll(broker, 'dead', 0)).map(r => r.value)).toEqual([LARGE])
  const options = { isolation: 'read_committed', bytesMax: 1 << 20, waitMs: 0 } as const
  const [batch] = (await broker.read('dead', 0, 0, options)).batches
  const headers = new Map(decodeHeaders(batch!.records.headerBlock(0)!).map(h => [h.key, String(h.value)]))
  expect(headers.get('__connect.errors.stage')).toBe('KAFKA_PRODUCE')
  expect(headers.get('__connect.errors.exception.class.name')).toBe('MESSAGE_TOO_LARGE')
})

test('a dead letter that does not fit either is skipped, counted and told of', async () => {
  const { broker, status, values, log } = await run([LARGE, 'a'], LETTERS, 1500)
  expect([status.state, values]).toEqual(['FINISHED', ['a']])
  expect(status.counters).toMatchObject({ recordsLogged: 1, recordsDeadLettered: 0, recordsSkipped: 1 })
  expect(await readAll(broker, 'dead', 0)).toEqual([])
  const told = log.filter(line => line.level === 'error').map(line => line.message)
  expect(told).toEqual([expect.stringMatching(/does not fit into dead, and its record is lost: .*max\.message\.bytes/)])
})

test('a dead letter of a sink that outgrows its topic by what is said about it does not stop the sink', async () => {
  const { broker } = await run(['a'.repeat(900), 'b'], {}, 1000)
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files: nodeFiles, log: silentLogger }
  const sink = sinkConfig(collectingSink().connector, ['t'], LETTERS, [transformConfig(fails)])
  const topics = ['t', 'dead'].map(name => ({ name, values: {}, configs: { 'max.message.bytes': '1000' } }))
  const worker = await Worker.start({ ...workerConfig([], [sink]), topics } as never, environment)
  const counters = async () => (await worker.status()).connectors[0]!.counters
  await expect.poll(async () => (await readAll(broker, 'dead', 0)).length).toBe(1)
  expect(await counters()).toMatchObject({ recordsRead: 2, recordsDeadLettered: 1, recordsSkipped: 1 })
  await worker.stop()
})
