import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CopyRows } from '../../../connectors/postgres/snapshot/copy-rows.ts'
import { NULL } from '../../../connectors/postgres/tuple.ts'

/** As the server escapes it (CopyAttributeOutText). */
const ESCAPES: Readonly<Record<string, string>> = {
  '\b': '\\b',
  '\t': '\\t',
  '\n': '\\n',
  '\v': '\\v',
  '\f': '\\f',
  '\r': '\\r',
  '\\': '\\\\',
}
const copied = (value: string | null) => value?.replace(/[\b\t\n\v\f\r\\]/g, char => ESCAPES[char]!) ?? '\\N'

function read(columns: number, line: Buffer, before: number, behind: number): (string | null)[] {
  const rows = new CopyRows(columns, false)
  const bytes = Buffer.concat([Buffer.alloc(before, '\t'), line, Buffer.alloc(behind, '\\')])
  rows.read(bytes, before, before + line.length)
  const { kinds, starts, ends } = rows.tuple
  return Array.from({ length: columns }, (_, i) =>
    kinds[i] === NULL ? null : rows.tuple.bytes.toString('utf8', starts[i], ends[i]),
  )
}

describe('a line of COPY', () => {
  test('has the values that were copied, wherever escapes, ends and other bytes lie', () => {
    const unit = fc.constantFrom(
      'a',
      'b',
      'N',
      '\t',
      '\n',
      '\\',
      '\b',
      '\v',
      '\f',
      '\r',
      '\u0008',
      '\u000a',
      ']',
      '\u007f',
      'é',
      '€',
      '😀',
    )
    const value = fc.option(fc.string({ unit, maxLength: 14 }))
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 6 }), fc.nat(5), fc.nat(5), (values, before, behind) => {
        const line = Buffer.from(`${values.map(copied).join('\t')}\n`)
        expect(read(values.length, line, before, behind)).toEqual(values)
      }),
      { seed: 8, numRuns: 3000 },
    )
  })

  test.each(['a', 'a\tb\tc', ''])('of other columns than asked for is refused: %j', line => {
    expect(() => read(2, Buffer.from(`${line}\n`), 0, 0)).toThrow('expected 2 columns')
  })
})
