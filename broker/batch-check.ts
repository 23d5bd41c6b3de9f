import { type CodecName, codecById, KtsError, loadCodec } from '../base/index.ts'
import {
  BATCH_HEADER_BYTES,
  batchBaseSequence,
  batchChecksumHolds,
  batchCodecId,
  batchCount,
  batchIsControl,
  batchIsLogAppendTime,
  batchIsSane,
  batchIsTransactional,
  batchLastOffsetDelta,
  batchMaxTimestamp,
  batchProducerEpoch,
  batchProducerId,
  batchSize,
  writeBatchCodec,
} from './batch.ts'
import { batchRecords, unpackedBytesMax } from './batch-records.ts'
import type { BatchInfo } from './log-writer.ts'

/** Kafka's number of an idempotent producer's last epoch. */
const EPOCH_MAX = 0x7fff

/**
 * What a log must know of a batch that a client encoded, once nothing in it is found to be untrue. `place` names the
 * partition in errors. Rejects with CORRUPT_MESSAGE for what was altered on the way, MESSAGE_TOO_LARGE above `sizeMax`
 * bytes, INVALID_RECORD for what no client may send (kafka-clients, LogValidator), UNSUPPORTED_COMPRESSION_TYPE.
 */
export async function checkBatch(batch: Buffer, sizeMax: number, place: string): Promise<BatchInfo> {
  if (batch.length < BATCH_HEADER_BYTES || !batchIsSane(batch, 0) || batchSize(batch, 0) !== batch.length)
    throw new KtsError('CORRUPT_MESSAGE', `${place}: ${batch.length} bytes came that are not one whole record batch`)
  if (!batchChecksumHolds(batch, 0))
    throw new KtsError('CORRUPT_MESSAGE', `${place}: the checksum of a batch does not hold; send it again`)
  if (batch.length > sizeMax)
    throw new KtsError(
      'MESSAGE_TOO_LARGE',
      `${place}: a batch of ${batch.length} bytes is more than max.message.bytes ${sizeMax}; raise it or send smaller batches`,
      { details: { bytes: batch.length, maxMessageBytes: sizeMax } },
    )
  const lie = headerLie(batch) ?? (await recordsLie(batch))
  if (lie !== undefined) throw new KtsError('INVALID_RECORD', `${place}: a batch was refused: ${lie}`)
  const id = batchProducerId(batch, 0)
  const producer = {
    id,
    epoch: batchProducerEpoch(batch, 0),
    baseSequence: batchBaseSequence(batch, 0),
    transactional: batchIsTransactional(batch, 0),
    control: false,
  }
  return {
    lastOffsetDelta: batchLastOffsetDelta(batch, 0),
    maxTimestamp: batchMaxTimestamp(batch, 0),
    producer: id < 0 ? undefined : producer,
  }
}

function headerLie(batch: Buffer): string | undefined {
  const count = batchCount(batch, 0)
  if (count === 0) return 'it has no records'
  const delta = batchLastOffsetDelta(batch, 0)
  if (delta !== count - 1) return `its last offset delta is ${delta}, with ${count} records`
  if (batchIsControl(batch, 0)) return 'only the log itself writes control records'
  if (batchIsLogAppendTime(batch, 0)) return 'only the log itself stamps records with the time of their append'
  const id = batchProducerId(batch, 0)
  const epoch = batchProducerEpoch(batch, 0)
  const sequence = batchBaseSequence(batch, 0)
  const transactional = batchIsTransactional(batch, 0)
  if (id < 0) return transactional ? 'it is transactional and has no producer id' : undefined
  if (!Number.isSafeInteger(id)) return `its producer id is beyond 2^53`
  if (epoch < 0 || epoch > EPOCH_MAX || sequence < 0)
    return `producer ${id} comes with epoch ${epoch} and sequence ${sequence}`
  return undefined
}

/** Its records are looked at too: look-ups by time and readers believe the header. */
async function recordsLie(batch: Buffer): Promise<string | undefined> {
  const records = await batchRecords(batch, 0)
  if (records.offsetDeltas !== undefined) return 'its records are not numbered 0, 1, 2, ...'
  const { timestamps } = records
  let max = typeof timestamps === 'number' ? timestamps : timestamps[0]!
  if (typeof timestamps !== 'number') for (const timestamp of timestamps) if (timestamp > max) max = timestamp
  const said = batchMaxTimestamp(batch, 0)
  return said === max ? undefined : `its largest timestamp is ${max}, and the header says ${said}`
}

/** The batch with another compression; itself where it has that one already. */
export async function recompress(batch: Buffer, name: CodecName): Promise<Buffer> {
  const codec = await loadCodec(name)
  if (batchCodecId(batch, 0) === codec.id) return batch
  const from = await codecById(batchCodecId(batch, 0))
  const plain = await from.decompress(batch.subarray(BATCH_HEADER_BYTES), unpackedBytesMax(batch.length))
  const packed = await codec.compress(plain)
  const out = Buffer.concat([batch.subarray(0, BATCH_HEADER_BYTES), packed])
  writeBatchCodec(out, 0, codec.id)
  return out
}
