import { setMaxListeners } from 'node:events'
import { KtsError } from '../runtime/api/index.ts'
import { recordLines } from './record-lines.ts'
import { existingTopic } from './topics.ts'
import type { Broker } from './worker-view.ts'

export interface RecordQuery {
  /** Undefined: all. */
  readonly partition: number | undefined
  /** Where to begin: an offset (of one partition), the log's start, or behind its end. */
  readonly offset: number | 'earliest' | 'latest'
  /** Infinity: no limit. */
  readonly maxMessages: number
  /** Waits for new records at the end instead of ending there. */
  readonly follow: boolean
  /** With `follow`: ends after so long without a record. */
  readonly timeoutMs: number | undefined
}

const PARTITION_BYTES = 256 << 10
const WAIT_MS = 1000

/**
 * Committed records as JSON lines (record-lines.ts), a batch at a time; order is kept within a partition. Without
 * `follow` it ends where the log ended when it began, so a busy topic does not keep it going. Pulled: holds one batch.
 * Rejects with UNKNOWN_TOPIC_OR_PARTITION, OFFSET_OUT_OF_RANGE before there is anything to read.
 */
export async function readRecords(
  broker: Broker,
  topic: string,
  query: RecordQuery,
  signal: AbortSignal,
): Promise<AsyncGenerator<string>> {
  return linesOf(topic, await openCursors(broker, topic, query), query, signal)
}

async function* linesOf(topic: string, cursors: readonly Cursor[], query: RecordQuery, signal: AbortSignal) {
  let left = query.maxMessages
  while (left > 0 && !signal.aborted) {
    let progressed = false
    for (const cursor of cursors) {
      if (left <= 0 || signal.aborted || (!query.follow && cursor.next >= cursor.end)) continue
      const before = cursor.next
      for (const batch of await cursor.read(0, PARTITION_BYTES, signal)) {
        const wanted = batch.records.slice(0, Math.min(left, batch.records.count))
        left -= wanted.count
        if (wanted.count > 0) yield recordLines(topic, cursor.partition, wanted)
        if (left <= 0) return
      }
      progressed ||= cursor.next > before
    }
    if (progressed) continue
    if (!query.follow || !(await anyArrives(cursors, query.timeoutMs, signal))) return
  }
}

async function openCursors(broker: Broker, topic: string, query: RecordQuery): Promise<readonly Cursor[]> {
  const { partitions } = await existingTopic(broker, topic)
  if (query.partition !== undefined && query.partition >= partitions) {
    const range = partitions === 1 ? 'its only partition is 0' : `it has partitions 0 to ${partitions - 1}`
    throw new KtsError('UNKNOWN_TOPIC_OR_PARTITION', `topic ${topic} has no partition ${query.partition}; ${range}`)
  }
  if (typeof query.offset === 'number' && query.partition === undefined && partitions > 1) {
    throw new KtsError(
      'OFFSET_OUT_OF_RANGE',
      `topic ${topic} has ${partitions} partitions: say which one the offset is of`,
    )
  }
  const chosen = query.partition === undefined ? Array.from({ length: partitions }, (_, i) => i) : [query.partition]
  const cursors: Cursor[] = []
  for (const partition of chosen) {
    const { logStartOffset, lastStableOffset } = await broker.partition(topic, partition)
    if (typeof query.offset === 'number' && (query.offset < logStartOffset || query.offset > lastStableOffset)) {
      const range = `offsets from ${logStartOffset} to below ${lastStableOffset}`
      throw new KtsError('OFFSET_OUT_OF_RANGE', `${topic}, partition ${partition} has ${range}, not ${query.offset}`)
    }
    const start = { earliest: logStartOffset, latest: lastStableOffset }
    const next = typeof query.offset === 'number' ? query.offset : start[query.offset]
    cursors.push(new Cursor(broker, topic, partition, next, lastStableOffset))
  }
  return cursors
}

/** A place in one partition. */
class Cursor {
  readonly partition: number
  /** The end of the log when reading began. */
  readonly end: number
  next: number
  readonly #broker: Broker
  readonly #topic: string

  constructor(broker: Broker, topic: string, partition: number, next: number, end: number) {
    this.#broker = broker
    this.#topic = topic
    this.partition = partition
    this.next = next
    this.end = end
  }

  async read(waitMs: number, bytesMax: number, signal: AbortSignal) {
    const { batches } = await this.#broker.read(this.#topic, this.partition, this.next, {
      isolation: 'read_committed',
      bytesMax,
      waitMs,
      signal,
    })
    for (const batch of batches) this.next = Math.max(this.next, batch.nextOffset)
    return batches
  }

  /** Whether a record arrives within `waitMs`; moves nothing. */
  async arrives(waitMs: number, signal: AbortSignal): Promise<boolean> {
    const before = this.next
    const batches = await this.read(waitMs, 1, signal)
    this.next = before
    return batches.length > 0
  }
}

/** Waits on all partitions at once; false when `timeoutMs` passed without a record, or at an abort. */
async function anyArrives(cursors: readonly Cursor[], timeoutMs: number | undefined, signal: AbortSignal) {
  let leftMs = timeoutMs ?? Number.POSITIVE_INFINITY
  while (leftMs > 0 && !signal.aborted) {
    const waitMs = Math.min(WAIT_MS, leftMs)
    // Not AbortSignal.any: in Node 20 each one stays with a signal that lives as long as the request.
    const ending = new AbortController()
    // One listener for each partition.
    setMaxListeners(0, ending.signal)
    const end = () => ending.abort()
    signal.addEventListener('abort', end, { once: true })
    const waits = cursors.map(async cursor => {
      const arrived = await cursor.arrives(waitMs, ending.signal)
      if (arrived) end()
      return arrived
    })
    try {
      if ((await Promise.all(waits)).some(arrived => arrived)) return true
    } finally {
      signal.removeEventListener('abort', end)
    }
    leftMs -= waitMs
  }
  return false
}
