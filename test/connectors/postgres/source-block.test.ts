import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ChangeSource } from '../../../connectors/postgres/events/change-source.ts'
import { SourceBlock } from '../../../connectors/postgres/events/source-block.ts'

const NAMES = { version: '1é', server: 's😀', database: 'd"' }
const ORIGINS = [undefined, { name: 'o', lsn: 5 }, { name: 'o', lsn: 12345 }, { name: '😀"', lsn: 0 }]

const number = fc.oneof(
  fc.constantFrom(0, 1, 9, 10, 99_999_999, 1e8, 1e8 + 1, 2 ** 53 - 1),
  fc.maxSafeNat(),
  fc.nat(200),
)
const source: fc.Arbitrary<ChangeSource> = fc.record({
  snapshot: fc.constantFrom('false', 'true', 'first', 'last', 'incremental'),
  lsn: number,
  lastCommitLsn: fc.option(number, { nil: undefined }),
  xid: fc.option(fc.oneof(fc.nat(20), fc.nat(2 ** 32 - 1)), { nil: undefined }),
  commitTime: fc.oneof(fc.constantFrom(0, -1, -1000, 999, 1000, 1_700_000_000_000_000), fc.nat(2 ** 52)),
  origin: fc.constantFrom(...ORIGINS),
})
/** The same object again, the next change of the same transaction, one of another origin, or anything. */
const step = fc.record({ source, how: fc.nat(4), now: fc.constantFrom(0, 9, 10, 1_700_000_000_000), lsn: number })

test('the source of an event is what a new block would write, whatever was written before', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), fc.nat(2), (steps, extra) => {
      const behind = ['}', ',"x":1,"ts":', '!'].slice(0, extra + 1)
      const block = () => new SourceBlock(NAMES, 'sch', 'tab', '{"source":', behind)
      const used = block()
      let last = steps[0]!.source
      for (const { source, how, now, lsn } of steps) {
        if (how === 1) last = { ...last, lsn }
        else if (how === 2) last = { ...last, lsn, origin: source.origin }
        else if (how > 2) last = source
        expect(used.json(last, now).toString()).toBe(block().json(last, now).toString())
      }
    }),
    { seed: 3, numRuns: 1000 },
  )
})
