import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ModelRun } from './model/model-run.ts'
import { commands } from './model/commands.ts'

test('a partition is what a plain list of records says, whatever happens to it in whatever order', async () => {
  const seed = Number(process.env.KTS_TEST_SEED ?? 1)
  console.log(`model: seed ${seed}`)
  const happened = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.boolean(), commands, async (diskSeed, compacts, steps) => {
      const run = await ModelRun.open(diskSeed, compacts)
      for (const step of steps) {
        await run.take(step)
        happened.set(step.kind, (happened.get(step.kind) ?? 0) + 1)
      }
      await run.finish()
    }),
    { seed, numRuns: Number(process.env.KTS_MODEL_RUNS ?? 400) },
  )
  for (const kind of ['append', 'end', 'read', 'close', 'kill', 'powerCut', 'compact', 'deleteBefore'])
    expect(happened.get(kind) ?? 0, kind).toBeGreaterThan(20)
})
