import { asBuffer, type Codec, corruptData } from './codec.ts'
import { compressSnappy, decompressSnappy, snappyBound, snappyLength } from './snappy-block.ts'

/**
 * Snappy as Kafka's clients write it: the framing of xerial's snappy-java, a header of magic, version and oldest
 * compatible version (i32 each), then blocks of 32 KiB, each behind its compressed length (i32). Others write one raw
 * block without a header; both are read.
 */
const MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
const VERSION = 1
const HEADER_BYTES = 16
const CHUNK_BYTES = 32 << 10

export const snappyCodec: Codec = {
  name: 'snappy',
  id: 2,
  compress: async bytes => frame(bytes),
  async decompress(bytes, sizeMax) {
    try {
      return unpack(asBuffer(bytes), sizeMax)
    } catch (cause) {
      throw corruptData('snappy', cause)
    }
  },
}

function frame(bytes: Uint8Array): Buffer {
  const chunks = Math.ceil(bytes.length / CHUNK_BYTES)
  const out = Buffer.allocUnsafe(HEADER_BYTES + chunks * (4 + snappyBound(CHUNK_BYTES)))
  MAGIC.copy(out)
  out.writeInt32BE(VERSION, 8)
  out.writeInt32BE(VERSION, 12)
  let at = HEADER_BYTES
  for (let from = 0; from < bytes.length; from += CHUNK_BYTES) {
    const end = compressSnappy(bytes, from, Math.min(from + CHUNK_BYTES, bytes.length), out, at + 4)
    out.writeInt32BE(end - at - 4, at)
    at = end
  }
  return out.subarray(0, at)
}

function unpack(bytes: Buffer, sizeMax: number): Buffer {
  const blocks = isFramed(bytes) ? [...framedBlocks(bytes)] : [{ from: 0, to: bytes.length }]
  const size = blocks.reduce((sum, { from, to }) => sum + snappyLength(bytes, from, to), 0)
  if (size > sizeMax) throw new RangeError(`${size} bytes, more than ${sizeMax}`)
  const out = Buffer.allocUnsafe(size)
  let at = 0
  for (const { from, to } of blocks) at = decompressSnappy(bytes, from, to, out, at)
  return out
}

function isFramed(bytes: Buffer, at = 0): boolean {
  return bytes.length >= at + MAGIC.length && bytes.compare(MAGIC, 0, MAGIC.length, at, at + MAGIC.length) === 0
}

function* framedBlocks(bytes: Buffer): Generator<{ from: number; to: number }> {
  let at = 0
  while (at < bytes.length) {
    // snappy-java takes several framed streams one behind the other.
    if (isFramed(bytes, at)) {
      if (at + HEADER_BYTES > bytes.length) throw new RangeError('its header is cut')
      const compatible = bytes.readInt32BE(at + 12)
      if (compatible > VERSION) throw new RangeError(`framing of version ${compatible}, expected at most ${VERSION}`)
      at += HEADER_BYTES
      continue
    }
    const from = at + 4
    const length = from > bytes.length ? -1 : bytes.readInt32BE(at)
    if (length < 0 || length > bytes.length - from) throw new RangeError(`a block of ${length} bytes passes the end`)
    at = from + length
    yield { from, to: at }
  }
}
