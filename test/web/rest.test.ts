import { request } from 'node:http'
import { createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KtsError, packRecords } from '../../base/index.ts'
import { openRestServer, type RestServer } from '../../web/index.ts'
import type { WorkerView } from '../../web/worker-view.ts'
import { MemoryBroker } from '../support/memory-broker.ts'
import { connectorConfig, connectorStatus, noSignals, workerStatus } from './support.ts'

const HEADERS = { version: '0.1.0', clusterId: 'c' }
const NDJSON = { 'content-type': 'application/x-ndjson' }

let broker: MemoryBroker
let server: RestServer
let signal: WorkerView['signal']

beforeEach(async () => {
  broker = new MemoryBroker()
  await broker.ensureTopic({ name: 'lines', configs: {} })
  await broker.ensureTopic({ name: 'wide', partitions: 3, configs: {} })
  signal = noSignals
  server = await open(0)
})
afterEach(async () => {
  await server.close()
  await broker.close()
})

function open(port: number, host = '127.0.0.1'): Promise<RestServer> {
  const told: WorkerView['signal'] = (...of) => signal(...of)
  const worker = { broker, status: async () => workerStatus([connectorStatus('s1')]), signal: told }
  const connectors = [connectorConfig('s1', 'source', {})]
  return openRestServer({ ...HEADERS, host, port, worker, connectors: () => connectors })
}

async function write(topic: string, partition: number, values: readonly (string | Buffer | null)[]): Promise<void> {
  const writer = await broker.writer('test')
  const transaction = await writer.begin()
  await transaction.append(topic, partition, packRecords(values.map(value => ({ value, timestamp: 1000 }))))
  await transaction.commit()
  await writer.close()
}

async function lines(path: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const text = await (await fetch(server.url + path)).text()
  return text.split('\n').flatMap(line => (line === '' ? [] : [JSON.parse(line) as Record<string, unknown>]))
}

/** fetch sets Host and Origin itself. */
function statusWith(headers: Readonly<Record<string, string>>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(`${server.url}/connectors`, { headers }, answer => {
      answer.resume()
      resolve(answer.statusCode)
    })
      .on('error', reject)
      .end()
  })
}

describe('who may call', () => {
  it.each(['evil.example', 'evil.example:8083', '127.0.0.1.evil.example', '10.0.0.1', 'localhost.evil.example'])(
    'a page that rebound its name %j to this machine is refused',
    async host => expect(await statusWith({ host })).toBe(403),
  )

  it.each(['localhost', 'LOCALHOST:1', '127.0.0.1:9', '[::1]:80'])(
    'this machine under its name %s is let in',
    async host => {
      expect(await statusWith({ host })).toBe(200)
    },
  )

  it.each(['https://evil.example', 'null', 'http://localhost:1'])('a page of origin %s is refused', async origin => {
    expect(await statusWith({ host: 'localhost:2', origin })).toBe(403)
  })

  it('its own pages are let in', async () => {
    expect(await statusWith({ host: 'localhost:2', origin: 'http://localhost:2' })).toBe(200)
  })

  it.each(['0.0.0.0', '192.168.0.1', 'example.org', '::'])(
    'an address that others reach, %s, is refused',
    async host => {
      await expect(open(0, host)).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining(host),
      })
    },
  )
})

describe('ports', () => {
  it('takes the next one when its own is in use', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise(resolve => taken.once('listening', resolve))
    const { port } = taken.address() as { port: number }
    const other = await open(port)
    expect(Number(new URL(other.url).port)).toBeGreaterThan(port)
    expect(Number(new URL(other.url).port)).toBeLessThanOrEqual(port + 10)
    await other.close()
    taken.close()
  })
})

describe('signals', () => {
  const post = (body: unknown, name = 's1') =>
    fetch(`${server.url}/kts/connectors/${name}/signals`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })

  it('reach the connector with their id, and its answer comes back', async () => {
    signal = async (connector, { id = 'new', type, data }) => ({
      id,
      message: `${connector} ${type} ${JSON.stringify(data)}`,
    })
    const answer = await post({ id: '7', type: 'execute-snapshot', data: { 'data-collections': ['public.a'] } })
    expect(answer.status).toBe(202)
    const message = 's1 execute-snapshot {"data-collections":["public.a"]}'
    expect(await answer.json()).toEqual({ id: '7', message })
    const { id } = (await (await post({ type: 'log' })).json()) as { id: string }
    expect(id).toBe('new')
  })

  it.each([
    ['CONFIG_INVALID', 400],
    ['NOT_RUNNING', 409],
    ['NO_CONNECTOR', 404],
  ])('that cannot be followed (%s) are answered %i with the reason', async (code, status) => {
    signal = () => Promise.reject(new KtsError(code, 'no such table'))
    const answer = await post({ type: 'execute-snapshot' })
    expect(answer.status).toBe(status)
    expect(await answer.json()).toEqual({ error_code: status, message: 'no such table', code })
  })

  it.each([{}, { type: 1 }, { type: 'log', data: [] }, { type: 'log', id: '' }, { type: 'log', other: 1 }, []])(
    'that are malformed are refused: %j',
    async body => expect((await post(body)).status).toBe(400),
  )
})

