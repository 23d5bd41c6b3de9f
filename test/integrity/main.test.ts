import { expect, test } from 'vitest'
import { runSuite } from './harness.ts'
import { mainSuite } from './main-suite.ts'

test('eight kills between file and object lose, alter and reorder nothing', { timeout: 300_000 }, async () => {
  const seed = Number(process.env.KTS_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31))
  // Printed also when all is well: a later failure may need the same run.
  const report = await runSuite(mainSuite, { kills: 8, seed, recordsMin: 10_000, say: line => console.log(line) })
  expect(report, `seed ${seed}`).toMatchObject({
    lost: 0,
    altered: 0,
    reordered: 0,
    ownExits: 0,
    ok: true,
    examples: [],
  })
})
