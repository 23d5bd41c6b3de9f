import { expect, test } from 'vitest'
import { SeededRandom } from '../../base/index.ts'
import { KeptLetters } from '../../runtime/kept-letters.ts'

test('which records have a dead letter survives as metadata, exactly', () => {
  const letters = new KeptLetters('')
  for (const offset of [17, 20, 21, 22, 5]) letters.add(offset)
  expect(letters.metadata(10)).toBe('letters:23:17,3+2')
  const restored = new KeptLetters('letters:23:17,3+2')
  expect(Array.from({ length: 15 }, (_, i) => i + 10).filter(o => restored.has(o))).toEqual([17, 20, 21, 22])
})

test('once the committed offset is behind them nothing is kept', () => {
  const letters = new KeptLetters('letters:23:17,3+2')
  expect(letters.metadata(21)).toBe('letters:23:20+2')
  expect(letters.metadata(23)).toBe('')
  expect(letters.has(22)).toBe(false)
})

test('more than the metadata may hold becomes: all that is bad below', () => {
  const letters = new KeptLetters('')
  for (let offset = 0; offset < 10_000; offset += 2) letters.add(offset)
  expect(letters.metadata(0)).toBe('letters:9999')
  const restored = new KeptLetters('letters:9999')
  expect([restored.has(1), restored.has(9999)]).toEqual([true, false])
  restored.add(12_000)
  expect(restored.metadata(0)).toBe('letters:12001')
  // Behind it, exact again.
  restored.add(12_005)
  expect(restored.metadata(12_001)).toBe('letters:12006:12005')
})

test('a long run of bad records is short metadata', () => {
  const letters = new KeptLetters('')
  for (let offset = 1000; offset < 200_000; offset++) letters.add(offset)
  expect(letters.metadata(1000)).toBe('letters:200000:1000+198999')
})

test('metadata of others means none', () => {
  for (const text of ['so far', 'letters:', 'letters:x', 'letters:5:', 'letters:5:1+', 'letters:5:1,,2', 'letters:-5'])
    expect(new KeptLetters(text).has(3), text).toBe(false)
})

test.each([1, 2, 3])('any set of records is the same after its metadata, seed %i', seed => {
  const random = new SeededRandom(seed)
  for (let round = 0; round < 50; round++) {
    const letters = new KeptLetters('')
    const offset = Math.floor(random.next() * 100)
    const added = new Set<number>()
    for (let i = 0; i < 30; i++) added.add(offset + Math.floor(random.next() * 60))
    for (const record of added) letters.add(record)
    const restored = new KeptLetters(letters.metadata(offset))
    const has = Array.from({ length: 200 }, (_, i) => i).filter(o => restored.has(o))
    expect(has).toEqual([...added].sort((a, b) => a - b))
  }
})
