import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** The longest ones: begun last, each would run alone at the end, with a core idle. */
const LONG = '/test/integrity/'

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isLong = ({ moduleId }: TestSpecification) => moduleId.includes(LONG)
    return [...sorted.filter(isLong), ...sorted.filter(file => !isLong(file))]
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Suites start servers and child workers; two cores hold about two files at once.
    maxWorkers: 2,
    sequence: { sequencer: LongFirst },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // The same run every time; another seed explores (each suite prints its own).
    env: { KTS_TEST_SEED: process.env.KTS_TEST_SEED ?? '20261120' },
  },
})
