import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parse as definition } from '../../../runtime/transforms/parse/parse.ts'
import { openParse, READ_AT, RecordError, recordOf } from './parse-support.ts'

const LINE =
  '203.0.113.9 - alice [20/Nov/2026:14:05:09 +0100] "GET /a b?q=1 HTTP/1.1" 200 1234 "https://example.com/" "curl/8"'

describe('combined', () => {
  test('a line becomes fields under nginx’s names, with its own time', () => {
    const record = openParse({ format: 'nginx' }).parse(LINE)
    expect(record.value).toEqual({
      remote_addr: '203.0.113.9',
      remote_user: 'alice',
      time_local: '20/Nov/2026:14:05:09 +0100',
      request: 'GET /a b?q=1 HTTP/1.1',
      method: 'GET',
      path: '/a b?q=1',
      protocol: 'HTTP/1.1',
      status: 200,
      body_bytes_sent: 1234,
      http_referer: 'https://example.com/',
      http_user_agent: 'curl/8',
    })
    expect(record.timestamp).toBe(Date.parse('2026-11-20T13:05:09Z'))
    expect(Object.getPrototypeOf(record.value)).toBe(null)
  })

  test('a dash is null, and what is no request line has no method', () => {
    const { parse } = openParse({ format: 'combined' })
    const value = parse('1.2.3.4 - - [20/Nov/2026:14:05:09 +0000] "HELP" 400 - "-" "-"').value
    expect(value).toMatchObject({ remote_user: null, body_bytes_sent: null, http_referer: null, http_user_agent: null })
    expect(value).toMatchObject({ request: 'HELP', method: null, path: null, protocol: null })
  })

  test('escapes of nginx and of Apache are taken back; bytes that are not UTF-8 stay spelled', () => {
    const { parse } = openParse({ format: '"$a" "$b" "$c"' })
    expect(parse('"\\xC3\\xBC\\x22\\x5C" "say \\"hi\\"\\t\\\\" "\\xe4 ok"').value).toEqual({
      a: 'ü"\\',
      b: 'say "hi"\t\\',
      c: '\\xe4 ok',
    })
  })

  test('raw bytes that are not UTF-8 are spelled as nginx spells them, and counted once a line', () => {
    const { parse, counts } = openParse({ format: '$a|$b' })
    const bytes = Buffer.concat([Buffer.from('grün'), Buffer.from([0xff, 0xe2, 0x82]), Buffer.from('|\uFFFD!')])
    expect(parse(bytes).value).toEqual({ a: 'grün\\xFF\\xE2\\x82', b: '\uFFFD!' })
    expect(counts).toEqual({ 'invalid.utf8': 1 })
  })

  test.each([
    ['31/Feb/2026:14:05:09 +0000', false],
    ['29/Feb/2023:14:05:09 +0000', false],
    ['29/Feb/2024:14:05:09 +0000', true],
    ['20/Nov/2026:24:00:00 +0000', false],
    ['20/nov/2026:14:05:09 +0000', false],
    ['20/Nov/2026 14:05:09 +0000', false],
    ['31/Dec/2016:23:59:60 +0000', true],
  ])('the time %s is one: %s', (time, good) => {
    const { value } = openParse({ format: '[$time_local]' }).parse(`[${time}]`)
    expect('time_local' in (value as object)).toBe(good)
  })

  test('numbers are digits that a double holds exactly', () => {
    const { parse, counts } = openParse({ format: '$status $request_time' })
    expect(parse('009 0.010').value).toEqual({ status: 9, request_time: 0.01 })
    for (const bad of ['-1 0', '1e3 0', '0x1 0', ' 0', '1 0.', '1 .5', '1 1.2.3', '9007199254740993 0']) parse(bad)
    expect(counts).toEqual({ 'parse.errors': 8 })
  })

  test('the finest time of the format sets the timestamp', () => {
    const { parse } = openParse({ format: '[$time_local] $msec $time_iso8601' })
    const record = parse('[20/Nov/2026:14:05:09 +0000] 1763647509.123 2026-11-20T14:05:09+00:00')
    expect(record.timestamp).toBe(1_763_647_509_123)
    expect(record.value).toMatchObject({ msec: 1763647509.123 })
  })
})

