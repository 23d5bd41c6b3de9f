import { test } from 'vitest'
import { killsEverywhere, powerCuts } from '../integrity/log/crashes.ts'
import { expectKept } from '../integrity/log/reduced.ts'

const TIMEOUT = { timeout: 300_000 }

test('power cuts take nothing that was acknowledged or read, and leave no half of a transaction', TIMEOUT, () =>
  expectKept(powerCuts, { seeds: 200 }),
)

test('kills at file calls all over the work, and in the start-up behind, do neither', TIMEOUT, () =>
  expectKept(killsEverywhere, { stride: 12 }),
)
