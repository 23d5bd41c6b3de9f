import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

/**
 * A reader of Kafka's log files that shares nothing with the engine: written after Kafka's description of record batch
 * version 2 (https://kafka.apache.org/documentation/#recordbatch) alone, with whole files in memory and bigint offsets.
 */
export interface PlainBatch {
  readonly file: string
  readonly position: number
  /** Bytes. */
  readonly size: number
  readonly baseOffset: number
  readonly lastOffset: number
  readonly control: boolean
  readonly transactional: boolean
  readonly producerId: bigint
  /** Of a control batch: whether it commits. */
  readonly commits: boolean
  /** None where the codec is another than gzip. */
  readonly records: readonly PlainRecord[]
}

export interface PlainRecord {
  readonly offset: number
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly (readonly [string, Buffer | null])[]
}

/** Every batch of a partition's folder, in order. Throws at the first byte that is not as it must be. */
export function readPlainLog(directory: string): PlainBatch[] {
  const names = readdirSync(directory).filter(name => /^\d{20}\.log$/.test(name))
  return names.sort().flatMap(name => plainBatches(join(directory, name), readFileSync(join(directory, name))))
}

/**
 * What a read_committed consumer gets of whole batches: those of transactions that a later marker commits, and those
 * without a transaction.
 */
export function committedRecords(batches: readonly PlainBatch[]): PlainRecord[] {
  const open = new Map<bigint, PlainBatch[]>()
  const kept = new Set<PlainBatch>()
  for (const batch of batches) {
    if (batch.control) {
      if (batch.commits) for (const earlier of open.get(batch.producerId) ?? []) kept.add(earlier)
      open.delete(batch.producerId)
    } else if (batch.transactional) open.set(batch.producerId, [...(open.get(batch.producerId) ?? []), batch])
    else kept.add(batch)
  }
  return batches.filter(batch => kept.has(batch)).flatMap(batch => batch.records)
}

/** The batches of one log file. */
export function plainBatches(file: string, bytes: Buffer): PlainBatch[] {
  const out: PlainBatch[] = []
  for (let position = 0; position < bytes.length; ) {
    const place = `${file}:${position}`
    if (bytes.length - position < 61) throw new Error(`${place}: ${bytes.length - position} bytes are no batch`)
    const size = bytes.readInt32BE(position + 8) + 12
    const batch = bytes.subarray(position, position + size)
    if (size < 61 || batch.length < size) throw new Error(`${place}: a batch of ${size} bytes does not fit`)
    if (batch[16] !== 2) throw new Error(`${place}: magic ${batch[16]}`)
    if (castagnoli(batch.subarray(21)) !== batch.readUInt32BE(17)) throw new Error(`${place}: the checksum fails`)
    out.push(decodeBatch(file, position, batch))
    position += size
  }
  return out
}

function decodeBatch(file: string, position: number, batch: Buffer): PlainBatch {
  const attributes = batch.readInt16BE(21)
  const baseOffset = Number(batch.readBigInt64BE(0))
  const baseTimestamp = Number(batch.readBigInt64BE(27))
  const appendTime = (attributes & 8) === 0 ? undefined : Number(batch.readBigInt64BE(35))
  const codec = attributes & 7
  const body = codec === 1 ? gunzipSync(batch.subarray(61)) : codec === 0 ? batch.subarray(61) : Buffer.alloc(0)
  const records: PlainRecord[] = []
  const at = { position: 0 }
  for (let i = codec > 1 ? 0 : batch.readInt32BE(57); i > 0; i--) {
    const length = varint(body, at)
    const end = at.position + length
    at.position++
    const timestamp = appendTime ?? baseTimestamp + varint(body, at)
    if (appendTime !== undefined) varint(body, at)
    const offset = baseOffset + varint(body, at)
    const [key, value] = [field(body, at), field(body, at)]
    const headers: [string, Buffer | null][] = []
    for (let h = varint(body, at); h > 0; h--) headers.push([field(body, at)!.toString(), field(body, at)])
    if (at.position !== end) throw new Error(`${file}:${position}: record ${offset} ends at ${at.position}, not ${end}`)
    records.push({ offset, timestamp, key, value, headers })
  }
  if (at.position !== body.length) throw new Error(`${file}:${position}: bytes behind the last record`)
  const control = (attributes & 32) !== 0
  return {
    file,
    position,
    size: batch.length,
    baseOffset,
    lastOffset: baseOffset + batch.readInt32BE(23),
    control,
    transactional: (attributes & 16) !== 0,
    producerId: batch.readBigInt64BE(43),
    commits: control && records[0]?.key?.readInt16BE(2) === 1,
    records,
  }
}

function field(bytes: Buffer, at: { position: number }): Buffer | null {
  const length = varint(bytes, at)
  if (length < 0) return null
  at.position += length
  return bytes.subarray(at.position - length, at.position)
}

/** Zigzag, seven bits a byte. */
function varint(bytes: Buffer, at: { position: number }): number {
  let value = 0n
  for (let shift = 0n; ; shift += 7n) {
    const byte = bytes[at.position++]
    if (byte === undefined) throw new Error('a number goes past the end')
    value |= BigInt(byte & 0x7f) << shift
    if ((byte & 0x80) === 0) return Number(BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n)))
  }
}

/** CRC-32C a byte at a time. */
function castagnoli(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0x82f63b78 : n >>> 1
  return n
})
