import { expect, test } from 'vitest'
import { readWhole, SeededRandom, silentLogger, systemClock } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { fileSink } from '../../connectors/file/sink.ts'
import { s3Sink } from '../../connectors/s3/sink.ts'
import { Worker } from '../../runtime/worker.ts'
import { MemoryBroker } from '../support/memory-broker.ts'
import { countingSource } from '../support/runtime-connectors.ts'
import { objectsIn, optionsOf } from '../support/s3-sink.ts'
import { sinkConfig, sourceConfig, workerConfig } from '../support/worker-config.ts'

test('a worker that is stopped and started delivers every record to both sinks, to the file once', async () => {
  const broker = new MemoryBroker()
  const files = new MemoryFiles(new SeededRandom(1))
  const total = 5000
  const source = countingSource('numbers', total, 50)
  const s3 = { ...sinkConfig(s3Sink, ['numbers']), options: optionsOf({ 'flush.size': 700 }) }
  const file = { ...sinkConfig(fileSink, ['numbers']), options: { file: '/out/lines', 'format.class': 'text' } }
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files, log: silentLogger }
  const start = () => Worker.start(workerConfig([sourceConfig(source.connector)], [s3, file]), environment)

  const first = await start()
  await expect.poll(async () => (await objectsIn(files)).size, { timeout: 30_000 }).toBeGreaterThan(2)
  await first.stop()
  const second = await start()
  await second.finished
  const status = await second.status()
  await second.stop()

  const expected = Array.from({ length: total }, (_, i) => `${i}\n`).join('')
  expect((await readWhole(files, '/out/lines'))?.toString()).toBe(expected)
  const objects = [...(await objectsIn(files))].sort(([a], [b]) => (a < b ? -1 : 1))
  expect(objects.map(([, bytes]) => bytes.toString()).join('')).toBe(expected)
  for (const { kind, lag, state } of status.connectors) {
    expect(state).toBe('FINISHED')
    if (kind === 'sink') expect(lag).toBe(0)
  }
})
