import { afterEach, expect, test } from 'vitest'
import { nodeFiles, partitionForKey, SeededRandom, silentLogger, systemClock } from '../../base/index.ts'
import {
  defineOptions,
  defineSink,
  defineSource,
  type PackedPart,
  packRecords,
  type SourceConnector,
} from '../../runtime/api/index.ts'
import type { SinkConfig, SourceConfig, TopicConfig, WorkerConfig } from '../../runtime/config/types.ts'
import { Worker } from '../../runtime/worker.ts'
import { MemoryBroker } from '../support/memory-broker.ts'
import { testTransform } from '../support/runtime-connectors.ts'
import { sinkConfig, sourceConfig, transformConfig, workerConfig } from '../support/worker-config.ts'

const RECORDS = [
  { key: '{"id":1}', value: '{"id":1,"price":1.50}' },
  { key: '{"id":1}', value: null },
  { key: null, value: '{"id":12345678901234567890}' },
]

/** Packs JSON for topics it makes up as it goes, as change capture does. */
function packingSource(topics: readonly string[]) {
  const told: boolean[] = []
  const connector: SourceConnector = defineSource({
    kind: 'source',
    name: 'packing',
    aliases: [],
    version: '1',
    doc: 'JSON',
    options: defineOptions({}),
    defaultConverter: 'json',
    topics: () => [],
    plan: options => [options],
    async open(_options, _checkpoints, context) {
      const left = [...topics]
      return {
        async poll() {
          const topic = left.shift()
          if (topic === undefined) return 'finished'
          told.push(context.packsJson(topic))
          const part: PackedPart = { kind: 'packed', encoding: 'json', topic, packed: packRecords(RECORDS) }
          return { parts: [part], checkpoints: [{ partition: { of: 'all' }, position: { left: left.length } }] }
        },
        close: async () => {},
      }
    },
  })
  return { connector, told }
}

/** Keeps each batch as it came: its encoding, and its records. */
function keepingSink() {
  const batches: { topic: string; encoding: string; values: unknown[]; keys: unknown[] }[] = []
  const connector = defineSink({
    kind: 'sink',
    name: 'keeping',
    aliases: [],
    version: '1',
    doc: 'keeps',
    options: defineOptions({}),
    async open() {
      const next = new Map<string, { topic: string; partition: number; offset: number }>()
      return {
        open: async () => {},
        async put(put) {
          for (const batch of put) {
            const { topic, partition, encoding, nextOffset } = batch
            const records = batch.records()
            batches.push({ topic, encoding, values: records.map(r => r.value), keys: records.map(r => r.key) })
            next.set(`${topic}-${partition}`, { topic, partition, offset: nextOffset })
          }
        },
        preCommit: async () => [...next.values()],
        drain: async () => {},
        closePartitions: async () => {},
        close: async () => {},
      }
    },
  })
  return { connector, batches }
}

const broker = () => new MemoryBroker()
const workers: Worker[] = []

afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.stop()
})

async function start(on: MemoryBroker, sources: SourceConfig[], sinks: SinkConfig[], more: Partial<WorkerConfig> = {}) {
  const environment = { broker: on, clock: systemClock, random: new SeededRandom(1), files: nodeFiles }
  const config = { ...workerConfig(sources, sinks), ...more }
  const worker = await Worker.start(config, { ...environment, log: silentLogger })
  workers.push(worker)
  return worker
}

async function logged(on: MemoryBroker, topic: string, partition = 0) {
  const { batches } = await on.read(topic, partition, 0, {
    isolation: 'read_committed',
    bytesMax: 1 << 20,
    waitMs: 0,
  })
  const text = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString())
  return batches.flatMap(({ records }) =>
    Array.from({ length: records.count }, (_, i) => ({ key: text(records.key(i)), value: text(records.value(i)) })),
  )
}

test('packed JSON passes as it is, with null keys and null values', async () => {
  const on = broker()
  const { connector, told } = packingSource(['made.up'])
  await (await start(on, [sourceConfig(connector)], [])).finished
  expect(told).toEqual([true])
  expect(await logged(on, 'made.up')).toEqual(RECORDS)
})

