import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openRestServer, type RestServer } from '../../web/index.ts'
import { MemoryBroker } from '../support/memory-broker.ts'
import { sharedData } from '../support/shared-data.ts'
import { connectorConfig, connectorStatus, noSignals, workerStatus } from './support.ts'

interface Step {
  readonly n: number
  readonly method: string
  readonly path: string
  readonly requestHeaders?: Readonly<Record<string, string>>
  readonly status: number
  readonly response?: unknown
}

const golden = sharedData('connect-golden/rest')

// Steps of the transcript whose state can be set up here: s1 and k1 run, f1's task has failed, stopd is stopped.
const STEPS = [2, 3, 7, 8, 12, 13, 65, 66, 67, 68, 69, 70, 71, 72, 73, 78, 79, 80, 81, 82, 83, 84, 85]
const SINK_STEPS = [134, 135, 136]
const STATE_STEPS = [195, 196, 207]

/** Connect's own words about the worker's address and its Java stack traces are not compared. */
function comparable(body: unknown, workerId: string): unknown {
  const text = JSON.stringify(body).replaceAll('127.0.0.1:8083', workerId)
  return JSON.parse(text, (name, value: unknown) => {
    if (name === 'trace' && typeof value === 'string') return value.split('\n', 1)[0]
    // The task's Java class is Connect's alone.
    return name === 'task.class' ? undefined : value
  })
}

const FILE = { type: 'FileStreamSource', file: '/data/in.txt', 'tasks.max': '1', topic: 'lines' }
const SINK = {
  type: 'org.apache.kafka.connect.file.FileStreamSinkConnector',
  file: '/data/out.txt',
  'tasks.max': '1',
  topics: 'lines',
}
const TRACE =
  "org.apache.kafka.connect.errors.ConnectException: Couldn't find or create file '/nonexistent/dir/out.txt' for FileStreamSinkTask"

describe.skipIf(golden === undefined)('the answers of Kafka Connect 4.1.2', () => {
  let server: RestServer
  const steps = new Map<number, Step>()

  beforeAll(async () => {
    for (const line of readFileSync(`${golden}/transcript.jsonl`, 'utf8').trimEnd().split('\n')) {
      const step = JSON.parse(line) as Step
      steps.set(step.n, step)
    }
    const status = workerStatus([
      connectorStatus('s1'),
      connectorStatus('k1', { kind: 'sink' }),
      connectorStatus('f1', {
        kind: 'sink',
        state: 'FAILED',
        tasks: [{ id: 0, state: 'FAILED', trace: TRACE, restarts: 0 }],
      }),
      connectorStatus('stopd', {
        state: 'STOPPED',
        tasks: [{ id: 0, state: 'STOPPED', trace: undefined, restarts: 0 }],
      }),
    ])
    server = await openRestServer({
      host: '127.0.0.1',
      port: 0,
      worker: { broker: new MemoryBroker(), status: async () => status, signal: noSignals },
      connectors: () => [
        connectorConfig('s1', 'source', FILE),
        connectorConfig('k1', 'sink', SINK),
        connectorConfig('f1', 'sink', SINK),
        connectorConfig('stopd', 'source', FILE),
      ],
      version: '4.1.2',
      clusterId: 'AAAAAAAAAAAAAAAAAAAAAA',
    })
  })
  afterAll(() => server?.close())

  it.each([...STEPS, ...SINK_STEPS, ...STATE_STEPS])('step %i is answered alike', async n => {
    const step = steps.get(n)!
    const answer = await fetch(server.url + step.path, {
      method: step.method,
      ...(step.requestHeaders === undefined ? {} : { headers: step.requestHeaders }),
    })
    expect(answer.status).toBe(step.status)
    expect(answer.headers.get('content-type')).toContain('application/json')
    expect(comparable(await answer.json(), new URL(server.url).host)).toEqual(
      comparable(step.response, new URL(server.url).host),
    )
  })

  it('the root names version and cluster', async () => {
    const body = (await (await fetch(server.url)).json()) as object
    expect(Object.keys(body)).toEqual(Object.keys(steps.get(1)?.response as object))
  })

  it('expanded lists hold the same bodies under the same names', async () => {
    const { path, response } = steps.get(77)!
    const body = (await (await fetch(server.url + path)).json()) as { s1: unknown }
    const workerId = new URL(server.url).host
    expect(body.s1).toEqual(comparable((response as { s1: unknown }).s1, workerId))
  })
})
