import { errorMessage, KtsError } from './errors.ts'
import type { PackedHeader } from './packed.ts'
import { VarintReader, varintSize, writeVarint } from './varint.ts'

/** Headers in Kafka's record encoding: varint count, then for each a varint-prefixed name and value (-1: null). */
export function encodeHeaders(headers: readonly PackedHeader[]): Buffer {
  let size = varintSize(headers.length)
  for (const { key, value } of headers) {
    const keySize = Buffer.byteLength(key)
    size += varintSize(keySize) + keySize + varintSize(value === null ? -1 : value.length) + (value?.length ?? 0)
  }
  const block = Buffer.allocUnsafe(size)
  let at = writeVarint(block, 0, headers.length)
  for (const { key, value } of headers) {
    at = writeVarint(block, at, Buffer.byteLength(key))
    at += block.write(key, at, 'utf8')
    at = writeVarint(block, at, value === null ? -1 : value.length)
    if (value === null) continue
    block.set(value, at)
    at += value.length
  }
  return block
}

/** The inverse; values are views. Throws CORRUPT_MESSAGE for a block that does not parse to its end. */
export function decodeHeaders(block: Uint8Array): PackedHeader[] {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength)
  const reader = new VarintReader(bytes)
  const take = (length: number): Buffer => {
    const end = reader.position + length
    if (length < 0 || end > bytes.length) throw new RangeError(`length ${length} at byte ${reader.position}`)
    const part = bytes.subarray(reader.position, end)
    reader.position = end
    return part
  }
  try {
    // Each header takes two bytes at least, so a hostile count cannot make a large array.
    const count = reader.int()
    if (count < 0 || count * 2 > bytes.length) throw new RangeError(`${count} headers in ${bytes.length} bytes`)
    const headers: PackedHeader[] = []
    for (let i = 0; i < count; i++) {
      const key = take(reader.int()).toString('utf8')
      const length = reader.int()
      headers.push({ key, value: length === -1 ? null : take(length) })
    }
    if (reader.position !== bytes.length) throw new RangeError('bytes behind the last header')
    return headers
  } catch (cause) {
    throw new KtsError('CORRUPT_MESSAGE', `record headers do not parse: ${errorMessage(cause)}`, { cause })
  }
}
