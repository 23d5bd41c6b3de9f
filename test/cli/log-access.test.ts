import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LocalLog, type LogAccess, RemoteLog } from '../../cli/log-access.ts'
import { openRestServer, type RestServer } from '../../web/index.ts'
import { MemoryBroker } from '../support/memory-broker.ts'
import { noSignals, workerStatus } from '../web/support.ts'

const ALL = {
  partition: undefined,
  offset: 'earliest',
  maxMessages: Number.POSITIVE_INFINITY,
  follow: false,
  timeoutMs: undefined,
} as const
const NEVER = new AbortController().signal

async function read(access: LogAccess, topic: string): Promise<readonly string[]> {
  const values: string[] = []
  for await (const lines of access.records(topic, ALL, NEVER)) {
    expect(lines.endsWith('\n')).toBe(true)
    for (const line of lines.trimEnd().split('\n')) values.push((JSON.parse(line) as { value: string }).value)
  }
  return values
}

describe.each(['over REST', 'opened here'])('a log %s', how => {
  let broker: MemoryBroker
  let server: RestServer
  let access: LogAccess

  beforeEach(async () => {
    broker = new MemoryBroker()
    await broker.ensureTopic({ name: 'a.b', configs: {} })
    const worker = { broker, status: async () => workerStatus([]), signal: noSignals }
    const connectors = () => []
    server = await openRestServer({ host: '127.0.0.1', port: 0, worker, connectors, version: '1', clusterId: 'c' })
    access = how === 'over REST' ? new RemoteLog(`${server.url}/`) : new LocalLog(broker)
  })
  afterEach(async () => {
    await access.close()
    await server.close()
  })

  it('gives back what was sent, in order and whole', async () => {
    const values = Array.from({ length: 3000 }, (_, i) => `${i} grüße {"error_code":1} ${'x'.repeat(i % 500)}`)
    for (let i = 0; i < values.length; i += 1000) {
      await access.send(
        'a.b',
        values
          .slice(i, i + 1000)
          .map(value => `${JSON.stringify({ value })}\n`)
          .join(''),
      )
    }
    expect(await read(access, 'a.b')).toEqual(values)
    expect((await access.topics()).map(({ name, offsets }) => [name, offsets])).toEqual([['a.b', 3000]])
    expect((await access.topic('a.b')).partitionDetails[0]?.highWatermark).toBe(3000)
  })

  it('names an unknown topic, reading and writing', async () => {
    const unknown = { code: 'UNKNOWN_TOPIC_OR_PARTITION', message: expect.stringContaining('there is: a.b') }
    await expect(read(access, 'nope')).rejects.toMatchObject(unknown)
    await expect(access.send('nope', '{"value":"x"}\n')).rejects.toMatchObject(unknown)
    await expect(access.topic('nope')).rejects.toMatchObject(unknown)
  })

  it('makes, changes, empties and deletes topics', async () => {
    await access.createTopic({ name: 'new', partitions: 2, configs: { 'retention.ms': '1000' } })
    await expect(access.createTopic({ name: 'new' })).rejects.toMatchObject({ code: 'INVALID_TOPIC' })
    await access.alterTopic('new', { partitions: 3, configs: { 'retention.ms': null, 'segment.bytes': '5000' } })
    expect(await access.topic('new')).toMatchObject({ partitions: 3, configs: { 'segment.bytes': '5000' } })
    await expect(access.alterTopic('new', { partitions: 2 })).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
    await access.send('new', ['a', 'b', 'c'].map(value => `${JSON.stringify({ value, partition: 1 })}\n`).join(''))
    expect(await access.deleteRecords('new', 1, 2)).toBe(2)
    expect(await read(access, 'new')).toEqual(['c'])
    expect(await access.deleteRecords('new', 1, -1)).toBe(3)
    await access.deleteTopic('new')
    await expect(access.deleteTopic('new')).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC_OR_PARTITION' })
    expect((await access.topics()).map(t => t.name)).toEqual(['a.b'])
  })

  it('an error half way is thrown, not printed as a record', async () => {
    await access.send('a.b', '{"value":"x"}\n')
    const query = { ...ALL, offset: 77 }
    const all = async () => {
      for await (const _ of access.records('a.b', query, NEVER));
    }
    await expect(all()).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' })
  })
})

it('a worker that is gone is told in words', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  const access = new RemoteLog(`http://127.0.0.1:${port}`)
  await expect(access.topics()).rejects.toMatchObject({
    code: 'REST_UNAVAILABLE',
    message: expect.stringContaining(`${port}`),
  })
})

it('a connection that breaks off in the middle of an answer is an error, not an end', async () => {
  const server = createServer((_request, answer) => {
    answer.writeHead(200)
    answer.write('{"value":"a"}\n{"val')
    setTimeout(() => answer.destroy(), 20)
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const access = new RemoteLog(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  await expect(read(access, 't')).rejects.toMatchObject({ code: 'REST_UNAVAILABLE' })
  server.close()
})
