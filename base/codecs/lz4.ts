import { asBuffer, type Codec, corruptData } from './codec.ts'
import { compressLz4, decompressLz4, LZ4_BLOCK_MAX, LZ4_EXPANSION_MAX, lz4Bound } from './lz4-block.ts'
import { xxhash32 } from './xxhash32.ts'

/**
 * lz4's frame format (lz4_Frame_format.md of lz4/lz4), as Kafka's clients write it: independent blocks of 64 KiB, no
 * content size, no checksum but the header's. Read are blocks of up to 4 MiB, linked ones and every checksum; not the
 * header checksum that Kafka's messages before version 2 had, nor dictionaries, nor anything behind the frame.
 */
const MAGIC = 0x184d2204
const VERSION = 0x40
const INDEPENDENT = 0x20
const BLOCK_CHECKSUM = 0x10
const CONTENT_SIZE = 0x08
const CONTENT_CHECKSUM = 0x04
const RESERVED = 0x02
const DICTIONARY = 0x01
const BLOCKS_OF_64_KIB = 4 << 4
const STORED = 0x80000000
const HEADER_BYTES = 7

export const lz4Codec: Codec = {
  name: 'lz4',
  id: 3,
  compress: async bytes => frame(bytes),
  async decompress(bytes, sizeMax) {
    try {
      return unpack(asBuffer(bytes), sizeMax)
    } catch (cause) {
      throw corruptData('lz4', cause)
    }
  },
}

function frame(bytes: Uint8Array): Buffer {
  const blocks = Math.ceil(bytes.length / LZ4_BLOCK_MAX)
  const out = Buffer.allocUnsafe(HEADER_BYTES + blocks * (4 + lz4Bound(LZ4_BLOCK_MAX)) + 4)
  out.writeUInt32LE(MAGIC, 0)
  out[4] = VERSION | INDEPENDENT
  out[5] = BLOCKS_OF_64_KIB
  out[6] = xxhash32(out.subarray(4, 6)) >>> 8
  let at = HEADER_BYTES
  for (let from = 0; from < bytes.length; from += LZ4_BLOCK_MAX) {
    const to = Math.min(from + LZ4_BLOCK_MAX, bytes.length)
    const end = compressLz4(bytes, from, to, out, at + 4)
    const size = end - at - 4
    if (size < to - from) {
      out.writeUInt32LE(size, at)
      at = end
    } else {
      out.writeUInt32LE((STORED | (to - from)) >>> 0, at)
      out.set(bytes.subarray(from, to), at + 4)
      at += 4 + to - from
    }
  }
  out.writeUInt32LE(0, at)
  return out.subarray(0, at + 4)
}

interface FrameHeader {
  readonly end: number
  readonly blockMax: number
  readonly flags: number
  /** Undefined when the frame does not say. */
  readonly contentSize: number | undefined
}

function readHeader(bytes: Buffer): FrameHeader {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32LE(0) !== MAGIC) throw new RangeError('not an lz4 frame')
  const flags = bytes[4]!
  if ((flags & 0xc0) !== VERSION || (flags & RESERVED) !== 0)
    throw new RangeError(`frame flags 0x${flags.toString(16)} are of no version known here`)
  if ((flags & DICTIONARY) !== 0) throw new RangeError('the frame wants a dictionary')
  const blockCode = bytes[5]!
  if ((blockCode & 0x8f) !== 0 || blockCode >> 4 < 4)
    throw new RangeError(`block size code 0x${blockCode.toString(16)} is none of 0x40 to 0x70`)
  const end = HEADER_BYTES + ((flags & CONTENT_SIZE) === 0 ? 0 : 8)
  if (bytes.length < end) throw new RangeError('the frame header is cut')
  if (((xxhash32(bytes.subarray(4, end - 1)) >>> 8) & 0xff) !== bytes[end - 1])
    throw new RangeError('the frame header fails its checksum')
  const contentSize = end === HEADER_BYTES ? undefined : Number(bytes.readBigUInt64LE(6))
  return { end, blockMax: 1 << (8 + 2 * (blockCode >> 4)), flags, contentSize }
}

interface FrameBlock {
  readonly from: number
  readonly to: number
  readonly stored: boolean
}

/** Where the blocks lie; checks lengths and block checksums. Answers also where the end mark ends. */
function readBlocks(bytes: Buffer, header: FrameHeader): { blocks: FrameBlock[]; end: number } {
  const checked = (header.flags & BLOCK_CHECKSUM) !== 0
  const blocks: FrameBlock[] = []
  for (let at = header.end; ; ) {
    if (at + 4 > bytes.length) throw new RangeError('the frame has no end mark')
    const word = bytes.readUInt32LE(at)
    if (word === 0) return { blocks, end: at + 4 }
    const stored = word >= STORED
    const from = at + 4
    const to = from + (stored ? word - STORED : word)
    at = to + (checked ? 4 : 0)
    if (at > bytes.length) throw new RangeError(`a block of ${to - from} bytes passes the end`)
    if (to - from > header.blockMax) throw new RangeError(`a block of ${to - from} bytes, more than ${header.blockMax}`)
    if (checked && xxhash32(bytes.subarray(from, to)) !== bytes.readUInt32LE(to))
      throw new RangeError('a block fails its checksum')
    blocks.push({ from, to, stored })
  }
}

function unpack(bytes: Buffer, sizeMax: number): Buffer {
  const header = readHeader(bytes)
  const { blocks, end } = readBlocks(bytes, header)
  const frameEnd = end + ((header.flags & CONTENT_CHECKSUM) === 0 ? 0 : 4)
  if (bytes.length !== frameEnd)
    throw new RangeError(`expected the frame to end at byte ${frameEnd} of ${bytes.length}`)
  const { contentSize, flags, blockMax } = header
  if (contentSize !== undefined && contentSize > sizeMax)
    throw new RangeError(`${contentSize} bytes, more than ${sizeMax}`)
  const mostOf = ({ from, to, stored }: FrameBlock) =>
    stored ? to - from : Math.min(blockMax, (to - from) * LZ4_EXPANSION_MAX)
  const room = blocks.reduce((sum, block) => sum + mostOf(block), 0)
  const out = Buffer.allocUnsafe(Math.min(room, sizeMax))
  let at = 0
  for (const block of blocks) {
    const blockEnd = Math.min(out.length, at + blockMax)
    const windowStart = (flags & INDEPENDENT) === 0 ? 0 : at
    if (!block.stored) at = decompressLz4(bytes, block.from, block.to, out, at, blockEnd, windowStart)
    else if (block.to - block.from > blockEnd - at) throw new RangeError(`more than ${out.length} bytes`)
    else at += bytes.copy(out, at, block.from, block.to)
  }
  if (contentSize !== undefined && contentSize !== at) throw new RangeError(`${at} bytes instead of ${contentSize}`)
  const content = out.subarray(0, at)
  if (frameEnd > end && xxhash32(content) !== bytes.readUInt32LE(end))
    throw new RangeError('the content fails its checksum')
  // What is kept for long must not hold much more memory than it has bytes.
  return at < out.length / 2 ? Buffer.from(content) : content
}
