import { expect, test } from 'vitest'
import { runSuite } from './harness.ts'
import type { Suite } from './suite.ts'
import { SUITES } from './suites.ts'

const SEED = Number(process.env.KTS_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31))

/** A few kills of each; the full counts are for `npm run test:integrity`. */
const KILLS: Readonly<Record<string, number>> = { main: 5, postgres: 4 }
const KILLS_ELSE = 3

for (const suite of SUITES) {
  const kills = KILLS[suite.name] ?? KILLS_ELSE
  test(
    `${suite.name}: ${kills} kills lose, repeat, alter and reorder nothing (${suite.doc})`,
    { timeout: 600_000 },
    run => shortened(suite, kills, reason => run.skip(reason)),
  )
}

async function shortened(suite: Suite, kills: number, skip: (reason: string) => void): Promise<void> {
  const missing = await suite.missing?.()
  if (missing !== undefined) return skip(missing)
  // Said also when all is well: a later failure may need the same run.
  const say = (line: string) => console.log(line)
  const report = await runSuite(suite, { kills, seed: SEED, recordsMin: 2000, say })
  const nothing = { lost: 0, altered: 0, reordered: 0, duplicates: 0, ownExits: 0, ok: true, examples: [] }
  expect(report, `seed ${SEED}`).toMatchObject(nothing)
}
