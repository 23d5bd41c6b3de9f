import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { OptionSpec } from '../../../runtime/api/index.ts'
import { parseOption } from '../../../runtime/config/option-values.ts'
import { sharedData } from '../../support/shared-data.ts'

const GOLDEN = sharedData('connect-golden/configdef/configdef.jsonl')

const SPECS: Readonly<Record<string, OptionSpec>> = {
  BOOLEAN: { type: 'boolean', doc: '' },
  LONG: { type: 'integer', doc: '' },
  DOUBLE: { type: 'number', doc: '' },
  LIST: { type: 'list', doc: '' },
}

/** What Kafka takes and we refuse, on purpose. */
const REFUSED = new Set([
  // Would be rounded.
  'LONG 9223372036854775807',
  // Digits of other scripts.
  'LONG \u0663',
  // Java's own words for numbers.
  'DOUBLE NaN',
  'DOUBLE Infinity',
  'DOUBLE 1d',
  // Empty elements are slips.
  'LIST ,',
  'LIST a,,b',
  'LIST a,',
  'LIST ,a',
])

const place = { file: 'f', line: 1, column: 1 }

interface Row {
  readonly kind: string
  readonly type: string
  readonly input: unknown
  readonly parsed?: unknown
}

test.skipIf(GOLDEN === undefined)('booleans, numbers and lists are parsed from text as Kafka parses them', () => {
  const rows = readFileSync(GOLDEN!, 'utf8').trimEnd().split('\n')
  let compared = 0
  for (const { kind, type, input, parsed } of rows.map(row => JSON.parse(row) as Row)) {
    const spec = SPECS[type]
    if (kind !== 'parseType' || spec === undefined || typeof input !== 'string') continue
    const value = { kind: 'scalar', text: input, plain: false, place, size: 1 } as const
    const context = { folder: '/', resolve: (text: string) => ({ text, referred: false }) }
    const ours = parseOption({ key: 'k', place, value, rank: 0 }, spec, context)
    const expected = parsed === undefined || REFUSED.has(`${type} ${input}`) ? 'refused' : plain(parsed)
    expect([type, input, 'problem' in ours ? 'refused' : ours.value]).toEqual([type, input, expected])
    compared++
  }
  expect(compared).toBeGreaterThan(150)
})

/** The data writes `{"int64": 5}` for a long. */
function plain(parsed: unknown): unknown {
  return typeof parsed === 'object' && parsed !== null ? Object.values(parsed)[0] : parsed
}
