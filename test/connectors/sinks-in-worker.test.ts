import { expect, test } from 'vitest'
import { readWhole, SeededRandom, silentLogger, systemClock } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import { fileSink } from '../../connectors/file/sink.ts'
import { s3Sink } from '../../connectors/s3/sink.ts'
import { Worker } from '../../runtime/worker.ts'
import { MemoryBroker } from '../support/memory-broker.ts'
import { errorXml, FakeS3 } from '../support/fake-s3.ts'
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

test('a bucket that was deleted stops the sink only until it is made anew', async () => {
  const fake = new FakeS3()
  const missing = { kind: 'status', status: 404, body: errorXml('NoSuchBucket') } as const
  fake.fault = () => missing
  const options = optionsOf({
    'store.url': await fake.start(),
    's3.bucket.name': 'logs',
    'aws.access.key.id': 'a',
    'aws.secret.access.key': 's',
    'flush.size': 10,
  })
  const environment = {
    broker: new MemoryBroker(),
    clock: systemClock,
    random: new SeededRandom(1),
    files: new MemoryFiles(new SeededRandom(1)),
    log: silentLogger,
  }
  // Records go on for ever: the pipeline does not end while the bucket is away.
  const source = countingSource('numbers', Number.POSITIVE_INFINITY, 5)
  source.beforePoll = () => new Promise(resolve => setTimeout(resolve, 5))
  const sink = { ...sinkConfig(s3Sink, ['numbers']), options }
  const worker = await Worker.start(workerConfig([sourceConfig(source.connector)], [sink]), environment)
  const sinkTask = async () => (await worker.status()).connectors.find(({ kind }) => kind === 'sink')?.tasks[0]
  try {
    await expect
      .poll(async () => (await sinkTask())?.trace, { timeout: 30_000 })
      .toMatch(/BUCKET_MISSING.*create the bucket/)
    await expect.poll(async () => (await sinkTask())?.restarts, { timeout: 30_000 }).toBeGreaterThan(0)
    expect(fake.objects.size).toBe(0)
    fake.fault = () => undefined
    await expect.poll(() => fake.objects.size, { timeout: 30_000 }).toBeGreaterThan(2)
  } finally {
    await worker.stop()
    await fake.stop()
  }
})
