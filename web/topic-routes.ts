import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { errorBody, HttpError, httpMessage } from './errors.ts'
import { Producer } from './producer.ts'
import { readRecords, type RecordQuery } from './read-records.ts'
import { parseRecordLines, plainRecords } from './record-lines.ts'
import { describeTopic, existingTopic, listTopics } from './topics.ts'
import type { WorkerView } from './worker-view.ts'

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

  app.get<OneTopic>('/kts/topics/:topic/records', async (request, reply) => {
    const query = recordQuery(request.query)
    const { topic } = request.params
    await existingTopic(worker.broker, topic)
    const gone = new AbortController()
    reply.raw.on('close', () => gone.abort())
    reply.type('application/x-ndjson')
    return Readable.from(linesOrError(readRecords(worker.broker, topic, query, gone.signal)), { objectMode: true })
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
