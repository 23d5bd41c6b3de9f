import fc from 'fast-check'
import { isInteger, parse as parseLossless } from 'lossless-json'
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

/** The same by another parser: integers past 2^53 are bigint, and of two members with one name the last one counts. */
function oracle(text: string): unknown {
  return parseLossless(text, undefined, {
    parseNumber: token => (isInteger(token) && !Number.isSafeInteger(Number(token)) ? BigInt(token) : Number(token)),
    onDuplicateKey: ({ newValue }) => newValue,
  })
}

const outcomeOf = (parse: (text: string) => unknown, text: string) => {
  try {
    return { value: parse(text) }
  } catch (error) {
    return { error: error instanceof SyntaxError }
  }
}

const number = fc.oneof(
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }).map(String),
  fc.bigInt({ min: 2n ** 53n - 3n, max: 2n ** 53n + 3n }).map(String),
  fc.constantFrom(
    '0',
    '-0',
    '-9007199254740993',
    '9'.repeat(16),
    '1e400',
    '12345678901234567.5',
    '12345678901234567e2',
  ),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(value => JSON.stringify(value)),
)
const string = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 8 }).map(text => JSON.stringify(text)),
  // What the parser looks for, where it means nothing.
  fc
    .array(fc.oneof(number, fc.constantFrom('\\u0000', '\\"', '\\\\', ':', ',', '[', ']', ' ', 'x', '__proto__')), {
      maxLength: 5,
    })
    .map(parts => `"${parts.join('')}"`),
)
const space = fc.constantFrom('', '', '', ' ', '\n\t')
const { text: json } = fc.letrec<{ text: string }>(tie => {
  const spaced = fc.tuple(space, tie('text'), space).map(parts => parts.join(''))
  const member = fc
    .tuple(fc.oneof(string, fc.constantFrom('"a"', '"1"', '"__proto__"')), space, spaced)
    .map(([key, gap, value]) => `${key}${gap}:${value}`)
  return {
    text: fc.oneof(
      { maxDepth: 3 },
      number,
      string,
      fc.constantFrom('null', 'true'),
      fc.array(member, { maxLength: 5 }).map(members => `{${members.join(',')}}`),
      fc.array(spaced, { maxLength: 5 }).map(items => `[${items.join(',')}]`),
    ),
  }
})

it('any JSON is read as a parser reads it that looks at every token, and what is none is refused', () => {
  fc.assert(
    fc.property(
      json,
      fc.nat(),
      fc.constantFrom('', ' ', ',', ':', '"', '\\', '-', '1', '12345678901234567890', ']'),
      (text, at, put) => {
        expect(outcomeOf(parseJson, text)).toEqual(outcomeOf(oracle, text))
        const place = at % (text.length + 1)
        for (const cut of [0, 1]) {
          const broken = text.slice(0, place) + put + text.slice(place + cut)
          expect(outcomeOf(parseJson, broken)).toEqual(outcomeOf(oracle, broken))
        }
      },
    ),
    { numRuns: 3000 },
  )
})

it('a change event with nanoseconds is read with all its digits', () => {
  const text = '{"before":null,"after":{"id":9007199254740993},"ts_us":1700000000123456,"ts_ns":1700000000123456789}'
  expect(parseJson(text)).toEqual({
    before: null,
    after: { id: 9007199254740993n },
    ts_us: 1700000000123456,
    ts_ns: 1700000000123456789n,
  })
  expect(stringifyJson(parseJson(text))).toBe(text)
})
