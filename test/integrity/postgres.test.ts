import { expect, test } from 'vitest'
import { failover } from './postgres/failover.ts'
import { hugeTransaction, quietTable } from './postgres/holding.ts'
import { cuts, restarts, walsenders } from './postgres/interruptions.ts'
import { lostSlots } from './postgres/lost-slots.ts'
import { runPart } from './postgres/part.ts'

const SEED = Number(process.env.KTS_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31))

/** A few rounds of each; the full counts are for `npm run test:integrity -- --suite postgres`. */
test.each([restarts, walsenders, cuts, lostSlots, failover, hugeTransaction, quietTable])(
  'PostgreSQL, $name: nothing is lost, repeated or reordered ($doc)',
  { timeout: 600_000 },
  async part => {
    const size = { seed: SEED, rounds: 3, rows: 200_000, say: (line: string) => console.log(line) }
    expect((await runPart(part, size)).broken, `seed ${SEED}`).toEqual([])
  },
)
