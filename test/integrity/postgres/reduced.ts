import { expect } from 'vitest'
import { type PostgresPart, runPart } from './part.ts'

/** A part at its size inside of `npm test`: a few rounds, and the seed that is the same every time. */
export async function expectKept(part: PostgresPart): Promise<void> {
  const seed = Number(process.env.KTS_TEST_SEED ?? 1)
  const report = await runPart(part, { seed, rounds: 3, rows: 200_000, say: line => console.log(line) })
  expect(report.broken, `seed ${seed}`).toEqual([])
}
