import { type Broker as Node, produceV11, Writer } from '@platformatic/kafka'
import { type CodecName, loadCodec, type PackedRecords } from '../../base/index.ts'
import type { BatchProducer } from '../../broker/batch.ts'
import { BatchWriter, checkRecordSizes } from '../../broker/batch-writer.ts'
import type { Cluster } from './cluster.ts'

const REQUEST_TIMEOUT_MS = 30_000
const ALL_IN_SYNC = -1

export interface ProducePlace {
  readonly node: Node
  readonly topic: string
  readonly partition: number
  readonly maxMessageBytes: number
}

export interface ProduceOptions {
  readonly codec: CodecName
  readonly transactionalId: string | null
  /** Of a batch that begins behind so many records; undefined without idempotence. */
  producer(recordsBefore: number): BatchProducer | undefined
}

/**
 * Writes records as batches of our own encoder: packed, with every codec, and with times that go back by more than 24
 * days, which the client's encoder gets wrong (its zigzag of 64 bits shifts by 31). One request per batch, so that a
 * failure leaves no doubt which one. Rejects with MESSAGE_TOO_LARGE before anything is sent.
 */
export async function produce(
  cluster: Cluster,
  place: ProducePlace,
  records: PackedRecords,
  options: ProduceOptions,
): Promise<void> {
  checkRecordSizes(records, place.maxMessageBytes, `${place.topic}-${place.partition}`)
  const codec = await loadCodec(options.codec)
  const writer = new BatchWriter(Buffer.allocUnsafe(place.maxMessageBytes))
  for (let from = 0; from < records.count; ) {
    writer.start(place.maxMessageBytes, Date.now())
    const next = writer.add(records, from)
    const { buffers } = await writer.finish(0, -1, codec, undefined, options.producer(from))
    await send(cluster, place, options.transactionalId, Buffer.concat(buffers))
    from = next
  }
}

/** Produce request, version 11, with one batch. */
async function send(
  cluster: Cluster,
  { node, topic, partition }: ProducePlace,
  transactionalId: string | null,
  batch: Buffer,
): Promise<void> {
  const request = () =>
    Writer.create()
      .appendString(transactionalId)
      .appendInt16(ALL_IN_SYNC)
      .appendInt32(REQUEST_TIMEOUT_MS)
      .appendArray([topic], (topics, name) => {
        topics.appendString(name).appendArray([partition], (partitions, index) => {
          partitions
            .appendInt32(index)
            .appendUnsignedVarInt(batch.length + 1)
            .append(batch)
        })
      })
      .appendTaggedFields()
  const { key, version } = produceV11.api
  await cluster.request(
    node,
    connection =>
      new Promise<unknown>((resolve, reject) => {
        connection.send(key, version, request, produceV11.parseResponse, true, true, (error, payload) =>
          error === null ? resolve(payload) : reject(error),
        )
      }),
  )
}
