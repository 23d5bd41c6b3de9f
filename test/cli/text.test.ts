import { describe, expect, it } from 'vitest'
import { clip, escapeControls, formatBytes, formatCount, formatDuration, tableLines } from '../../cli/text.ts'

describe('escaping', () => {
  it('leaves text as it is, whatever its script', () => {
    expect(escapeControls('GET /grüße HTTP/1.1 "日本" 👍')).toBe('GET /grüße HTTP/1.1 "日本" 👍')
  })

  it.each([
    ['\u001b[2J', '\\u001b[2J'],
    ['a\r\nb', 'a\\u000d\\u000ab'],
    ['\u009b31m', '\\u009b31m'],
    ['\u202egnp.exe', '\\u202egnp.exe'],
    ['\u007f', '\\u007f'],
  ])('a terminal never sees %j', (text, escaped) => expect(escapeControls(text)).toBe(escaped))

  it('inside a JSON string the meaning stays the same', () => {
    const value = 'a\u001b\u009b\u202e\u2028b'
    expect(JSON.parse(escapeControls(JSON.stringify({ value })))).toEqual({ value })
  })
})

it('a table is aligned, and a cell cannot break its line', () => {
  const lines = tableLines(
    [{ title: 'TOPIC' }, { title: 'SIZE', align: 'right' }],
    [
      ['a\nb', '7'],
      ['longer', '12345'],
    ],
  )
  expect(lines).toEqual(['TOPIC      SIZE', 'a\\u000ab      7', 'longer    12345'])
})

it('numbers are in units people read', () => {
  expect([0, 1023, 1536, 150 * 1024, 5 * 2 ** 30].map(formatBytes)).toEqual([
    '0 B',
    '1023 B',
    '1.5 KiB',
    '150 KiB',
    '5.0 GiB',
  ])
  expect(formatCount(1234567)).toBe('1,234,567')
  expect([999, 65_000, 3_720_000, 97 * 3_600_000].map(formatDuration)).toEqual(['0s', '1m 05s', '1h 02m', '4d 1h'])
  expect([clip('abcdef', 4), clip('abc', 4)]).toEqual(['abc…', 'abc'])
})
