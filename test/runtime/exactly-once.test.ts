import { expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { KtsError, SeededRandom, silentLogger, systemClock } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { Broker } from '../../broker/index.ts'
import { Worker } from '../../runtime/worker.ts'
import { readAll, valuesOf } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'
import { scriptedSource, testTransform } from '../support/runtime-connectors.ts'
import { statefulSink } from '../support/stateful-sink.ts'
import { sinkConfig, sourceConfig, transformConfig, workerConfig } from '../support/worker-config.ts'

const POLLS = 5
const PER_POLL = 3
const CONVERTERS = { 'key.converter': 'bytes', 'value.converter': 'bytes' }
const TOPICS = [
  { name: 't', configs: CONVERTERS },
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
  const config = workerConfig(
    [sourceConfig(scriptedSource('t', script).connector)],
    [sinkConfig(statefulSink(), ['t'], letters, [transformConfig(bad)])],
  )
  return { ...config, worker: { ...config.worker, 'offset.flush.interval.ms': 1 } }
}

/** One process: opens the log and runs the pipeline until it has finished or `dead` says so. Topics are there before `opened`. */
async function live(files: MemoryFiles | FaultyFiles, dead: Promise<void>, opened = () => {}): Promise<void> {
  const broker = await openAsNewProcess({ files })
  for (const topic of TOPICS) await broker.ensureTopic(topic)
  opened()
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files, log: silentLogger }
  const worker = await Worker.start(configuration(), environment)
  await Promise.race([worker.finished, dead])
  await worker.stop()
  await broker.close()
}

async function check(broker: Broker, place: string): Promise<void> {
  const records = await readAll(broker, 't', 0)
  expect(valuesOf(records), `${place}: records of the source`).toEqual(ALL)
  expect((await broker.checkpoints('scripted'))[0]?.value, place).toEqual({ next: POLLS })
  const state = (await broker.checkpoints('stateful'))[0]?.value
  expect(state, `${place}: what the sink delivered`).toEqual({ values: ALL.filter(value => !isBad(value)) })
  const letters = valuesOf(await readAll(broker, 'dead', 0))
  expect(letters, `${place}: dead letters`).toEqual(ALL.filter(isBad))
  const [position] = await broker.committed('connect-stateful')
  expect(position!.offset, place).toBeGreaterThan(records.at(-1)!.offset)
  expect(position!.metadata, place).toBe('')
}

type End = 'kill' | 'power cut' | 'failed sync'

/** Runs the pipeline, ends its process at file call `at` (sync `at`), and runs it again to the end. True when the call came. */
async function endedAt(at: number, end: End): Promise<boolean> {
  const disk = new MemoryFiles(new SeededRandom(at))
  let after = disk
  let calls = Number.NEGATIVE_INFINITY
  let die = () => {}
  const dead = new Promise<void>(resolve => (die = resolve))
  const came = () => calls >= at
  const files = new FaultyFiles(disk, call => {
    if (end === 'failed sync' && call !== 'datasync') return
    if (++calls === at && end === 'power cut') after = disk.powerCut()
    if (!came()) return
    die()
    if (end !== 'failed sync') throw new KtsError('EIO', 'the process is gone')
  })
  const opened = () => {
    calls = 0
    if (end === 'failed sync') files.fail({ call: 'datasync', nth: at, error: 'EIO' })
  }
  await live(files, dead, opened).catch(error => {
    if (!came()) throw error
  })
  const ended = came()
  calls = Number.POSITIVE_INFINITY
  await live(after, new Promise(() => {}))
  const broker = await openAsNewProcess({ files: after })
  await check(broker, `${end} ${at}`)
  await broker.close()
  return ended
}

test.each(['kill', 'power cut', 'failed sync'] as const)(
  '%s, at any file call: records once and whole with their positions; state, offset and dead letters of the sink together',
  async end => {
    let at = 1
    for (let missed = 0; missed < 3; at++) if (!(await endedAt(at, end))) missed++
    expect(at).toBeGreaterThan(15)
  },
  120_000,
)