describe('lines that do not fit', () => {
  test('are kept whole, with the reason and the time they were read', () => {
    const { parse, counts } = openParse({ format: 'combined' })
    const record = parse('2021/12/01 13:53:33 [error] 31#31: *46 not found')
    expect(record.value).toEqual({
      message: '2021/12/01 13:53:33 [error] 31#31: *46 not found',
      parse_error: "expected ' - ' after $remote_addr from column 1 on",
    })
    expect(record.timestamp).toBe(READ_AT)
    expect(counts).toEqual({ 'parse.errors': 1 })
  })

  test('keep the time the source gave them', () => {
    const { transform } = openParse({ format: 'combined' })
    expect(transform({ ...recordOf('x'), timestamp: 5 })!.timestamp).toBe(5)
  })

  test.each(['fail', 'skip', 'dead-letter'] as const)('on.error: %s says so to the runtime', onError => {
    const { parse, counts } = openParse({ format: 'combined', 'on.error': onError })
    const thrown = attempt(() => parse('x'))
    expect(thrown).toBeInstanceOf(RecordError)
    expect((thrown as RecordError).onError).toBe(onError)
    expect(counts).toEqual({ 'parse.errors': 1 })
  })

  test('a null value passes: it is a tombstone and not a line', () => {
    const { parse, counts } = openParse({ format: 'combined' })
    expect(parse(null).value).toBe(null)
    expect(counts).toEqual({})
  })

  test('hostile lines of 100 KB cost what good ones cost', () => {
    const { parse } = openParse({ format: 'combined' })
    const prefix = '1.2.3.4 - - [20/Nov/2026:14:05:09 +0000] "'
    const shapes = [' - ', '"', '\\', '" ', '\\"', ' [', '] "', '- ', '"-" '].flatMap(s => [s, prefix + s])
    // Work is counted in characters and not in time: doubling the line must not do more than double the steps.
    for (const shape of shapes) {
      const steps = (length: number) => stepsOf(() => parse(shape.repeat(Math.ceil(length / shape.length))))
      expect(steps(100_000), JSON.stringify(shape)).toBeLessThan(3 * steps(50_000) + 1000)
    }
  })
})

/** Characters looked at through String.prototype while `run` runs: a measure of work that no busy machine disturbs. */
function stepsOf(run: () => void): number {
  const { indexOf, charCodeAt } = String.prototype
  let steps = 0
  String.prototype.indexOf = function (this: string, search: string, from = 0) {
    const at = indexOf.call(this, search, from)
    steps += (at < 0 ? this.length : at) - from + 1
    return at
  }
  String.prototype.charCodeAt = function (this: string, i: number) {
    steps++
    return charCodeAt.call(this, i)
  }
  try {
    run()
    return steps
  } finally {
    Object.assign(String.prototype, { indexOf, charCodeAt })
  }
}

function attempt(run: () => unknown): unknown {
  try {
    run()
    return undefined
  } catch (error) {
    return error
  }
}

describe('json', () => {
  test('an object becomes the value, integers unrounded and without prototypes', () => {
    const { parse } = openParse({ format: 'json' })
    const value = parse('{"id":12345678901234567890,"a":{"__proto__":{"x":1}}}').value as Record<string, object>
    expect(value.id).toBe(12345678901234567890n)
    expect(Object.getPrototypeOf(value.a)).toBe(null)
    expect(Object.keys(value.a!)).toEqual(['__proto__'])
    expect(({} as Record<string, unknown>).x).toBe(undefined)
  })

  test.each(['[1]', '1', 'null', '"x"', '', '{', '{"a":1} x', '['.repeat(100_000)])('%s is kept', text => {
    const { parse, counts } = openParse({ format: 'json' })
    expect(parse(text).value).toMatchObject({ message: text })
    expect(counts).toEqual({ 'parse.errors': 1 })
  })

  test('bytes that are not UTF-8 are spelled inside their string', () => {
    const { parse, counts } = openParse({ format: 'json' })
    const bytes = Buffer.concat([Buffer.from('{"ua":"a'), Buffer.from([0xff]), Buffer.from('"}')])
    expect(parse(bytes).value).toEqual({ ua: 'a\\xFF' })
    expect(counts).toEqual({ 'invalid.utf8': 1 })
  })

  test.each([
    ['1763647509', 1_763_647_509_000],
    ['1763647509.25', 1_763_647_509_250],
    ['1763647509123', 1_763_647_509_123],
    ['"1763647509"', 1_763_647_509_000],
    ['"2026-11-20T14:05:09.5Z"', Date.parse('2026-11-20T14:05:09.500Z')],
    ['"2026-11-20 14:05:09"', Date.parse('2026-11-20T14:05:09Z')],
    ['"2026-11-20T14:05:09+0130"', Date.parse('2026-11-20T12:35:09Z')],
    ['"20/Nov/2026:14:05:09 +0000"', Date.parse('2026-11-20T14:05:09Z')],
  ])('timestamp.field reads %s', (json, expected) => {
    const { parse, counts } = openParse({ format: 'json', 'timestamp.field': 'ts' })
    expect(parse(`{"ts":${json}}`).timestamp).toBe(expected)
    expect(counts).toEqual({})
  })

  test.each(['{}', '{"ts":"yesterday"}', '{"ts":1e300}', '{"ts":-5}', '{"ts":{}}', '{"ts":""}'])(
    '%s has no time: it is counted, and the fields stay',
    text => {
      const { parse, counts } = openParse({ format: 'json', 'timestamp.field': 'ts' })
      const record = parse(text)
      expect(record.timestamp).toBe(undefined)
      expect(record.value).toEqual(JSON.parse(text))
      expect(counts).toEqual({ 'timestamp.errors': 1 })
    },
  )
})

