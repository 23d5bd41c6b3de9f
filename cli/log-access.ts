import { type IncomingMessage, request } from 'node:http'
import { json } from 'node:stream/consumers'
import { KtsError } from '../base/index.ts'
import type { Broker } from '../broker/index.ts'
import type { WorkerStatus } from '../runtime/index.ts'
import {
  alterTopic,
  createTopic,
  deleteRecords,
  deleteTopic,
  describeTopic,
  type ErrorBody,
  listTopics,
  type NewTopic,
  Producer,
  parseRecordLines,
  type RecordQuery,
  readRecords,
  type TopicAlteration,
  type TopicDetail,
  type TopicSummary,
} from '../web/index.ts'

/** A look into a log, the same whether a worker runs on it or not. */
export interface LogAccess {
  topics(): Promise<readonly TopicSummary[]>
  topic(name: string): Promise<TopicDetail>
  /** JSON lines (web/record-lines.ts) in chunks that end with a newline. */
  records(topic: string, query: RecordQuery, signal: AbortSignal): AsyncIterable<string>
  /** All or nothing, durable when it resolves. `lines` are JSON lines, less than 1 MiB of them. */
  send(topic: string, lines: string): Promise<void>
  createTopic(topic: NewTopic): Promise<void>
  alterTopic(name: string, change: TopicAlteration): Promise<void>
  deleteTopic(name: string): Promise<void>
  /** Answers the new start of the partition; an offset of -1 deletes all there is. */
  deleteRecords(topic: string, partition: number, offset: number): Promise<number>
  close(): Promise<void>
}

/** The log of a worker that runs, over its REST API. */
export class RemoteLog implements LogAccess {
  readonly #url: string

  constructor(url: string) {
    this.#url = url.replace(/\/+$/, '')
  }

  status(): Promise<WorkerStatus> {
    return this.#get('/kts/status')
  }