describe('errors', () => {
  it('never carry a stack, and name what is wrong', async () => {
    const failing = await openRestServer({
      ...HEADERS,
      host: '127.0.0.1',
      port: 0,
      worker: {
        broker,
        status: () => Promise.reject(new Error('the disk is gone\n    at Object.<anonymous> (x.ts:1)')),
        signal,
      },
      connectors: () => [],
    })
    const answer = await fetch(`${failing.url}/kts/status`)
    expect(answer.status).toBe(500)
    expect(await answer.json()).toEqual({ error_code: 500, message: 'the disk is gone', code: 'UNKNOWN' })
    await failing.close()
  })

  it('a body above 1 MiB is refused and nothing of it is written', async () => {
    const body = '{"value":"x"}\n'.repeat(80_000)
    const answer = await fetch(`${server.url}/kts/topics/lines/records`, { method: 'POST', headers: NDJSON, body })
    expect(answer.status).toBe(413)
    expect(await lines('/kts/topics/lines/records')).toEqual([])
  })

  it.each([
    ['{"value":', 400],
    ['[1]', 400],
    ['{"partition":-1}', 400],
    ['{"partition":7}', 404],
    ['{"headers":[{}]}', 400],
  ])('a bad record %s fails the whole request', async (bad, status) => {
    const body = `{"value":"good"}\n${bad}\n`
    const answer = await fetch(`${server.url}/kts/topics/lines/records`, { method: 'POST', headers: NDJSON, body })
    expect(answer.status).toBe(status)
    expect(await lines('/kts/topics/lines/records')).toEqual([])
  })

  it('an unknown topic is named together with those there are', async () => {
    const answer = await fetch(`${server.url}/kts/topics/line`)
    expect(answer.status).toBe(404)
    expect(await answer.json()).toMatchObject({
      code: 'UNKNOWN_TOPIC_OR_PARTITION',
      message: expect.stringContaining('lines, wide'),
    })
  })

  it.each(['offset=x', 'partition=-1', 'maxMessages=1e3', 'offset=1&offset=2'])('query %s is refused', async query => {
    expect((await fetch(`${server.url}/kts/topics/lines/records?${query}`)).status).toBe(400)
  })
})

describe('records', () => {
  it('come back as they were written: bytes, nulls, keys, headers, times', async () => {
    const records = [
      {
        key: 'k',
        value: 'grüße\n"',
        headers: [
          { name: 'h', value: 'v' },
          { name: 'h', value: null },
        ],
        timestamp: 5,
      },
      { key: null, value: null, timestamp: 6 },
      { keyBase64: '/w==', valueBase64: 'gIE=', timestamp: 7 },
    ]
    const body = records.map(record => JSON.stringify(record)).join('\n')
    const answer = await fetch(`${server.url}/kts/topics/lines/records`, { method: 'POST', headers: NDJSON, body })
    expect([answer.status, await answer.json()]).toEqual([201, { topic: 'lines', records: 3 }])
    const read = await lines('/kts/topics/lines/records')
    expect(read.map(({ topic: _t, partition: _p, offset: _o, ...rest }) => rest)).toEqual(records)
  })

  it('JSON values are written compactly and without rounding', async () => {
    const body = '{"value": {"id": 12345678901234567890, "a": [1, 2]}}'
    await fetch(`${server.url}/kts/topics/lines/records`, { method: 'POST', headers: NDJSON, body })
    expect((await lines('/kts/topics/lines/records'))[0]?.value).toBe('{"id":12345678901234567890,"a":[1,2]}')
  })

  it('plain lines are kept byte for byte, empty ones too', async () => {
    const headers = { 'content-type': 'text/plain' }
    const body = Buffer.from([97, 10, 10, 0xff, 13, 10])
    await fetch(`${server.url}/kts/topics/lines/records`, { method: 'POST', headers, body })
    const read = await lines('/kts/topics/lines/records')
    expect(read.map(({ value, valueBase64 }) => value ?? valueBase64)).toEqual(['a', '', '/w0='])
  })

  it('keyed records find the partition that Kafka gives them, others stay together', async () => {
    const body = ['a', 'b', 'c', 'd', 'a'].map(key => JSON.stringify({ key, value: key })).join('\n')
    await fetch(`${server.url}/kts/topics/wide/records`, { method: 'POST', headers: NDJSON, body })
    const read = await lines('/kts/topics/wide/records')
    expect(read).toHaveLength(5)
    expect(new Set(read.filter(({ key }) => key === 'a').map(({ partition }) => partition)).size).toBe(1)
    expect(new Set(read.map(({ partition }) => partition)).size).toBeGreaterThan(1)
  })

  it('begin where asked and end at the limit', async () => {
    await write('lines', 0, ['0', '1', '2', '3'])
    const values = async (query: string) =>
      (await lines(`/kts/topics/lines/records?${query}`)).map(({ value }) => value)
    expect(await values('offset=1&maxMessages=2')).toEqual(['1', '2'])
    expect(await values('offset=latest')).toEqual([])
    expect(await values('maxMessages=0')).toEqual([])
  })

  it('an offset outside the log says so instead of answering nothing', async () => {
    const answer = await fetch(`${server.url}/kts/topics/lines/records?offset=99&follow=true`)
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({ error_code: 400, code: 'OFFSET_OUT_OF_RANGE' })
    expect((await fetch(`${server.url}/kts/topics/lines/records?partition=1`)).status).toBe(404)
  })

  it('with follow, later records of any partition arrive, and silence ends it after its time', async () => {
    const answer = lines('/kts/topics/wide/records?follow=true&maxMessages=2')
    await write('wide', 2, ['late'])
    await write('wide', 1, ['later'])
    expect((await answer).map(({ value }) => value).sort()).toEqual(['late', 'later'])
    expect(await lines('/kts/topics/wide/records?offset=latest&follow=true&timeoutMs=20')).toEqual([])
  })

  it('many are streamed whole and in order', async () => {
    const values = Array.from({ length: 20_000 }, (_, i) => `line ${i} ${'x'.repeat(100)}`)
    for (let i = 0; i < values.length; i += 5000) await write('lines', 0, values.slice(i, i + 5000))
    expect((await lines('/kts/topics/lines/records')).map(({ value }) => value)).toEqual(values)
  })
})

