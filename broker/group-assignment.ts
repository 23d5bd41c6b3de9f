import type { GroupTopic, PartitionId } from './group-members.ts'
import { partitionKey } from './group-members.ts'
import type { Subscription } from './port.ts'

/** What an assignment looks at: what a member wants, and what it was to have before. */
export interface Assignee {
  readonly subscription: Subscription
  readonly target: ReadonlyMap<string, PartitionId>
}

/**
 * Spreads the partitions evenly and moves as few as it can: everybody keeps its own up to a fair share, the rest goes to
 * whoever has least. The same members and topics always give the same answer.
 */
export function assignPartitions(
  members: readonly Assignee[],
  topics: readonly GroupTopic[],
): readonly ReadonlyMap<string, PartitionId>[] {
  const shares = members.map(() => new Map<string, PartitionId>())
  if (members.length === 0) return shares
  const wanted = members.map(m => new Set(topics.filter(t => wants(m.subscription, t)).map(t => t.name)))
  const open = new Map<string, PartitionId>()
  for (const { name, partitions } of [...topics].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (!wanted.some(names => names.has(name))) continue
    for (let partition = 0; partition < partitions; partition++)
      open.set(partitionKey(name, partition), { topic: name, partition })
  }
  keepFairShare(members, wanted, open, shares)
  for (const [key, id] of open) {
    let least = -1
    for (let i = 0; i < members.length; i++) {
      if (wanted[i]!.has(id.topic) && (least < 0 || shares[i]!.size < shares[least]!.size)) least = i
    }
    shares[least]!.set(key, id)
  }
  return shares
}

/** Moves from `open` to the shares what members keep. Only as many as divide unevenly may keep one above the floor. */
function keepFairShare(
  members: readonly Assignee[],
  wanted: readonly ReadonlySet<string>[],
  open: Map<string, PartitionId>,
  shares: readonly Map<string, PartitionId>[],
): void {
  const floor = Math.floor(open.size / members.length)
  let extras = open.size % members.length
  members.forEach((member, i) => {
    for (const [key, id] of member.target) {
      if (!open.has(key) || !wanted[i]!.has(id.topic)) continue
      const size = shares[i]!.size
      if (size > floor || (size === floor && extras === 0)) break
      if (size === floor) extras--
      shares[i]!.set(key, id)
      open.delete(key)
    }
  })
}

/** Whether a consumer reads a topic. Internal topics are read only by name. */
export function wants(
  consumer: Pick<Subscription, 'topics' | 'topicsRegex'>,
  topic: Pick<GroupTopic, 'name' | 'internal'>,
): boolean {
  if (consumer.topics.includes(topic.name)) return true
  const regex = consumer.topicsRegex
  if (regex === undefined || topic.internal) return false
  return new RegExp(`^(?:${regex.source})$`, regex.flags.replace(/[gy]/g, '')).test(topic.name)
}
