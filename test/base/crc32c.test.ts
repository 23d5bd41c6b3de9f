import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32c, portableCrc32c } from '../../base/crc32c.ts'

test.each([
  ['123456789', Buffer.from('123456789'), 0xe3069283],
  ['32 zero bytes (RFC 3720, B.4)', Buffer.alloc(32), 0x8a9136aa],
  ['32 bytes of ones (RFC 3720, B.4)', Buffer.alloc(32, 0xff), 0x62a8ab43],
  ['nothing', Buffer.alloc(0), 0],
])('both implementations know the checksum of %s', (_, bytes, expected) => {
  expect(portableCrc32c(bytes)).toBe(expected)
  expect(crc32c(bytes)).toBe(expected)
})

test('native and portable agree on any bytes, whole or continued', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (bytes, cut) => {
      const whole = portableCrc32c(bytes)
      expect(crc32c(bytes)).toBe(whole)
      const [head, tail] = [bytes.subarray(0, cut), bytes.subarray(cut)]
      expect(portableCrc32c(tail, portableCrc32c(head))).toBe(whole)
      expect(crc32c(tail, crc32c(head))).toBe(whole)
    }),
    { seed: 1 },
  )
})