describe('field', () => {
  test('one field of a structured value is parsed in its place', () => {
    const { parse } = openParse({ format: '$status', field: 'log' })
    expect(parse({ log: '200', host: 'a' }).value).toEqual({ log: { status: 200 }, host: 'a' })
    expect(parse({ log: 'x', host: 'a' }).value).toMatchObject({ log: { message: 'x' }, host: 'a' })
  })

  test('a value without the field stays as it is and is counted', () => {
    const { parse, counts } = openParse({ format: '$status', field: 'log' })
    expect(parse({ host: 'a' }).value).toEqual({ host: 'a' })
    expect(counts).toEqual({ 'parse.errors': 1 })
  })
})

test.each(['', 'nothing', '$a$b', '$a$' + '{b}'])('the format "%s" is refused with advice', format => {
  const spec = definition.options.format as { validate: (value: string) => string | undefined }
  expect(spec.validate(format)).toMatch(/log_format|between/)
})

/** A log_format, values for it, and the line that nginx would write. */
const rendered = fc
  .record({
    style: fc.constantFrom('default' as const, 'json' as const),
    fields: fc.uniqueArray(
      fc.record({
        name: fc.stringMatching(/^[a-z][a-z0-9_]{0,10}$/).map(name => `v_${name}`),
        value: fc.string({ unit: 'binary', minLength: 1 }),
      }),
      { selector: f => f.name, minLength: 1, maxLength: 8 },
    ),
    separators: fc.array(fc.constantFrom(' ', ' - ', '|', '] [', ', '), { minLength: 8, maxLength: 8 }),
  })
  .map(({ style, fields, separators }) => {
    const glue = (part: (field: { name: string; value: string }) => string) =>
      fields.map((field, i) => `${i === 0 ? '' : separators[i]!}"${part(field)}"`).join('')
    return { style, fields, format: glue(f => `$${f.name}`), line: glue(f => escapeAs(style, f.value)) }
  })

function escapeAs(style: 'default' | 'json', value: string): string {
  if (style === 'json') return JSON.stringify(value).slice(1, -1)
  const hex = (b: number) => `\\x${b.toString(16).toUpperCase().padStart(2, '0')}`
  return [...Buffer.from(value)]
    .map(b => (b < 32 || b > 126 || b === 34 || b === 92 ? hex(b) : String.fromCharCode(b)))
    .join('')
}

test('whatever is rendered by a format comes back from it', () => {
  fc.assert(
    fc.property(rendered, ({ style, fields, format, line }) => {
      const value = openParse({ format, escape: style }).parse(line).value
      const nothing = style === 'default' ? '-' : ''
      const expected = fields.map(f => [f.name, f.value === nothing ? null : Buffer.from(f.value).toString()])
      expect(Object.entries(value as object)).toEqual(expected)
    }),
    { seed: 20_261_120, numRuns: 2000, verbose: 1 },
  )
})

test('no line makes the parser throw, and every line is parsed or kept', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom('combined', 'json', '"$a" $status'),
      (bytes, format) => {
        const { parse, counts } = openParse({ format })
        const value = parse(bytes).value as object
        expect('parse_error' in value ? 1 : 0).toBe(counts['parse.errors'] ?? 0)
      },
    ),
    { seed: 20_261_120, numRuns: 2000 },
  )
})
