import fc from 'fast-check'

/** What is done to a partition. Fractions choose a place between its start and its end, whatever these are by then. */
export type Step =
  /** Producer 0 writes without a transaction. */
  | { readonly kind: 'append'; readonly producer: number; readonly sizes: readonly number[]; readonly aheadMs: number }
  | { readonly kind: 'stale'; readonly producer: number }
  | { readonly kind: 'end'; readonly producer: number; readonly outcome: 'commit' | 'abort' }
  | { readonly kind: 'sync' }
  | { readonly kind: 'read'; readonly from: number; readonly committed: boolean; readonly bytesMax: number }
  | { readonly kind: 'offsetForTime'; readonly at: number }
  | { readonly kind: 'raiseStart'; readonly to: number }
  | { readonly kind: 'deleteBefore'; readonly to: number }
  | { readonly kind: 'compact' }
  | { readonly kind: 'advance'; readonly ms: number }
  | { readonly kind: 'point' }
  | { readonly kind: 'close' }
  | { readonly kind: 'kill' }
  | { readonly kind: 'powerCut'; readonly endIsKnown: boolean }

const producer = fc.integer({ min: 1, max: 3 })
const fraction = fc.double({ min: 0, max: 1, noNaN: true })

const append: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant('append' as const),
  producer: fc.nat(3),
  sizes: fc.array(fc.nat(150), { minLength: 1, maxLength: 5 }),
  aheadMs: fc.integer({ min: -5000, max: 5000 }),
})
const end: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant('end' as const),
  producer,
  outcome: fc.constantFrom('commit' as const, 'abort' as const),
})
const read: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant('read' as const),
  from: fraction,
  committed: fc.boolean(),
  bytesMax: fc.integer({ min: 1, max: 3000 }),
})

export const commands: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: append },
    { weight: 4, arbitrary: end },
    { weight: 3, arbitrary: fc.constant<Step>({ kind: 'sync' }) },
    { weight: 4, arbitrary: read },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('offsetForTime' as const), at: fraction }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('raiseStart' as const), to: fraction }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('deleteBefore' as const), to: fraction }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('stale' as const), producer }) },
    { weight: 1, arbitrary: fc.constant<Step>({ kind: 'compact' }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(600_000) }) },
    { weight: 1, arbitrary: fc.constant<Step>({ kind: 'point' }) },
    { weight: 1, arbitrary: fc.constant<Step>({ kind: 'close' }) },
    { weight: 1, arbitrary: fc.constant<Step>({ kind: 'kill' }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('powerCut' as const), endIsKnown: fc.boolean() }) },
  ),
  { minLength: 5, maxLength: 60 },
)
