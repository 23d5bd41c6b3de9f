import fc from 'fast-check'
import { expect } from 'vitest'
import type { Given, KilledSink, Life, ModelRecord } from './killed-sink.ts'

/** Sees no kill. */
export const FOREVER = Number.MAX_SAFE_INTEGER

const record: fc.Arbitrary<ModelRecord> = fc.record({
  hour: fc.nat(2),
  value: fc.oneof(
    { weight: 12, arbitrary: fc.constant('line' as const) },
    { weight: 1, arbitrary: fc.constant('null' as const) },
    { weight: 1, arbitrary: fc.constant('bad' as const) },
  ),
})

export const someRecords = fc.array(record, { minLength: 1, maxLength: 60, size: 'max' })

/** A configuration as one may be edited to. */
export const anyConfig: fc.Arbitrary<Given> = fc.record({
  'format.class': fc.constantFrom('text' as const, 'json' as const),
  'partitioner.class': fc.constantFrom('default' as const, 'hourly' as const, 'daily' as const),
  'topics.dir': fc.constantFrom('topics', 'elsewhere'),
  'flush.size': fc.constantFrom(-1, 1, 3, 10),
  'rotate.interval.ms': fc.constantFrom(-1, 3_600_000),
  'rotate.idle.ms': fc.constantFrom(-1, 300),
  'rotate.schedule.interval.ms': fc.constantFrom(-1, 500),
  'partitioner.max.open.files': fc.constantFrom(1, 2, 10),
  'behavior.on.null.values': fc.constantFrom('fail' as const, 'ignore' as const),
})

export function livesUnder(config: fc.Arbitrary<Given>): fc.Arbitrary<readonly Life[]> {
  const killAt = fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 500 }))
  const life = fc.record({ given: config, killAt, afterwards: fc.boolean(), seed: fc.nat() })
  return fc.array(life, { maxLength: 8, size: 'max' })
}

/** All lives, and then one that is not killed. */
export async function liveToTheEnd(sink: KilledSink, lives: readonly Life[], last: Given): Promise<void> {
  for (const life of lives) await sink.live(life)
  expect(await sink.live({ given: last, killAt: FOREVER, afterwards: false, seed: 1 })).toBe(true)
}

/** Numbers of the records that belong into objects, and of those that do not. */
export function numbersOf(all: readonly ModelRecord[], value: (value: ModelRecord['value']) => boolean): number[] {
  return all.flatMap((record, n) => (value(record.value) ? [n] : []))
}
