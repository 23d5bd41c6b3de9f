import { expect, test } from 'vitest'
import { nodeFiles, SeededRandom, silentLogger, systemClock } from '../../base/index.ts'
import { forgetConnector } from '../../runtime/forget-connector.ts'
import { Worker } from '../../runtime/worker.ts'
import { MemoryBroker } from '../support/memory-broker.ts'
import { countingSource } from '../support/runtime-connectors.ts'
import { sourceConfig, workerConfig } from '../support/worker-config.ts'

async function ranOnce(broker: MemoryBroker): Promise<void> {
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files: nodeFiles, log: silentLogger }
  const worker = await Worker.start(workerConfig([sourceConfig(countingSource('t', 20).connector)], []), environment)
  await worker.finished
  await worker.stop()
}

test('nothing of a connector is left, however often it is forgotten', async () => {
  const broker = new MemoryBroker()
  await ranOnce(broker)
  expect(await forgetConnector(broker, 'counting')).toEqual(['forgot 1 checkpoint'])
  for (const name of ['counting', '#tasks']) {
    expect((await broker.checkpoints(name)).filter(({ value }) => value !== null)).toEqual([])
  }
  expect(await forgetConnector(broker, 'counting')).toEqual([])
})

test('a task that was left running cannot bring its positions back', async () => {
  const broker = new MemoryBroker()
  await ranOnce(broker)
  const left = await broker.writer('test-counting-0')
  const transaction = await left.begin()
  transaction.checkpoint([{ connector: 'counting', partition: { source: 'one' }, value: { next: 5 } }])
  await forgetConnector(broker, 'counting')
  await expect(transaction.commit()).rejects.toMatchObject({ code: 'FENCED' })
  expect((await broker.checkpoints('counting')).filter(({ value }) => value !== null)).toEqual([])
})

test('one that was cut short half way is done by the next', async () => {
  const broker = new MemoryBroker()
  await ranOnce(broker)
  const { writer } = broker
  broker.writer = (id, options) =>
    id === 'counting-delete' ? Promise.reject(new Error('killed')) : writer.call(broker, id, options)
  await expect(forgetConnector(broker, 'counting')).rejects.toThrow('killed')
  broker.writer = writer
  expect(await forgetConnector(broker, 'counting')).toEqual(['forgot 1 checkpoint'])
})
