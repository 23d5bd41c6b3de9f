import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Suites start servers and child workers; two cores hold about two files at once.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // The same run every time; another seed explores (each suite prints its own).
    env: { KTS_TEST_SEED: process.env.KTS_TEST_SEED ?? '20261120' },
  },
})
