import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { JsonBytes } from '../../../connectors/postgres/json-bytes.ts'
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
