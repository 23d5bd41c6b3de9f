import { partitionKey } from './group-members.ts'
import type { StateView } from './keyed-state.ts'
import { decodeOffsetKey, decodeOffsetValue, encodeOffsetKey, encodeOffsetValue } from './offset-records.ts'
import type { GroupOffset } from './port.ts'
import type { StateRecord } from './state-snapshot.ts'

/** Committed positions of all groups, as `__consumer_offsets` says them. */
export class GroupOffsets implements StateView {
  readonly #groups = new Map<string, Map<string, GroupOffset>>()

  /** The key's own bytes: other kinds of records pass through untouched. */
  identify(key: Buffer): string {
    return key.toString('latin1')
  }

  apply(key: Buffer, value: Buffer | null): void {
    const decoded = decodeOffsetKey(key)
    if (decoded === undefined) return
    const { group, topic, partition } = decoded
    const offsets = this.#groups.get(group) ?? new Map<string, GroupOffset>()
    if (value === null) offsets.delete(partitionKey(topic, partition))
    else offsets.set(partitionKey(topic, partition), { topic, partition, ...decodeOffsetValue(value) })
    if (offsets.size === 0) this.#groups.delete(group)
    else this.#groups.set(group, offsets)
  }

  groups(): readonly string[] {
    return [...this.#groups.keys()].sort()
  }

  committed(group: string): readonly GroupOffset[] {
    return [...(this.#groups.get(group)?.values() ?? [])]
  }

  at(group: string, topic: string, partition: number): GroupOffset | undefined {
    return this.#groups.get(group)?.get(partitionKey(topic, partition))
  }

  offset(group: string, topic: string, partition: number): number | undefined {
    return this.at(group, topic, partition)?.offset
  }

  /** Records that make every group forget its positions in a topic. */
  tombstones(topic: string): StateRecord[] {
    const records: StateRecord[] = []
    for (const [group, offsets] of this.#groups) {
      for (const offset of offsets.values()) {
        if (offset.topic !== topic) continue
        records.push({ key: encodeOffsetKey({ group, topic, partition: offset.partition }), value: null })
      }
    }
    return records
  }

  /** Records that make one group forget all its positions. */
  groupTombstones(group: string): StateRecord[] {
    return this.committed(group).map(({ topic, partition }) => ({
      key: encodeOffsetKey({ group, topic, partition }),
      value: null,
    }))
  }

  /** The highest position that any group has in a partition. */
  highest(topic: string, partition: number): number {
    let highest = 0
    for (const group of this.#groups.keys()) highest = Math.max(highest, this.offset(group, topic, partition) ?? 0)
    return highest
  }
}

export function offsetRecords(now: number, group: string, offsets: readonly GroupOffset[]): StateRecord[] {
  return offsets.map(({ topic, partition, offset, metadata }) => ({
    key: encodeOffsetKey({ group, topic, partition }),
    value: encodeOffsetValue(offset, metadata, now),
  }))
}
