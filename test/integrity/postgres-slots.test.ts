import { test } from 'vitest'
import { failover } from './postgres/failover.ts'
import { hugeTransaction, quietTable } from './postgres/holding.ts'
import { lostSlots } from './postgres/lost-slots.ts'
import { expectKept } from './postgres/reduced.ts'

test.each([lostSlots, failover, hugeTransaction, quietTable])(
  'PostgreSQL, $name: kept ($doc)',
  { timeout: 600_000 },
  part => expectKept(part),
)
