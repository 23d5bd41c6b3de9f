import { killsEverywhere, powerCuts } from './log/crashes.ts'
import { brokenFiles, flippedBits, tornTails } from './log/damage.ts'
import type { Part, PartReport, Size } from './log/part.ts'
import { childKills, randomKills, smallDisk, tracedCalls, twoProcesses } from './log/processes.ts'
import { clockJumps, failedSyncs, fullDisks } from './log/troubles.ts'

/** The fault suite of the log (L1 to L10 and the power cuts), in its order. */
export const LOG_PARTS: readonly Part[] = [
  killsEverywhere,
  powerCuts,
  tornTails,
  flippedBits,
  brokenFiles,
  failedSyncs,
  fullDisks,
  clockJumps,
  childKills,
  randomKills,
  tracedCalls,
  smallDisk,
  twoProcesses,
]

export interface LogReport {
  readonly suite: 'log'
  readonly seed: number
  readonly parts: readonly PartReport[]
  readonly ok: boolean
}

/** Runs the parts one after the other. */
export async function runLogSuite(size: Size, selected: readonly Part[] = LOG_PARTS): Promise<LogReport> {
  const parts: PartReport[] = []
  for (const one of selected) {
    size.say(`${one.name}: ${one.doc}; seed ${size.seed}`)
    const report = await one.run(size)
    size.say(`${one.name}: ${report.cases} cases, ${report.broken} broken, ${report.seconds} s ${report.void ?? ''}`)
    parts.push(report)
  }
  const ok = parts.length > 0 && parts.every(p => p.broken === 0 && p.void === undefined)
  return { suite: 'log', seed: size.seed, parts, ok }
}
