import { describe, expect, test } from 'vitest'
import { murmur2, partitionForKey } from '../../base/murmur2.ts'

// The vectors of Kafka's own UtilsTest.testMurmur2.
const VECTORS: readonly (readonly [string, number])[] = [
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
]

describe('murmur2', () => {
  test.each(VECTORS)('hashes %s as Kafka does', (text, hash) => {
    expect(murmur2(Buffer.from(text))).toBe(hash)
  })

  test('reads bytes above 127 as unsigned', () => {
    expect(murmur2(Uint8Array.of(0xff, 0xfe, 0xfd, 0xfc))).not.toBe(murmur2(Uint8Array.of(0x7f, 0x7e, 0x7d, 0x7c)))
  })

  test('a negative hash is masked, not negated', () => {
    expect(partitionForKey(Buffer.from('21'), 7)).toBe((-973932308 & 0x7fffffff) % 7)
    expect(partitionForKey(Buffer.from('abc'), 7)).toBe(479470107 % 7)
  })
})
