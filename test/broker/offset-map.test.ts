import { describe, expect, test } from 'vitest'
import { randomInt, SeededRandom } from '../../base/index.ts'
import { NEW_KEY, NO_ROOM, OffsetMap } from '../../broker/offset-map.ts'
import { OffsetSet } from '../../broker/offset-set.ts'

const SLOT_BYTES = 24

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
      expect(map.get(key, 0, key.length), at).toBe(plain.get(name) ?? NEW_KEY)
      expect(map.put(key, 0, key.length, offset * 2 ** 21), at).toBe(plain.get(name) ?? NEW_KEY)
      plain.set(name, offset * 2 ** 21)
    }
    expect(map.size).toBe(plain.size)
    for (const [name, offset] of plain) expect(map.get(Buffer.from(name), 0, name.length)).toBe(offset)
  })

  test('a full one takes no new key and goes on with those it has, and still finds what is not there', () => {
    const map = new OffsetMap(SLOT_BYTES * 100, 1_000_000, new SeededRandom(22))
    const keys = Array.from({ length: 200 }, (_, i) => Buffer.from(`key ${i}`))
    const taken = keys.filter((key, i) => map.put(key, 0, key.length, i) === NEW_KEY)
    expect(taken).toEqual(keys.slice(0, 90))
    expect(map.size).toBe(90)
    for (const [i, key] of keys.entries()) {
      expect(map.get(key, 0, key.length)).toBe(i < 90 ? i : NEW_KEY)
      expect(map.put(key, 0, key.length, 1000 + i)).toBe(i < 90 ? i : NO_ROOM)
      expect(map.get(key, 0, key.length)).toBe(i < 90 ? 1000 + i : NEW_KEY)
    }
  })

  test('an empty key is a key', () => {
    const map = new OffsetMap(1 << 10, 10, new SeededRandom(23))
    expect(map.put(Buffer.from('x'), 1, 1, 0)).toBe(NEW_KEY)
    expect(map.get(Buffer.alloc(0), 0, 0)).toBe(0)
    expect(map.get(Buffer.alloc(1), 0, 1)).toBe(NEW_KEY)
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
