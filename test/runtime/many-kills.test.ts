import { expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { KtsError, randomInt, SeededRandom, silentLogger, systemClock } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { Broker } from '../../broker/index.ts'
import { Worker } from '../../runtime/worker.ts'
import { readAll, valuesOf } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'
import { scriptedSource, testTransform } from '../support/runtime-connectors.ts'
import { statefulSink } from '../support/stateful-sink.ts'
import { sinkConfig, sourceConfig, transformConfig, workerConfig } from '../support/worker-config.ts'

const SEEDS = Number(process.env.KTS_MANY_KILLS_SEEDS ?? 2)
const LIVES = 25
const POLLS = 60
const PER_POLL = 3
const CONVERTERS = { 'key.converter': 'bytes', 'value.converter': 'bytes' }
const TOPICS = [
  { name: 't', configs: CONVERTERS },
  { name: 'u', configs: { ...CONVERTERS, 'segment.bytes': '2000' } },
  { name: 'dead', configs: {} },
]
const ALL = Array.from({ length: POLLS * PER_POLL }, (_, i) => String(i))
const isBad = (value: string) => value.endsWith('3') || value.endsWith('4')

const bad = testTransform(record => {
  if (isBad(String(Buffer.from(record.value as Uint8Array)))) throw new Error('not welcome')
  return record
})

function configuration() {
  const script = Array.from({ length: POLLS }, (_, i) => ({ values: ALL.slice(i * PER_POLL, (i + 1) * PER_POLL) }))
  const letters = { 'errors.tolerance': 'all', 'errors.deadletterqueue.topic.name': 'dead' } as const
  const pause = () => new Promise<void>(resolve => setImmediate(resolve))
  const config = workerConfig(
    ['t', 'u'].map(topic => ({ ...sourceConfig(scriptedSource(topic, script, pause).connector), name: `to-${topic}` })),
    [
      sinkConfig(statefulSink('first'), ['t'], letters, [transformConfig(bad)]),
      sinkConfig(statefulSink('second'), ['u']),
    ],
  )
  return { ...config, worker: { ...config.worker, 'offset.flush.interval.ms': 1 } }
}

/** Internal topics roll every few commits and are compacted all the time. */
function open(files: MemoryFiles | FaultyFiles): Promise<Broker> {
  const options = { 'log.cleaner.backoff.ms': 2 }
  return openAsNewProcess({ files, options, internalSegmentBytes: 1500 })
}

async function live(files: MemoryFiles | FaultyFiles, dead: Promise<void>): Promise<void> {
  const broker = await open(files)
  for (const topic of TOPICS) await broker.ensureTopic(topic)
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files, log: silentLogger }
  const worker = await Worker.start(configuration(), environment)
  await Promise.race([worker.finished, dead])
  await worker.stop()
  await broker.close()
}

/** A life that ends by a kill or a power cut at one of its next file calls. Answers the disk as the next one finds it. */
async function killed(disk: MemoryFiles, random: SeededRandom): Promise<MemoryFiles> {
  const at = 1 + randomInt(random, 1500)
  const cut = randomInt(random, 2) === 0
  let after = disk
  let calls = 0
  let die = () => {}
  const dead = new Promise<void>(resolve => (die = resolve))
  const files = new FaultyFiles(disk, () => {
    if (++calls === at && cut) after = disk.powerCut()
    if (calls < at) return
    die()
    throw new KtsError('EIO', 'the process is gone')
  })
  await live(files, dead).catch(error => {
    if (calls < at) throw error
  })
  return after
}

async function check(broker: Broker, place: string): Promise<void> {
  for (const topic of ['t', 'u']) {
    expect(valuesOf(await readAll(broker, topic, 0)), `${place}: records in ${topic}`).toEqual(ALL)
    expect((await broker.checkpoints(`to-${topic}`))[0]?.value, place).toEqual({ next: POLLS })
  }
  const delivered = async (sink: string) => (await broker.checkpoints(sink))[0]?.value
  expect(await delivered('first'), place).toEqual({ values: ALL.filter(value => !isBad(value)) })
  expect(await delivered('second'), place).toEqual({ values: ALL })
  expect(valuesOf(await readAll(broker, 'dead', 0)), `${place}: dead letters`).toEqual(ALL.filter(isBad))
}

test('kills and power cuts all along, while internal topics roll and are compacted: all records once, positions and states with them', async () => {
  const first = Number(process.env.KTS_TEST_SEED ?? 1)
  for (let seed = first; seed < first + SEEDS; seed++) {
    const random = new SeededRandom(seed)
    let disk = new MemoryFiles(random)
    for (let life = 1; life <= LIVES; life++) disk = await killed(disk, random)
    await live(disk, new Promise(() => {}))
    const broker = await open(disk)
    await check(broker, `seed ${seed}`)
    await broker.close()
  }
}, 600_000)