  /** Answers its id, and in a sentence what the connector's tasks will do. */
  async signal(connector: string, signal: object): Promise<{ readonly id: string; readonly message: string }> {
    const path = `/kts/connectors/${encodeURIComponent(connector)}/signals`
    return (await json(await this.#ask(path, { method: 'POST', json: signal }))) as { id: string; message: string }
  }

  topics(): Promise<readonly TopicSummary[]> {
    return this.#get('/kts/topics')
  }

  topic(name: string): Promise<TopicDetail> {
    return this.#get(topicPath(name))
  }

  async *records(topic: string, query: RecordQuery, signal: AbortSignal): AsyncGenerator<string> {
    const { maxMessages, ...rest } = query
    const asked = { ...rest, ...(Number.isFinite(maxMessages) ? { maxMessages } : {}) }
    const given = new URLSearchParams()
    for (const [name, value] of Object.entries(asked)) if (value !== undefined) given.set(name, `${value}`)
    const answer = await this.#ask(`${topicPath(topic)}/records?${given}`, { signal })
    try {
      yield* wholeLines(answer)
    } catch (error) {
      if (!signal.aborted) throw error instanceof KtsError ? error : this.#unreachable(error)
    }
  }

  async send(topic: string, lines: string): Promise<void> {
    const answer = await this.#ask(`${topicPath(topic)}/records`, { body: lines })
    answer.resume()
  }

  async createTopic(topic: NewTopic): Promise<void> {
    ;(await this.#ask('/kts/topics', { method: 'POST', json: topic })).resume()
  }

  async alterTopic(name: string, change: TopicAlteration): Promise<void> {
    ;(await this.#ask(topicPath(name), { method: 'PATCH', json: change })).resume()
  }

  async deleteTopic(name: string): Promise<void> {
    ;(await this.#ask(topicPath(name), { method: 'DELETE' })).resume()
  }

  async deleteRecords(topic: string, partition: number, offset: number): Promise<number> {
    const request = { method: 'POST', json: { partition, offset } } as const
    const answer = (await json(await this.#ask(`${topicPath(topic)}/delete-records`, request))) as {
      logStartOffset: number
    }
    return answer.logStartOffset
  }

  async close(): Promise<void> {}

  async #get<T>(path: string): Promise<T> {
    return (await json(await this.#ask(path, {}))) as T
  }

  async #ask(path: string, options: Asked): Promise<IncomingMessage> {
    let answer: IncomingMessage
    try {
      answer = await exchange(this.#url + path, options)
    } catch (error) {
      throw this.#unreachable(error)
    }
    if (answer.statusCode !== undefined && answer.statusCode < 300) return answer
    const body = (await json(answer).catch(() => undefined)) as Partial<ErrorBody> | undefined
    throw new KtsError(body?.code ?? 'REST_FAILED', body?.message ?? `${this.#url} answered HTTP ${answer.statusCode}`)
  }

  #unreachable(cause: unknown): KtsError {
    return new KtsError('REST_UNAVAILABLE', `no worker answers at ${this.#url}: is it still running?`, { cause })
  }
}

function topicPath(topic: string): string {
  return `/kts/topics/${encodeURIComponent(topic)}`
}

interface Asked {
  /** Default: POST where there is a body, else GET. */
  readonly method?: 'POST' | 'PATCH' | 'DELETE'
  /** JSON lines. */
  readonly body?: string
  readonly json?: object
  readonly signal?: AbortSignal
}

/** Not fetch: that gives up on an answer that is silent for five minutes. */
function exchange(url: string, asked: Asked): Promise<IncomingMessage> {
  const body = asked.json === undefined ? asked.body : JSON.stringify(asked.json)
  const type = asked.json === undefined ? 'application/x-ndjson' : 'application/json'
  return new Promise((resolve, reject) => {
    const method = asked.method ?? (body === undefined ? 'GET' : 'POST')
    const headers = body === undefined ? {} : { 'content-type': type }
    request(url, { method, headers, ...(asked.signal === undefined ? {} : { signal: asked.signal }) }, resolve)
      .on('error', reject)
      .end(body)
  })
}

/** The log of a stopped worker, opened here. */
export class LocalLog implements LogAccess {
  readonly #broker: Broker
  readonly #producer: Producer

  constructor(broker: Broker) {
    this.#broker = broker
    this.#producer = new Producer(broker)
  }

  topics(): Promise<readonly TopicSummary[]> {
    return listTopics(this.#broker)
  }

  topic(name: string): Promise<TopicDetail> {
    return describeTopic(this.#broker, name)
  }

  /** Nobody writes to a stopped log: there is nothing to follow. */
  async *records(topic: string, query: RecordQuery, signal: AbortSignal): AsyncGenerator<string> {
    yield* await readRecords(this.#broker, topic, { ...query, follow: false }, signal)
  }

  send(topic: string, lines: string): Promise<void> {
    return this.#producer.send(topic, parseRecordLines(Buffer.from(lines)))
  }

  createTopic(topic: NewTopic): Promise<void> {
    return createTopic(this.#broker, topic)
  }

  alterTopic(name: string, change: TopicAlteration): Promise<void> {
    return alterTopic(this.#broker, name, change)
  }

  deleteTopic(name: string): Promise<void> {
    return deleteTopic(this.#broker, name)
  }

  deleteRecords(topic: string, partition: number, offset: number): Promise<number> {
    return deleteRecords(this.#broker, topic, partition, offset)
  }

  async close(): Promise<void> {
    await this.#producer.close()
    await this.#broker.close()
  }
}

/** Network chunks as chunks of whole lines; a line that is an error body (web/errors.ts) is thrown. */
async function* wholeLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of body) {
    rest += decoder.decode(bytes, { stream: true })
    const end = rest.lastIndexOf('\n') + 1
    const whole = rest.slice(0, end)
    rest = rest.slice(end)
    // No record can hold this text: inside its strings the quotes are escaped.
    const failed = whole.lastIndexOf('{"error_code":')
    if (failed < 0) {
      if (whole !== '') yield whole
      continue
    }
    const { code, message } = JSON.parse(whole.slice(failed)) as ErrorBody
    if (failed > 0) yield whole.slice(0, failed)
    throw new KtsError(code ?? 'REST_FAILED', message)
  }
}
