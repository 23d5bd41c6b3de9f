import { test } from 'vitest'
import { brokenFiles, flippedBits, tornTails } from '../integrity/log/damage.ts'
import { expectKept } from '../integrity/log/reduced.ts'
import { clockJumps, failedSyncs, fullDisks } from '../integrity/log/troubles.ts'

const TIMEOUT = { timeout: 300_000 }

test('a tail cut at any byte loses what was cut and nothing else, and says so', TIMEOUT, () =>
  expectKept(tornTails, { stride: 29 }),
)

test('any flipped bit is found, and takes its own batch alone', TIMEOUT, () => expectKept(flippedBits, { stride: 61 }))

test('files beside the log that are gone, empty, zeroed, torn, old or too new are built again or named', TIMEOUT, () =>
  expectKept(brokenFiles, { stride: 6 }),
)

test('an fsync that failed acknowledged nothing', TIMEOUT, () => expectKept(failedSyncs, { stride: 23 }))

test('a full, busy or read-only disk refuses, and the log goes on once it takes writes again', TIMEOUT, () =>
  expectKept(fullDisks, { stride: 29 }),
)

test('a clock that jumps deletes nothing early', TIMEOUT, () => expectKept(clockJumps, { stride: 20 }))
