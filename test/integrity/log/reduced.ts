import { expect } from 'vitest'
import type { Part, Size } from './part.ts'

/** The suite at its size inside of `npm test`: a fixed seed, and every so many-th of the points. */
export async function expectKept(part: Part, size: Partial<Size>): Promise<void> {
  const seed = Number(process.env.KTS_TEST_SEED ?? 1)
  const report = await part.run({ seed, seeds: 100, kills: 5, stride: 1, say: line => console.log(line), ...size })
  console.log(`${part.name}: seed ${seed}, ${report.cases} cases in ${report.seconds} s`)
  expect(report, `seed ${seed}`).toMatchObject({ broken: 0, examples: [] })
  expect(report.void, `seed ${seed}`).toBeUndefined()
}
