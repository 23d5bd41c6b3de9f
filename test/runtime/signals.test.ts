import { afterEach, expect, test } from 'vitest'
import { KtsError, nodeFiles, SeededRandom, silentLogger, systemClock } from '../../base/index.ts'
import { defineOptions, defineSource, sleep, type TaskSignal } from '../../runtime/api/index.ts'
import type { SourceConfig } from '../../runtime/config/types.ts'
import { Worker } from '../../runtime/worker.ts'
import { MemoryBroker } from '../support/memory-broker.ts'
import { countingSource } from '../support/runtime-connectors.ts'
import { sourceConfig, workerConfig } from '../support/worker-config.ts'

const workers: Worker[] = []

afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.stop()
})

async function start(source: SourceConfig, broker = new MemoryBroker()): Promise<Worker> {
  const environment = { broker, clock: systemClock, random: new SeededRandom(1), files: nodeFiles, log: silentLogger }
  const worker = await Worker.start(workerConfig([source], []), environment)
  workers.push(worker)
  return worker
}

/** Waits for ever; remembers signals and pauses. */
function listening() {
  const heard: (TaskSignal | boolean)[] = []
  const connector = defineSource({
    kind: 'source',
    name: 'listening',
    aliases: [],
    version: '1',
    doc: 'listens',
    options: defineOptions({}),
    defaultConverter: 'json',
    topics: () => [],
    plan: options => [options],
    open: async () => ({
      async poll(signal) {
        await sleep(systemClock, 10, signal)
        return 'idle'
      },
      async signal(signal) {
        if (signal.type !== 'log') throw new KtsError('CONFIG_INVALID', `no signal ${signal.type}`)
        heard.push(signal)
        return 'will be logged.'
      },
      paused: paused => void heard.push(paused),
      close: async () => {},
    }),
  })
  return { connector, heard }
}

const running = (worker: Worker) =>
  expect.poll(async () => (await worker.status()).connectors[0]?.state, { timeout: 10_000 }).toBe('RUNNING')

test('a signal reaches the task that runs, with an id, and its answer comes back', async () => {
  const { connector, heard } = listening()
  const worker = await start(sourceConfig(connector))
  await running(worker)
  const { id, message } = await worker.signal('listening', { type: 'log', data: { message: 'hello' } })
  expect(message).toBe('will be logged.')
  expect(heard).toEqual([{ id, type: 'log', data: { message: 'hello' } }])
  expect(id).toMatch(/^[0-9a-f]{32}$/)
  expect((await worker.signal('listening', { id: '7', type: 'log', data: {} })).id).toBe('7')
})

test('a signal that nobody can hear, or follow, is refused with the reason', async () => {
  const worker = await start(sourceConfig(listening().connector))
  await running(worker)
  const send = (connector: string, type: string) => worker.signal(connector, { type, data: {} })
  await expect(send('listening', 'other')).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: 'no signal other' })
  await expect(send('nobody', 'log')).rejects.toMatchObject({ code: 'NO_CONNECTOR' })
  await worker.stop()
  await expect(send('listening', 'log')).rejects.toMatchObject({ code: 'NOT_RUNNING' })
  const deaf = await start(sourceConfig(countingSource('numbers', 1).connector))
  await deaf.finished
  await expect(deaf.signal('counting', { type: 'log', data: {} })).rejects.toMatchObject({ code: 'NOT_RUNNING' })
})

test('a task is told that the disk is full, and that it has room again; so is who asks for the status', async () => {
  const { connector, heard } = listening()
  const broker = new MemoryBroker()
  let room = true
  broker.acceptsAppends = () => room
  const worker = await start(sourceConfig(connector), broker)
  await running(worker)
  const reading = async () => (await worker.status()).connectors[0]?.facts.reading
  expect(await reading()).toBeUndefined()
  room = false
  await expect.poll(() => heard, { timeout: 10_000 }).toEqual([true])
  expect(await reading()).toMatch(/^pauses: .*log\.disk\.reserve\.bytes/)
  room = true
  await expect.poll(() => heard, { timeout: 10_000 }).toEqual([true, false])
  expect(await reading()).toBe('goes on')
})
