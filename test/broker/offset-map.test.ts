import { describe, expect, test } from 'vitest'
import { HASH_WORDS, randomInt, SeededRandom } from '../../base/index.ts'
import { NEW_KEY, NO_ROOM, OffsetMap } from '../../broker/offset-map.ts'
import { OffsetSet } from '../../broker/offset-set.ts'

const SLOT_BYTES = 24

function hashOf(map: OffsetMap, key: Uint8Array, start = 0, end = key.length): Int32Array {
  const hash = new Int32Array(HASH_WORDS)
  map.hash(key, start, end, hash, 0)
  return hash
}

function put(map: OffsetMap, key: Uint8Array, offset: number): number {
  return map.put(hashOf(map, key), 0, offset)
}

function get(map: OffsetMap, key: Uint8Array): number {
  return map.get(hashOf(map, key), 0)
}

describe('OffsetMap', () => {
  test('says the last offset of each key, and the one before, as a plain map does', () => {
    const seed = 21
    const random = new SeededRandom(seed)
    const map = new OffsetMap(1 << 20, 5000, random)
    const plain = new Map<string, number>()
    for (let offset = 0; offset < 5000; offset++) {
      const key = Buffer.from(`${randomInt(random, 1500)}`.padStart(randomInt(random, 9), '0'))
      const name = key.toString()
      const at = `seed ${seed}, offset ${offset}`
      expect(get(map, key), at).toBe(plain.get(name) ?? NEW_KEY)
      expect(put(map, key, offset * 2 ** 21), at).toBe(plain.get(name) ?? NEW_KEY)
      plain.set(name, offset * 2 ** 21)
    }
    expect(map.size).toBe(plain.size)
    for (const [name, offset] of plain) expect(get(map, Buffer.from(name))).toBe(offset)
  })

  test('a full one takes no new key and goes on with those it has, and still finds what is not there', () => {
    const map = new OffsetMap(SLOT_BYTES * 100, 1_000_000, new SeededRandom(22))
    const keys = Array.from({ length: 200 }, (_, i) => Buffer.from(`key ${i}`))
    const taken = keys.filter((key, i) => put(map, key, i) === NEW_KEY)
    expect(taken).toEqual(keys.slice(0, 90))
    expect(map.size).toBe(90)
    for (const [i, key] of keys.entries()) {
      expect(get(map, key)).toBe(i < 90 ? i : NEW_KEY)
      expect(put(map, key, 1000 + i)).toBe(i < 90 ? i : NO_ROOM)
      expect(get(map, key)).toBe(i < 90 ? 1000 + i : NEW_KEY)
    }
  })

  test('an empty key is a key', () => {
    const map = new OffsetMap(1 << 10, 10, new SeededRandom(23))
    expect(map.put(hashOf(map, Buffer.from('x'), 1, 1), 0, 0)).toBe(NEW_KEY)
    expect(get(map, Buffer.alloc(0))).toBe(0)
    expect(get(map, Buffer.alloc(1))).toBe(NEW_KEY)
  })
})

describe('OffsetSet', () => {
  test('holds what was added, far out too, and knows where its range ends', () => {
    const from = 2 ** 45 + 3
    const set = new OffsetSet(from, 21)
    expect(set.end).toBeGreaterThanOrEqual(from + 21)
    for (const i of [0, 7, 8, 9, 20]) set.add(from + i)
    const held = Array.from({ length: 21 }, (_, i) => i).filter(i => set.has(from + i))
    expect(held).toEqual([0, 7, 8, 9, 20])
    expect(set.hasAll(from + 7, from + 9)).toBe(true)
    expect(set.hasAll(from + 7, from + 10)).toBe(false)
  })
})
