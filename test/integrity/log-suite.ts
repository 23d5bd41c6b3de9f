import { killsEverywhere, powerCuts } from './log/crashes.ts'
import { brokenFiles, flippedBits, tornTails } from './log/damage.ts'
import type { Part, PartReport, Size } from './log/part.ts'
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
]

export interface LogReport {
  readonly suite: 'log'
  readonly seed: number
  readonly parts: readonly PartReport[]
  readonly ok: boolean
}

/** Runs all parts, or the one of that name. */
export async function runLogSuite(size: Size, part?: string): Promise<LogReport> {
  const parts: PartReport[] = []
  for (const one of LOG_PARTS) {
    if (part !== undefined && one.name !== part) continue
    size.say(`${one.name}: ${one.doc}; seed ${size.seed}`)
    const report = await one.run(size)
    size.say(`${one.name}: ${report.cases} cases, ${report.broken} broken, ${report.seconds} s ${report.void ?? ''}`)
    parts.push(report)
  }
  const ok = parts.length > 0 && parts.every(p => p.broken === 0 && p.void === undefined)
  return { suite: 'log', seed: size.seed, parts, ok }
}
