import { expect, test } from 'vitest'
import { ManualClock, packRecords, SeededRandom } from '../../base/index.ts'
import { Backoff } from '../../runtime/backoff.ts'
import { InFlight } from '../../runtime/in-flight.ts'
import { Partitioner } from '../../runtime/partitioner.ts'

const keyed = (keys: (string | null)[]) => packRecords(keys.map(key => ({ key, value: `v${key}`, timestamp: 1 })))

test('one order key keeps to one partition, and different keys spread', () => {
  const partitioner = new Partitioner('source')
  const lines = packRecords([{ value: 'a' }, { value: 'b' }])
  const places = new Set<number>()
  for (let file = 0; file < 50; file++) {
    const [first] = partitioner.split(lines, 8, `file-${file}`)
    const [second] = partitioner.split(lines, 8, `file-${file}`)
    expect(second!.partition).toBe(first!.partition)
    expect(first!.records).toBe(lines)
    places.add(first!.partition)
  }
  expect(places.size).toBeGreaterThan(4)
})

test('keyed records go where their key says, in their order, none lost', () => {
  const partitioner = new Partitioner('key')
  const keys = Array.from({ length: 500 }, (_, i) => `user-${i % 37}`)
  const parts = partitioner.split(keyed(keys), 5, undefined)
  const seen = new Map<string, number>()
  let total = 0
  for (const { partition, records } of parts) {
    for (let i = 0; i < records.count; i++) {
      const key = records.key(i)!.toString()
      expect(seen.get(key) ?? partition).toBe(partition)
      expect(records.value(i)!.toString()).toBe(`v${key}`)
      seen.set(key, partition)
      total++
    }
  }
  expect(total).toBe(500)
})

test('batches without keys take turns', () => {
  const partitioner = new Partitioner('round-robin')
  const lines = packRecords([{ value: 'a' }])
  const places = Array.from({ length: 6 }, () => partitioner.split(lines, 3, 'x')[0]!.partition)
  expect([...places].sort()).toEqual([0, 0, 1, 1, 2, 2])
})

test('waits double up to the cap, and half of each is jitter', () => {
  const backoff = new Backoff(100, 1000, new ManualClock(), new SeededRandom(3))
  for (const whole of [100, 200, 400, 800, 1000, 1000]) {
    const wait = backoff.next()
    expect(wait).toBeGreaterThanOrEqual(whole / 2)
    expect(wait).toBeLessThanOrEqual(whole)
  }
  backoff.reset()
  expect(backoff.next()).toBeLessThanOrEqual(100)
})

test('what a sink has in flight goes down only with whole batches behind the durable offset', () => {
  const inFlight = new InFlight()
  inFlight.add(10, 10)
  inFlight.add(25, 12)
  expect(inFlight.durable(9)).toBe(0)
  expect(inFlight.durable(24)).toBe(10)
  expect(inFlight.records).toBe(12)
  expect(inFlight.durable(25)).toBe(12)
})
