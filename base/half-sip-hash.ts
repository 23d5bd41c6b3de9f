/** Words of a key, and of a hash. */
export const HASH_WORDS = 4

/**
 * HalfSipHash-1-3 (https://github.com/veorq/SipHash) of `bytes[start, end)`, but with all four words of its state as the
 * key and as the result, which go into `into[at, at + 4)`: the 32-bit hash is the second xor the fourth. Two inputs have
 * one hash only where their states met, so who does not know the key cannot make two such.
 */
export function halfSipHash(
  key: Int32Array,
  bytes: Uint8Array,
  start: number,
  end: number,
  into: Int32Array,
  at: number,
): void {
  let v0 = key[0]!
  let v1 = key[1]!
  let v2 = key[2]!
  let v3 = key[3]!
  const length = end - start
  const wholeEnd = start + (length & ~3)
  let word = 0
  // One round for each word of the input (the last one holds the rest and the length), then three. One loop, since a
  // function for the round would have to hand four words back.
  for (let i = start, last = 4; last > 0; i += 4) {
    if (i < wholeEnd) word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    else {
      word = last === 4 ? lastWord(bytes, i, end, length) : 0
      if (last === 3) v2 ^= 0xff
      last--
    }
    v3 ^= word
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
    v0 ^= word
  }
  into[at] = v0
  into[at + 1] = v1
  into[at + 2] = v2
  into[at + 3] = v3
}

/** The bytes that fill no word, and the length in the highest byte. */
function lastWord(bytes: Uint8Array, from: number, end: number, length: number): number {
  let word = length << 24
  if (end - from === 3) word |= bytes[from + 2]! << 16
  if (end - from >= 2) word |= bytes[from + 1]! << 8
  if (end - from >= 1) word |= bytes[from]!
  return word
}
