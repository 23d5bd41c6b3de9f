import { asBuffer, CODEC_NAMES, type Codec, type CodecName } from './codecs/codec.ts'
import { gzipCodec } from './codecs/gzip.ts'
import { lz4Codec } from './codecs/lz4.ts'
import { snappyCodec } from './codecs/snappy.ts'
import { loadZstd } from './codecs/zstd.ts'
import { KtsError } from './errors.ts'

export { CODEC_NAMES, type Codec, type CodecName } from './codecs/codec.ts'
export { zstdContentSize } from './codecs/zstd.ts'

const noneCodec: Codec = {
  name: 'none',
  id: 0,
  compress: async bytes => asBuffer(bytes),
  decompress: async bytes => asBuffer(bytes),
}

const READY: Readonly<Record<Exclude<CodecName, 'zstd'>, Codec>> = {
  none: noneCodec,
  gzip: gzipCodec,
  snappy: snappyCodec,
  lz4: lz4Codec,
}

let zstdCodec: Promise<Codec> | undefined

/** The codec by name, loaded on first use. */
export async function loadCodec(name: CodecName): Promise<Codec> {
  if (name !== 'zstd') return READY[name]
  zstdCodec ??= loadZstd()
  return await zstdCodec
}

/** By Kafka's number in the attributes of a batch. Rejects with UNSUPPORTED_COMPRESSION_TYPE for those that have none. */
export async function codecById(id: number): Promise<Codec> {
  const name = CODEC_NAMES[id]
  if (name !== undefined) return loadCodec(name)
  throw new KtsError(
    'UNSUPPORTED_COMPRESSION_TYPE',
    `compression number ${id} is not one of Kafka's, ${CODEC_NAMES.join(', ')}`,
  )
}
