import fc from 'fast-check'
import { expect, test } from 'vitest'
import { assignPartitions, wants } from '../../broker/group-assignment.ts'
import type { GroupTopic, PartitionId } from '../../broker/group-members.ts'
import { subscription } from '../support/broker-drivers.ts'

const none: ReadonlyMap<string, PartitionId> = new Map()
const topic = (name: string, partitions: number): GroupTopic => ({ name, partitions, internal: false })

test('every partition goes to one member that wants it, evenly, and a newcomer takes only its share', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 7 }), (partitions, count) => {
      const topics = partitions.map((n, i) => topic(`t${i}`, n))
      const subscribed = (i: number) => subscription({ group: 'g', member: `m${i}`, topics: topics.map(t => t.name) })
      const members = Array.from({ length: count }, (_, i) => ({ subscription: subscribed(i), target: none }))
      const first = assignPartitions(members, topics)
      const total = partitions.reduce((a, b) => a + b)
      expect(new Set(first.flatMap(share => [...share.keys()])).size).toBe(total)
      const shareSizes = first.map(share => share.size)
      expect(Math.max(...shareSizes) - Math.min(...shareSizes)).toBeLessThanOrEqual(1)
      const grown = [
        ...members.map((m, i) => ({ ...m, target: first[i]! })),
        { subscription: subscribed(count), target: none },
      ]
      const second = assignPartitions(grown, topics)
      const moved = first.flatMap((share, i) => [...share.keys()].filter(key => !second[i]!.has(key)))
      expect(moved).toHaveLength(second[count]!.size)
      expect(second[count]!.size).toBe(Math.floor(total / (count + 1)))
    }),
  )
})

test('members of one group may want different topics', () => {
  const members = [
    { subscription: subscription({ group: 'g', member: 'a', topics: ['x'] }), target: none },
    { subscription: subscription({ group: 'g', member: 'b', topics: ['x', 'y'] }), target: none },
  ]
  const [a, b] = assignPartitions(members, [topic('x', 2), topic('y', 2), topic('z', 2)])
  expect([...a!.values()].every(id => id.topic === 'x')).toBe(true)
  expect([...a!.keys(), ...b!.keys()].sort()).toEqual(['x-0', 'x-1', 'y-0', 'y-1'])
})

test('a pattern means the whole name, whatever its flags and alternatives', () => {
  const matches = (topicsRegex: RegExp, name: string) => wants({ topics: [], topicsRegex }, { name, internal: false })
  expect(matches(/a|ab/, 'ab')).toBe(true)
  expect(matches(/a/, 'ab')).toBe(false)
  const global = /ab?/g
  expect([matches(global, 'ab'), matches(global, 'ab')]).toEqual([true, true])
  expect(wants({ topics: [], topicsRegex: /.*/ }, { name: 'connect-offsets', internal: true })).toBe(false)
  expect(wants({ topics: ['connect-offsets'] }, { name: 'connect-offsets', internal: true })).toBe(true)
})
