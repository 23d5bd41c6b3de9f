import { fetchV17, type Reader } from '@platformatic/kafka'
import { KtsError, type PackedRecords } from '../../base/index.ts'
import {
  batchIsControl,
  batchIsTransactional,
  batchLastOffset,
  batchProducerId,
  batchSize,
} from '../../broker/batch.ts'
import { batchRecords } from '../../broker/batch-records.ts'
import { type Cluster, pause } from './cluster.ts'

const OUT_OF_RANGE = 1
/** A topic that is new, or going: the node has not heard of it yet, or does not lead it, or knows no such id. */
const NOT_YET = [3, 6, 100]
const RETRY_MS = 15_000

interface Place {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export interface Fetched {
  readonly batches: readonly PackedRecords[]
  /** Behind control and aborted records too. */
  readonly nextOffset: number
}

interface Answer {
  readonly errorCode: number
  readonly aborted: readonly { readonly producerId: number; readonly firstOffset: number }[]
  readonly records: Buffer
}

/**
 * What one partition has from `offset` on; undefined when the cluster says that it lies outside the log. The record sets
 * are kept as bytes and read by our own decoder: packed, and with codecs the client does not know (zstd on Node 20).
 */
export async function fetchPartition(
  cluster: Cluster,
  place: Place,
  isolation: 'read_committed' | 'read_uncommitted',
  bytesMax: number,
): Promise<Fetched | undefined> {
  const { topic, partition, offset } = place
  const level = isolation === 'read_committed' ? 1 : 0
  const deadline = Date.now() + RETRY_MS
  for (;;) {
    const answer = await askPartition(cluster, place, level, bytesMax)
    if (answer.errorCode === 0) return await unpack(answer, offset, level === 1)
    if (answer.errorCode === OUT_OF_RANGE) return undefined
    if (!NOT_YET.includes(answer.errorCode) || Date.now() > deadline)
      throw new KtsError('INTERNAL', `Kafka answers a fetch of ${topic}-${partition} with ${answer.errorCode}`)
    await pause()
    // The next look at the leader rejects when the partition is gone.
    await cluster.topics()
  }
}

async function askPartition(
  cluster: Cluster,
  { topic, partition, offset }: Place,
  level: number,
  bytesMax: number,
): Promise<Answer> {
  const { node, topicId } = await cluster.leader(topic, partition)
  const wanted = {
    partition,
    currentLeaderEpoch: -1,
    fetchOffset: BigInt(offset),
    lastFetchedEpoch: -1,
    partitionMaxBytes: bytesMax,
  }
  const topics = [{ topicId, partitions: [wanted] }]
  return await cluster.request(
    node,
    connection =>
      new Promise<Answer>((resolve, reject) => {
        const request = () => fetchV17.createRequest(0, 0, bytesMax, level, 0, -1, topics, [], '')
        const { key, version } = fetchV17.api
        connection.send(key, version, request, parseAnswer, true, true, (error, payload) =>
          error === null ? resolve(payload!) : reject(error),
        )
      }),
  )
}

/** Fetch response, version 17, of one partition. */
function parseAnswer(_correlation: number, _key: number, _version: number, reader: Reader): Answer {
  reader.readInt32()
  const errorCode = reader.readInt16()
  reader.readInt32()
  const answers = reader.readArray(topic => {
    topic.readUUID()
    return topic.readArray(partition => {
      partition.readInt32()
      const partitionError = partition.readInt16()
      for (let i = 0; i < 3; i++) partition.readInt64()
      const aborted = partition.readArray(r => ({
        producerId: Number(r.readInt64()),
        firstOffset: Number(r.readInt64()),
      }))
      partition.readInt32()
      const records = partition.readNullableBytes() ?? Buffer.alloc(0)
      return { errorCode: partitionError, aborted, records }
    })
  })
  return answers[0]?.[0] ?? { errorCode, aborted: [], records: Buffer.alloc(0) }
}

/** Whole batches only: the last one of an answer may be cut off. */
async function unpack({ records, aborted }: Answer, offset: number, filter: boolean): Promise<Fetched> {
  const batches: PackedRecords[] = []
  // They come in the order of their markers.
  const open = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset)
  const dropped = new Set<number>()
  let nextOffset = offset
  for (let at = 0; at + 61 <= records.length && at + batchSize(records, at) <= records.length; ) {
    const lastOffset = batchLastOffset(records, at)
    const producerId = batchProducerId(records, at)
    while (open.length > 0 && open[0]!.firstOffset <= lastOffset) dropped.add(open.shift()!.producerId)
    // A marker ends what its producer had open; only aborted ones are in the list.
    if (batchIsControl(records, at)) dropped.delete(producerId)
    else if (!filter || !batchIsTransactional(records, at) || !dropped.has(producerId)) {
      const whole = await batchRecords(records, at)
      let first = 0
      while (first < whole.count && whole.offset(first) < offset) first++
      if (first < whole.count) batches.push(whole.slice(first, whole.count))
    }
    nextOffset = Math.max(nextOffset, lastOffset + 1)
    at += batchSize(records, at)
  }
  return { batches, nextOffset }
}