it('a closing server does not wait for those who follow', async () => {
  const following = fetch(`${server.url}/kts/topics/lines/records?follow=true`).then(
    answer => answer.text(),
    () => '',
  )
  await fetch(`${server.url}/kts/topics`)
  await server.close()
  await following.catch(() => {})
  signal = noSignals
  server = await open(0)
})

it('topics tell their size and how far each group has come', async () => {
  await write('lines', 0, ['a', 'b', 'c'])
  const writer = await broker.writer('w')
  const transaction = await writer.begin()
  const reader = await broker.subscribe({
    group: 'connect-archive',
    topics: ['lines'],
    member: 'm',
    isolation: 'read_committed',
    reset: 'earliest',
    partitionBytesMax: 1 << 20,
    bytesMax: 1 << 20,
  })
  await reader.poll(0, new AbortController().signal)
  transaction.offsets(reader.group, [{ topic: 'lines', partition: 0, offset: 2, metadata: '' }])
  await transaction.commit()
  const detail = await (await fetch(`${server.url}/kts/topics/lines`)).json()
  expect(detail).toMatchObject({
    name: 'lines',
    partitions: 1,
    offsets: 3,
    groups: [{ group: 'connect-archive', partition: 0, offset: 2, lag: 1 }],
  })
  await reader.close()
})

describe('changing topics', () => {
  const send = async (method: string, path: string, body: unknown) => {
    const options = { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
    const answer = await fetch(server.url + path, options)
    return [answer.status, ((await answer.json()) as { message?: string }).message]
  }

  it.each([
    ['POST', '/kts/topics', [], 'send a JSON object'],
    ['POST', '/kts/topics', { name: 5 }, '"name" must be a text'],
    ['POST', '/kts/topics', { name: 't', partitions: 0 }, '"partitions" must be a whole number from 1 to 10000'],
    ['POST', '/kts/topics', { name: 't', replicas: 3 }, 'unknown "replicas", expected name, partitions, configs'],
    ['POST', '/kts/topics', { name: 't', configs: { a: null } }, '"configs": "a" must be a text'],
    ['PATCH', '/kts/topics/lines', { allowDestructive: 'yes' }, '"allowDestructive" must be true or false'],
    ['POST', '/kts/topics/lines/delete-records', { partition: 0 }, '"offset" must be a whole number from 0, or -1'],
  ])('%s %s with %j is refused in words', async (method, path, body, words) => {
    const [status, message] = await send(method, path, body)
    expect(status).toBe(400)
    expect(message).toContain(words)
  })

  it('at once, a topic is created by one of many, and each change is kept', async () => {
    const names = Array.from({ length: 20 }, (_, i) => i)
    const created = await Promise.all(names.map(() => send('POST', '/kts/topics', { name: 'new' })))
    expect(created.filter(([status]) => status === 201)).toHaveLength(1)
    expect(created.find(([status]) => status === 400)?.[1]).toContain('topic new exists already')
    const settings = ['segment.ms', 'segment.bytes', 'max.message.bytes', 'index.interval.bytes', 'delete.retention.ms']
    await Promise.all(settings.map(name => send('PATCH', '/kts/topics/new', { configs: { [name]: '5000' } })))
    expect(Object.keys((await broker.topic('new'))!.configs).sort()).toEqual(settings.sort())
  })
})
