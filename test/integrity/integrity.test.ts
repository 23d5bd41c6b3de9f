import { expect, test } from 'vitest'
import { runSuite } from './harness.ts'
import type { Suite } from './suite.ts'
import { SUITES } from './suites.ts'

const SEED = Number(process.env.KTS_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31))

/** A few kills of each; the full counts are for `npm run test:integrity`. */
const KILLS: Readonly<Record<string, number>> = { main: 5, postgres: 4 }
const KILLS_ELSE = 3
/** When a kill meets the worker is up to the machine: so often it may miss what it is to meet. */
const CHANCES = 3

const NOTHING = { lost: 0, altered: 0, reordered: 0, duplicates: 0, ownExits: 0, examples: [] }

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
  const run = (seed: number) => runSuite(suite, { kills, seed, recordsMin: 2000, say })
  let report = await run(SEED)
  for (let chance = 1; chance < CHANCES && report.unmet.length > 0; chance++) {
    expect(report, `seed ${report.seed}`).toMatchObject({ ...NOTHING, ok: false })
    report = await run(SEED + chance)
  }
  expect(report, `seed ${report.seed}`).toMatchObject({ ...NOTHING, ok: true })
}
