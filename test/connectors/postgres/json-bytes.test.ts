import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  changeDigits,
  digitsOf,
  hasDigits,
  JsonBytes,
  Piece,
  writeDigits,
} from '../../../connectors/postgres/json-bytes.ts'
import { stringText } from '../../../runtime/api/index.ts'

const written = (write: (json: JsonBytes) => void) => {
  const json = new JsonBytes(64)
  write(json)
  return json.bytes.toString('utf8', 0, json.length)
}

const quoted = (text: string) => {
  // Around it is what would need escapes.
  const bytes = Buffer.from(`"\\${text}\\"`)
  return written(json => json.string(bytes, 2, bytes.length - 2))
}

describe('text as JSON', () => {
  test('is what Jackson writes, whatever the text and its length', () => {
    const unit = fc.oneof(
      fc.constantFrom('"', '\\', '\n', '\u0000', '\u001f', '\u007f', '/', 'é', '€', '\u2028', '😀', '\u{10ffff}'),
      fc.string({ unit: 'grapheme', maxLength: 30 }),
    )
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 12 }), units => {
        const text = units.join('')
        expect(quoted(text)).toBe(stringText(text))
      }),
      { seed: 5, numRuns: 2000 },
    )
  })

  test('has the short escapes, and the others in capitals', () => {
    expect(quoted('"\\/\b\f\n\r\t\u0000\u001b')).toBe('"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001B"')
    expect(quoted('😀')).toBe('"\\uD83D\\uDE00"')
  })

  test('of a large text with some escapes takes no more room than it needs', () => {
    const text = `${'x'.repeat(1 << 20)}"\n\u0001😀${'y'.repeat(1 << 20)}`
    const bytes = Buffer.from(text)
    const json = new JsonBytes(64)
    json.string(bytes, 0, bytes.length)
    expect(json.bytes.toString('utf8', 0, json.length)).toBe(stringText(text))
    expect(json.bytes.length).toBeLessThan(bytes.length * 2 + 100)
  })

  test.each([200, 5000])('of a character that is cut short behind %i others stays within its room', length => {
    const bytes = Buffer.concat([Buffer.alloc(length, 0x1f), Buffer.of(0xf0)])
    const text = written(json => json.string(bytes, 0, bytes.length))
    expect(text.startsWith('"\\u001F\\u001F')).toBe(true)
    expect(text.endsWith('"')).toBe(true)
  })
})

test('bytes are copied as they are, however many', () => {
  const bytes = Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 89) & 0xff))
  for (let size = 0; size < 140; size++) {
    const json = new JsonBytes(64)
    json.raw(bytes, 7, 7 + size)
    json.raw(bytes, 200, 205)
    expect(json.bytes.subarray(0, json.length)).toEqual(
      Buffer.concat([bytes.subarray(7, 7 + size), bytes.subarray(200, 205)]),
    )
  }
})

test('an integer is its digits, up to 2^53 in size', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), value => {
      expect(written(json => json.integer(value))).toBe(String(value))
    }),
    { seed: 6, numRuns: 500 },
  )
  for (let power = 0; power < 16; power++) {
    for (const value of [10 ** power - 1, 10 ** power]) {
      expect(written(json => json.integer(value))).toBe(String(value))
    }
  }
})

test('pieces are the text that they were made of, whatever it is and wherever it ends', () => {
  const all = Array.from({ length: 0x10000 }, (_, i) => (i >= 0xd800 && i < 0xe000 ? '' : String.fromCharCode(i)))
  for (let shift = 0; shift < 8; shift++) {
    const text = stringText(`${'a'.repeat(shift)}${all.join('')}\u007f\u{1f600}${'\u007f'.repeat(9)}`)
    expect(
      written(json => {
        json.piece(new Piece(text))
        json.piece(new Piece('!'))
      }),
    ).toBe(`${text}!`)
  }
})

test('a number that is put over another one of its width is the number', () => {
  const edges = Array.from({ length: 16 }, (_, e) => [-1, 0, 1].map(by => Math.max(0, 10 ** e + by))).flat()
  const number = fc.oneof(fc.constantFrom(...edges, 2 ** 53 - 1), fc.maxSafeNat())
  const into = Buffer.alloc(20)
  fc.assert(
    fc.property(number, fc.oneof(number, fc.integer({ min: -2000, max: 2000 })), (before, by) => {
      const value = Math.abs(by) <= 2000 ? before + by : by
      const width = digitsOf(before)
      expect(String(before)).toHaveLength(width)
      expect(hasDigits(value, width)).toBe(value >= 0 && String(value).length === width)
      if (!hasDigits(value, width)) return
      writeDigits(into, 0, width, before)
      changeDigits(into, 0, width, value, before)
      expect(into.toString('latin1', 0, width)).toBe(String(value))
    }),
    { seed: 11, numRuns: 5000 },
  )
})
