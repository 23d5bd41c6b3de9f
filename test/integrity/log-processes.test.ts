import { test } from 'vitest'
import { straceWorks } from './log/kills.ts'
import { childKills, randomKills, smallDisk, tracedCalls, twoProcesses } from './log/processes.ts'
import { expectKept } from './log/reduced.ts'

const TIMEOUT = { timeout: 300_000 }

test('processes killed right before a change of the disk leave what they acknowledged', TIMEOUT, () =>
  expectKept(childKills, { stride: 101 }),
)

test('processes killed at random under load leave what they acknowledged', TIMEOUT, () =>
  expectKept(randomKills, { kills: 8 }),
)

test('system calls that kill or fail break nothing (only where strace is)', TIMEOUT, async () => {
  if (straceWorks()) await expectKept(tracedCalls, { stride: 151 })
})

test('a full disk takes writes again in the same process (only where a tmpfs can be mounted)', TIMEOUT, async () => {
  if (process.getuid?.() === 0) await expectKept(smallDisk, {})
})

test('the second process on a data directory is told who has it', TIMEOUT, () => expectKept(twoProcesses, {}))
