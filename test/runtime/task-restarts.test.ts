import { expect, test } from 'vitest'
import { ManualClock, SeededRandom, silentLogger } from '../../base/index.ts'
import { KtsError } from '../../runtime/api/index.ts'
import { ConnectorCounters } from '../../runtime/counters.ts'
import { type TaskRun, TaskRunner } from '../../runtime/task-runner.ts'

const MIN = 60_000
const STEP = 100

/** Restarts of a task within `ms`, each run of which fails as soon as it is opened. */
async function restartsWithin(ms: number, progressed: (run: number) => boolean): Promise<number> {
  const clock = new ManualClock()
  let opened = 0
  const open = async (): Promise<TaskRun> => {
    const made = progressed(++opened)
    return {
      run: () => Promise.reject(new KtsError('RETRIABLE', 'the connection was cut')),
      stop: () => {},
      progressed: made,
      close: async () => {},
    }
  }
  const backoff = { backoffMs: 1000, backoffMaxMs: MIN }
  const given = { clock, random: new SeededRandom(1), log: silentLogger, counters: new ConnectorCounters() }
  const runner = new TaskRunner({ id: 0, open, ...backoff, ...given })
  const running = runner.keepRunning()
  for (let at = 0; at < ms; at += STEP) await clock.advance(STEP)
  const { restarts, state } = runner.status()
  expect(state).toBe('RESTARTING')
  runner.stop()
  await running
  return restarts
}

test('a task that gets on in each run is restarted after the first wait, however often it fails', async () => {
  expect(await restartsWithin(5 * MIN, () => true)).toBeGreaterThanOrEqual(300)
})

test('a task that gets nowhere is restarted ever more rarely, until it gets on again', async () => {
  expect(await restartsWithin(5 * MIN, () => false)).toBeLessThan(20)
  expect(await restartsWithin(5 * MIN, run => run > 5)).toBeGreaterThan(200)
})
