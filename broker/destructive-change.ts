import { KtsError } from '../base/index.ts'
import type { Partition } from './partition.ts'
import type { TopicSettings } from './topic-configs.ts'

/** Looked at from each end of a partition to see whether its records have keys. */
const SAMPLE_BYTES = 64 << 10

export interface TopicChange {
  readonly topic: string
  readonly partitions: readonly Partition[]
  readonly before: TopicSettings
  readonly after: TopicSettings
  readonly partitionsWanted: number
}

/**
 * Rejects with DESTRUCTIVE_CHANGE when the change would delete records or part the records of a key, and says how to allow
 * it. A topic without records may be changed in any way.
 */
export async function checkDestructive(change: TopicChange): Promise<void> {
  const holding = change.partitions.filter(p => p.nextOffset > p.logStartOffset)
  if (holding.length === 0) return
  const reasons = settingReasons(change)
  if (change.partitionsWanted > change.partitions.length && (await anyKeyed(holding)))
    reasons.push(
      `${change.partitionsWanted} partitions instead of ${change.partitions.length}: later records of a key may go to another partition than its earlier ones`,
    )
  if (reasons.length === 0) return
  throw new KtsError(
    'DESTRUCTIVE_CHANGE',
    `topic ${change.topic}: ${reasons.join('; ')}. Nothing was changed; take the change back, or allow it with --allow-destructive`,
    { details: { topic: change.topic, reasons } },
  )
}

function settingReasons({ before, after }: TopicChange): string[] {
  const reasons: string[] = []
  const limit = (value: number, deletes: boolean) => (deletes && value >= 0 ? value : Number.POSITIVE_INFINITY)
  const shown = (value: number) => (Number.isFinite(value) ? `${value}` : 'no limit')
  for (const [name, key] of [
    ['retention.ms', 'retentionMs'],
    ['retention.bytes', 'retentionBytes'],
  ] as const) {
    const old = limit(before[key], before.deletes)
    const wanted = limit(after[key], after.deletes)
    if (wanted < old)
      reasons.push(`${name} ${shown(wanted)} instead of ${shown(old)} deletes what is older or more than that`)
  }
  if (after.compacts && !before.compacts)
    reasons.push('cleanup.policy compact deletes records without a key, and all but the newest of each key')
  if (after.retentionUnconsumed === 'delete' && before.retentionUnconsumed === 'hold')
    reasons.push('retention.unconsumed delete deletes what sinks have not committed')
  return reasons
}

/** Reads a little at both ends: who writes keys usually writes them always. */
async function anyKeyed(partitions: readonly Partition[]): Promise<boolean> {
  for (const partition of partitions) {
    const { logStartOffset, highWatermark } = partition
    for (const from of [logStartOffset, Math.max(logStartOffset, highWatermark - 10)]) {
      const { batches, release } = await partition.read(from, SAMPLE_BYTES, 'read_uncommitted')
      const keyed = batches.some(
        records => records.keyStarts?.subarray(0, records.count).some(start => start >= 0) === true,
      )
      release?.()
      if (keyed) return true
    }
  }
  return false
}
