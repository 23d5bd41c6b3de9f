import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { type Codec, corruptData } from './codec.ts'

const GZIP_LEVEL = 1

const gzip = promisify(zlib.gzip) as (bytes: Uint8Array, options: zlib.ZlibOptions) => Promise<Buffer>
const gunzip = promisify(zlib.gunzip) as (bytes: Uint8Array, options: zlib.ZlibOptions) => Promise<Buffer>

export const gzipCodec: Codec = {
  name: 'gzip',
  id: 1,
  compress: bytes => gzip(bytes, { level: GZIP_LEVEL }),
  async decompress(bytes, sizeMax) {
    try {
      return await gunzip(bytes, { maxOutputLength: sizeMax })
    } catch (cause) {
      throw corruptData('gzip', cause)
    }
  },
}
