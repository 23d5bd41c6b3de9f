import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NumberTemplate } from '../../../connectors/postgres/events/number-template.ts'

const PIECES = ['{"a":', ',"é":', ',"c":', '}']

test('is the text with its numbers, whatever they were before', () => {
  const edges = Array.from({ length: 16 }, (_, i) => [10 ** i - 1, 10 ** i]).flat()
  const value = fc.oneof(
    fc.constant(undefined),
    fc.constantFrom(0, -0, 1, -1, 2 ** 31, 2 ** 53 - 1, -(2 ** 53) + 1, ...edges),
    fc.maxSafeNat(),
    // Neighbours: of most only the last digits are written.
    fc
      .tuple(fc.constantFrom(99_999_990, 1e8, 23_000_000_000, 2 ** 53 - 1000), fc.nat(999))
      .map(([from, by]) => from + by),
  )
  const sets = fc.array(fc.tuple(fc.nat(2), value), { maxLength: 40 })
  fc.assert(
    fc.property(sets, all => {
      const template = new NumberTemplate(PIECES)
      const values: (number | undefined)[] = [undefined, undefined, undefined]
      for (const [slot, number] of all) {
        template.set(slot, number)
        values[slot] = number
        const expected = PIECES.map((piece, i) => (i === 0 ? piece : `${values[i - 1] ?? ''}${piece}`)).join('')
        expect(template.bytes.toString()).toBe(expected)
      }
    }),
    { seed: 7, numRuns: 500 },
  )
})

test('costs no new buffer while a number keeps its width', () => {
  const template = new NumberTemplate(PIECES)
  template.set(0, 100)
  const { bytes } = template
  template.set(0, 999)
  expect(template.bytes).toBe(bytes)
  template.set(0, 1000)
  expect(template.bytes).not.toBe(bytes)
})
