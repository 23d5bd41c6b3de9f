import { test } from 'vitest'
import { cuts, restarts, walsenders } from './postgres/interruptions.ts'
import { expectKept } from './postgres/reduced.ts'

test.each([restarts, walsenders, cuts])(
  'PostgreSQL, $name: nothing is lost, repeated or reordered ($doc)',
  { timeout: 600_000 },
  part => expectKept(part),
)
