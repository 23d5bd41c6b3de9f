import { expect, it } from 'vitest'
import { parseJson, stringifyJson } from '../../base/json.ts'

const nested = (depth: number, open: string, inner: string, close: string) =>
  open.repeat(depth) + inner + close.repeat(depth)

it.each([
  ['lists', '[', ']'],
  ['objects', '{"a":', '}'],
])('what is read can be written again, however deep the %s; deeper is refused', (_, open, close) => {
  // Numbers of 16 digits and more take another way through both.
  for (const inner of ['1', '12345678901234567890']) {
    const text = nested(1000, open, inner, close)
    expect(stringifyJson(parseJson(text))).toBe(text)
    for (const depth of [1001, 9000]) {
      expect(() => parseJson(nested(depth, open, inner, close))).toThrow(RangeError)
    }
  }
})

it('brackets inside strings, behind escaped quotes too, and many beside each other are no nesting', () => {
  for (const text of [
    JSON.stringify({ a: '['.repeat(5000), b: `"\\"${'{'.repeat(5000)}\\` }),
    `[${'[],{},'.repeat(2000)}1]`,
  ]) {
    expect(stringifyJson(parseJson(text))).toBe(text)
  }
})
