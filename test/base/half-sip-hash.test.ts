import { describe, expect, test } from 'vitest'
import { HASH_WORDS, halfSipHash } from '../../base/half-sip-hash.ts'
import { SeededRandom } from '../../base/random.ts'

/** The two words of the published vectors' key, and what the initialisation makes of them. */
const K0 = 0x03020100
const K1 = 0x07060504
const KEY = Int32Array.of(K0, K1, 0x6c796765 ^ K0, 0x74656462 ^ K1)
/** Linux's siphash self test on 32 bits: HalfSipHash-1-3 of the bytes 0, 1, 2…, by length. */
const VECTORS: readonly number[] = [
  0x5814c896, 0xe7e864ca, 0xbc4b0e30, 0x01539939, 0x7e059ea6, 0x88e3d89b, 0xa0080b65, 0x9d38d9d6, 0x577999b1,
  0xc839caed,
]

function hashOf(bytes: Uint8Array, start = 0, end = bytes.length, key = KEY): number[] {
  const into = new Int32Array(HASH_WORDS)
  halfSipHash(key, bytes, start, end, into, 0)
  return [...into]
}

describe('halfSipHash', () => {
  test.each(VECTORS.map((hash, length) => [length, hash] as const))('hashes %i bytes as Linux does', (length, hash) => {
    const [, b, , d] = hashOf(Uint8Array.from({ length }, (_, i) => i))
    expect((b! ^ d!) >>> 0).toBe(hash)
  })

  test('takes a range where it lies, and writes to where it is told', () => {
    const bytes = Buffer.from('..any key at all..')
    const alone = hashOf(Buffer.from('any key at all'))
    expect(hashOf(bytes, 2, bytes.length - 2)).toEqual(alone)
    const into = new Int32Array(HASH_WORDS + 2)
    halfSipHash(KEY, bytes, 2, bytes.length - 2, into, 1)
    expect([...into]).toEqual([0, ...alone, 0])
  })

  test('every bit of the key and of the input moves about half of the bits', () => {
    const random = new SeededRandom(11)
    const bytes = random.bytes(13)
    const key = Int32Array.from({ length: HASH_WORDS }, () => random.bytes(4).readInt32LE())
    const before = hashOf(bytes, 0, 13, key)
    for (let bit = 0; bit < 13 * 8 + 128; bit++) {
      const otherBytes = Buffer.from(bytes)
      const otherKey = Int32Array.from(key)
      if (bit < 13 * 8) otherBytes[bit >> 3]! ^= 1 << (bit & 7)
      else otherKey[(bit - 13 * 8) >> 5]! ^= 1 << (bit & 31)
      const moved = hashOf(otherBytes, 0, 13, otherKey).reduce((sum, word, i) => sum + ones(word ^ before[i]!), 0)
      expect(moved, `bit ${bit}`).toBeGreaterThan(32)
      expect(moved, `bit ${bit}`).toBeLessThan(96)
    }
  })
})

function ones(word: number): number {
  return (word >>> 0).toString(2).replaceAll('0', '').length
}