test.each([
  ['a transform', {}, [transformConfig(testTransform(record => record))]],
  ['JSON with schemas', { 'value.converter': 'json', 'value.converter.schemas.enable': true } as const, []],
  ['Java’s class', { 'value.converter': 'org.apache.kafka.connect.json.JsonConverter' } as const, []],
  ['text keys', { 'key.converter': 'string' } as const, []],
])('%s looks into it, and says so before', async (_, common, transforms) => {
  const on = broker()
  const { connector, told } = packingSource(['made.up'])
  await (await start(on, [sourceConfig(connector, {}, common, transforms)], [])).finished
  expect(told).toEqual([false])
  const [row, tombstone, long] = await logged(on, 'made.up')
  const inside = (value: string) => ('value.converter' in common ? `{"schema":null,"payload":${value}}` : value)
  expect(row).toEqual({ key: '{"id":1}', value: inside('{"id":1,"price":1.5}') })
  expect(tombstone).toEqual({ key: '{"id":1}', value: null })
  expect(long).toEqual({ key: null, value: inside('{"id":12345678901234567890}') })
})

test('keyed packed records go where Kafka puts their keys', async () => {
  const on = broker()
  const { connector } = packingSource(['made.up', 'made.up'])
  const more = { topics: [topic('made.up', { partitions: 8 })] }
  await (await start(on, [sourceConfig(connector)], [], more)).finished
  const at = partitionForKey(Buffer.from('{"id":1}'), 8)
  expect((await logged(on, 'made.up', at)).filter(r => r.key !== null)).toHaveLength(4)
})

test('a sink by topics.regex reads topics that are made up later, JSON without copying, in another worker too', async () => {
  const on = broker()
  const { connector } = packingSource(['cdc.public.a', 'other', 'cdc.public.b'])
  const sink = keepingSink()
  const config = sinkConfig(sink.connector, [], { topics: undefined, 'topics.regex': 'cdc\\..*' })
  await start(on, [], [config])
  // Declared, so that it is there before its source has said how it writes it.
  await start(on, [sourceConfig(connector)], [], { topics: [topic('cdc.public.a', {})] })
  await expect.poll(() => sink.batches.length, { timeout: 10_000 }).toBe(2)
  expect(sink.batches.map(b => b.topic).sort()).toEqual(['cdc.public.a', 'cdc.public.b'])
  for (const batch of sink.batches) {
    expect(batch.encoding).toBe('json')
    expect(batch.values).toEqual([{ id: 1, price: 1.5 }, null, { id: 12345678901234567890n }])
    expect(batch.keys).toEqual([{ id: 1 }, { id: 1 }, null])
  }
})

test('a topic remembers schemas beside the JSON, and forgets them when its source writes none any more', async () => {
  const on = broker()
  const withSchemas = { 'value.converter': 'json', 'value.converter.schemas.enable': true } as const
  await (await start(on, [sourceConfig(packingSource(['made.up']).connector, {}, withSchemas)], [])).finished
  const sink = keepingSink()
  await start(on, [], [sinkConfig(sink.connector, ['made.up'])])
  await expect.poll(() => sink.batches.length).toBe(1)
  expect(sink.batches[0]).toMatchObject({ encoding: 'other', values: [{ id: 1, price: 1.5 }, null, {}] })
  expect((await on.topic('made.up'))?.configs['value.converter.schemas.enable']).toBe('true')
  await (await start(on, [sourceConfig(packingSource(['made.up']).connector)], [])).finished
  expect((await on.topic('made.up'))?.configs).toEqual({ 'key.converter': 'json', 'value.converter': 'json' })
})

test('what a source has written is shown with it', async () => {
  const on = broker()
  const worker = await start(on, [sourceConfig(packingSource(['b', 'a']).connector)], [])
  await worker.finished
  expect((await worker.status()).connectors[0]?.topics).toEqual(['b', 'a'])
})

function topic(name: string, values: Partial<TopicConfig['values']>): TopicConfig {
  return { name, values: values as TopicConfig['values'], configs: {}, place: { file: '/t.yaml', line: 1, column: 1 } }
}
