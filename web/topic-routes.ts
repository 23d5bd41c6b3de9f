import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { badBody, objectBody } from './bodies.ts'
import { errorBody, HttpError, httpMessage } from './errors.ts'
import { Producer } from './producer.ts'
import { type RecordQuery, readRecords } from './read-records.ts'
import { parseRecordLines, plainRecords } from './record-lines.ts'
import { alterTopic, createTopic, deleteRecords, deleteTopic } from './topic-admin.ts'
import { describeTopic, listTopics } from './topics.ts'
import type { WorkerView } from './worker-view.ts'

/** As num.partitions. */
const PARTITIONS_MAX = 10_000

interface OneTopic {
  Params: { topic: string }
  Querystring: Readonly<Record<string, string | string[] | undefined>>
}

/** Our own endpoints below `/kts`: the worker's whole status, and a look into the log. */
export async function topicRoutes(app: FastifyInstance, options: { worker: WorkerView }): Promise<void> {
  const { worker } = options
  const producer = new Producer(worker.broker)
  app.addHook('onClose', () => producer.close())
  for (const type of ['application/x-ndjson', 'text/plain']) {
    app.addContentTypeParser(type, { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  }

  app.get('/kts/status', () => worker.status())
  app.get('/kts/topics', () => listTopics(worker.broker))
  app.get<OneTopic>('/kts/topics/:topic', ({ params }) => describeTopic(worker.broker, params.topic))

  app.post('/kts/topics', async (request, reply) => {
    const body = objectBody(request.body, ['name', 'partitions', 'configs'])
    if (typeof body.name !== 'string') throw badBody('"name" must be a text')
    const topic = {
      name: body.name,
      partitions: partitionCount(body.partitions),
      configs: settings(body.configs, false),
    }
    await createTopic(worker.broker, topic)
    return reply.code(201).send(await describeTopic(worker.broker, body.name))
  })
  app.patch<OneTopic>('/kts/topics/:topic', async ({ params, body }) => {
    const { partitions, configs, allowDestructive } = objectBody(body, ['partitions', 'configs', 'allowDestructive'])
    if (allowDestructive !== undefined && typeof allowDestructive !== 'boolean')
      throw badBody('"allowDestructive" must be true or false')
    const change = { partitions: partitionCount(partitions), configs: settings(configs, true), allowDestructive }
    await alterTopic(worker.broker, params.topic, change)
    return describeTopic(worker.broker, params.topic)
  })
  app.delete<OneTopic>('/kts/topics/:topic', async ({ params }, reply) => {
    await deleteTopic(worker.broker, params.topic)
    return reply.code(204).send()
  })
  app.post<OneTopic>('/kts/topics/:topic/delete-records', async ({ params, body }) => {
    const { partition, offset } = objectBody(body, ['partition', 'offset'])
    if (!isWhole(partition, 0)) throw badBody('"partition" must be a whole number from 0')
    if (!isWhole(offset, -1)) throw badBody('"offset" must be a whole number from 0, or -1 for all there is')
    return { logStartOffset: await deleteRecords(worker.broker, params.topic, partition, offset) }
  })

  app.get<OneTopic>('/kts/topics/:topic/records', async (request, reply) => {
    const query = recordQuery(request.query)
    const { topic } = request.params
    const gone = new AbortController()
    reply.raw.on('close', () => gone.abort())
    const lines = await readRecords(worker.broker, topic, query, gone.signal)
    reply.type('application/x-ndjson')
    return Readable.from(linesOrError(lines), { objectMode: true })
  })

  app.post<OneTopic>('/kts/topics/:topic/records', async (request, reply) => {
    const { topic } = request.params
    if (!Buffer.isBuffer(request.body))
      throw new HttpError(415, `${httpMessage(415)}: send application/x-ndjson or text/plain`)
    const plain = request.headers['content-type']?.startsWith('text/plain') === true
    const records = plain ? plainRecords(request.body) : parseRecordLines(request.body)
    if (records.length > 0) await producer.send(topic, records)
    return reply.code(201).send({ topic, records: records.length })
  })
}

/** The status line is long gone when a read fails half way, so the error is the stream's last line. */
async function* linesOrError(lines: AsyncIterable<string>): AsyncGenerator<string> {
  try {
    yield* lines
  } catch (error) {
    yield `${JSON.stringify(errorBody(error))}\n`
  }
}

function recordQuery(query: OneTopic['Querystring']): RecordQuery {
  const offset = one(query, 'offset') ?? 'earliest'
  return {
    partition: count(query, 'partition'),
    offset: offset === 'earliest' || offset === 'latest' ? offset : (count(query, 'offset') ?? 0),
    maxMessages: count(query, 'maxMessages') ?? Number.POSITIVE_INFINITY,
    follow: one(query, 'follow') === 'true',
    timeoutMs: count(query, 'timeoutMs'),
  }
}

function one(query: OneTopic['Querystring'], name: string): string | undefined {
  const value = query[name]
  if (Array.isArray(value)) throw new HttpError(400, `${httpMessage(400)}: "${name}" is given more than once`)
  return value
}

function count(query: OneTopic['Querystring'], name: string): number | undefined {
  const text = one(query, name)
  if (text === undefined) return undefined
  const value = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value
  throw new HttpError(400, `${httpMessage(400)}: "${name}" must be a whole number from 0, got ${JSON.stringify(text)}`)
}

function isWhole(value: unknown, min: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= min
}

function partitionCount(value: unknown): number | undefined {
  if (value === undefined) return undefined
  if (isWhole(value, 1) && value <= PARTITIONS_MAX) return value
  throw badBody(`"partitions" must be a whole number from 1 to ${PARTITIONS_MAX}`)
}

function settings(value: unknown, removable: true): Record<string, string | null> | undefined
function settings(value: unknown, removable: false): Record<string, string> | undefined
function settings(value: unknown, removable: boolean): Record<string, string | null> | undefined {
  if (value === undefined) return undefined
  const names = objectBody(value, Object.keys(value ?? {}))
  const out: Record<string, string | null> = {}
  for (const [name, setting] of Object.entries(names)) {
    const text = typeof setting === 'number' ? String(setting) : setting
    if (typeof text !== 'string' && !(removable && text === null))
      throw badBody(`"configs": ${JSON.stringify(name)} must be a text${removable ? ', or null for the default' : ''}`)
    out[name] = text
  }
  return out
}
