import { errorMessage, KtsError } from '../errors.ts'

/** Codecs of Kafka's record batches; the position is the number in a batch's attributes. */
export const CODEC_NAMES = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

export type CodecName = (typeof CODEC_NAMES)[number]

/** One compression method over whole blocks. The same input gives the same bytes on every machine and Node version. */
export interface Codec {
  readonly name: CodecName
  /** The codec's number in the attributes of a record batch. */
  readonly id: number
  compress(bytes: Uint8Array): Promise<Buffer>
  /**
   * Rejects with CORRUPT_MESSAGE for bad data and for output above `sizeMax` bytes, without allocating more than that, nor
   * more than the bytes at hand could unpack to.
   */
  decompress(bytes: Uint8Array, sizeMax: number): Promise<Buffer>
}

/** The error of data that a codec cannot read. */
export function corruptData(codec: CodecName, cause: unknown): KtsError {
  return new KtsError('CORRUPT_MESSAGE', `${codec} data does not decompress: ${errorMessage(cause)}`, { cause })
}

/** The same bytes as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
