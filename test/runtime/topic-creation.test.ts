import { expect, test } from 'vitest'
import type { SourceConfig } from '../../runtime/config/types.ts'
import { Topics } from '../../runtime/topics.ts'
import { MemoryBroker } from '../support/memory-broker.ts'
import { collectingSink, countingSource } from '../support/runtime-connectors.ts'
import { sinkConfig, sourceConfig, workerConfig } from '../support/worker-config.ts'

const LARGE = { 'max.message.bytes': '8388608' }

/** One that cannot say before what it writes, as a database's. */
function openSource(): SourceConfig {
  const { connector } = countingSource('numbers', 1)
  const logs = { include: ['.*_log'], exclude: ['audit_log'], partitions: 5, configs: {} }
  const other = { include: ['.*'], exclude: [], partitions: 3, configs: LARGE }
  return { ...sourceConfig({ ...connector, topics: () => [] }), topicCreation: [logs, other] }
}

test('topic.creation.default is of topics that a source is the first to write, and of no other', async () => {
  const broker = new MemoryBroker()
  await broker.ensureTopic({ name: 'old', partitions: 1, configs: {} })
  const source = openSource()
  const topics = new Topics(broker, workerConfig([source], []))
  for (const name of ['new', 'old']) await topics.ensure(name, source)
  expect(await broker.topic('new')).toMatchObject({ partitions: 3, configs: LARGE })
  expect((await broker.topic('old'))!.configs).not.toHaveProperty('max.message.bytes')
  expect(await broker.topic('old')).toMatchObject({ partitions: 1 })
})

test('a topic is made as the first group says that it is of', async () => {
  const broker = new MemoryBroker()
  const source = openSource()
  const topics = new Topics(broker, workerConfig([source], []))
  for (const name of ['web_log', 'audit_log', 'web_log_old']) await topics.ensure(name, source)
  expect(await broker.topic('web_log')).toMatchObject({ partitions: 5 })
  expect((await broker.topic('web_log'))!.configs).not.toHaveProperty('max.message.bytes')
  for (const name of ['audit_log', 'web_log_old']) {
    expect(await broker.topic(name)).toMatchObject({ partitions: 3, configs: LARGE })
  }
})

test('a topic that a sink waits for is made as its source would make it', async () => {
  const broker = new MemoryBroker()
  const sink = collectingSink()
  const topics = new Topics(broker, workerConfig([openSource()], [sinkConfig(sink.connector, ['shop.orders'])]))
  await topics.createConfigured()
  expect(await broker.topic('shop.orders')).toMatchObject({ partitions: 3, configs: LARGE })
})

test('a declared topic takes its own settings alone', async () => {
  const broker = new MemoryBroker()
  const source = openSource()
  const config = workerConfig([source], [])
  const declared = { name: 'declared', values: { partitions: 2 }, configs: {}, place: source.place }
  const topics = new Topics(broker, { ...config, topics: [declared as never] })
  await topics.createConfigured()
  await topics.ensure('declared', source)
  expect(await broker.topic('declared')).toMatchObject({ partitions: 2 })
  expect((await broker.topic('declared'))!.configs).not.toHaveProperty('max.message.bytes')
})
