import { describe, expect, test } from 'vitest'
import { packRecords } from '../../base/packed-writer.ts'
import type { Broker } from '../../broker/index.ts'
import {
  lines,
  NEVER,
  readAll,
  rejection,
  subscription,
  take,
  unpack,
  until,
  valuesOf,
  write,
} from '../support/broker-drivers.ts'
import type { Using } from './broker.ts'

const COMMITTED = { isolation: 'read_committed', bytesMax: 1 << 20, waitMs: 0 } as const

export function readingContract(using: Using): void {
  describe('a read', () => {
    test('begins inside a batch and goes on where it was told', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      await write(broker, 't', 0, lines('a', 'b', 'c'))
      await write(broker, 't', 0, lines('d'))
      const [c, d, ...others] = await readAll(broker, 't', 0, 2)
      expect([c!.value, d!.value, others]).toEqual(['c', 'd', []])
      expect(await readAll(broker, 't', 0, d!.offset + 1)).toEqual([])
      const result = await broker.read('t', 0, 1, COMMITTED)
      expect(result.logStartOffset).toBe(0)
      expect(result.highWatermark).toBeGreaterThan(d!.offset)
      expect(result.batches.flatMap(b => valuesOf(unpack(b.records)))[0]).toBe('b')
      expect(result.batches.at(-1)!.nextOffset).toBeGreaterThan(d!.offset)
    })

    test('waits for a first record and is woken by its commit', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const reading = broker.read('t', 0, 0, { ...COMMITTED, waitMs: 30_000 })
      await write(broker, 't', 0, lines('woken'))
      expect(valuesOf((await reading).batches.flatMap(b => unpack(b.records)))).toEqual(['woken'])
    })

    test('stops waiting when it is told to', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const abort = new AbortController()
      const reading = broker.read('t', 0, 0, { ...COMMITTED, waitMs: 30_000, signal: abort.signal })
      abort.abort()
      expect((await reading).batches).toEqual([])
    })

    test('outside the log is an error that names the log', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      await write(broker, 't', 0, lines('a'))
      const details = { topic: 't', partition: 0, logStartOffset: 0, highWatermark: expect.any(Number) }
      for (const offset of [-1, 5, 10]) {
        const error = await rejection(broker.read('t', 0, offset, COMMITTED))
        expect(error).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE', details: { ...details, offset } })
      }
      expect(await rejection(broker.read('t', 1, 0, COMMITTED))).toMatchObject({ code: 'UNKNOWN_TOPIC_OR_PARTITION' })
    })
  })

  test('an offset is found by time, exact to the record', async () => {
    const { broker } = using()
    await broker.ensureTopic({ name: 't', configs: {} })
    const timed = (...times: number[]) => packRecords(times.map(timestamp => ({ value: 'v', timestamp })))
    await write(broker, 't', 0, timed(1000, 3000, 2000))
    await write(broker, 't', 0, timed(2500, 5000))
    expect(await broker.offsetForTime('t', 0, 0)).toBe(0)
    expect(await broker.offsetForTime('t', 0, 1001)).toBe(1)
    expect(await broker.offsetForTime('t', 0, 3001)).toBe((await readAll(broker, 't', 0)).at(-1)!.offset)
    expect(await broker.offsetForTime('t', 0, 5001)).toBeUndefined()
  })

  describe('a reader', () => {
    test('is assigned its partitions first, then gives what they hold', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', partitions: 2, configs: {} })
      await write(broker, 't', 0, lines('a', 'b'))
      await write(broker, 't', 1, lines('c'))
      const reader = await broker.subscribe(subscription({ group: 'g' }))
      const before = reader.group
      const { partitions } = await until(reader, 'assigned')
      expect(partitions).toEqual([
        { topic: 't', partition: 0, offset: 0, metadata: '' },
        { topic: 't', partition: 1, offset: 0, metadata: '' },
      ])
      expect(reader.group.generation).toBeGreaterThan(before.generation)
      expect((await take(reader, 3)).sort()).toEqual(['a', 'b', 'c'])
      expect(await reader.poll(1, NEVER)).toEqual({ kind: 'idle' })
      await reader.close()
    })

    test('waits and is woken by a commit, by a topic that appears, and by its signal', async () => {
      const { broker } = using()
      const reader = await broker.subscribe(subscription({ group: 'g', topics: ['late'] }))
      const assigned = until(reader, 'assigned')
      await broker.ensureTopic({ name: 'late', configs: {} })
      expect((await assigned).partitions).toHaveLength(1)
      const records = take(reader, 1)
      await write(broker, 'late', 0, lines('x'))
      expect(await records).toEqual(['x'])
      const abort = new AbortController()
      const idle = reader.poll(30_000, abort.signal)
      abort.abort()
      expect(await idle).toEqual({ kind: 'idle' })
    })

    test('begins at the end when told so, and sees what comes after', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      await write(broker, 't', 0, lines('old'))
      const reader = await broker.subscribe(subscription({ group: 'g', reset: 'latest' }))
      expect((await until(reader, 'assigned')).partitions[0]!.offset).toBeGreaterThanOrEqual(1)
      await write(broker, 't', 0, lines('new'))
      expect(await take(reader, 1)).toEqual(['new'])
    })

    test('seeks, pauses and resumes', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      await write(broker, 't', 0, lines('a', 'b', 'c'))
      const reader = await broker.subscribe(subscription({ group: 'g' }))
      await until(reader, 'assigned')
      reader.seek('t', 0, 2)
      expect(await take(reader, 1)).toEqual(['c'])
      reader.pause('t', 0)
      reader.seek('t', 0, 1)
      expect(await reader.poll(1, NEVER)).toEqual({ kind: 'idle' })
      reader.resume('t', 0)
      expect(await take(reader, 2)).toEqual(['b', 'c'])
      expect(() => reader.seek('t', 9, 0)).toThrow(/t-9/)
    })

    test('outside the log fails at every poll until it is moved, and never moves by itself', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      await write(broker, 't', 0, lines('a'))
      const reader = await broker.subscribe(subscription({ group: 'g' }))
      await until(reader, 'assigned')
      reader.seek('t', 0, 5)
      for (let i = 0; i < 2; i++) {
        const error = await rejection(reader.poll(1, NEVER))
        expect(error).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE', details: { offset: 5, logStartOffset: 0 } })
      }
      reader.seek('t', 0, 0)
      expect(await take(reader, 1)).toEqual(['a'])
    })

    test('a partition with a backlog does not starve the others', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', partitions: 3, configs: {} })
      for (let i = 0; i < 20; i++) await write(broker, 't', 0, lines('x'.repeat(1000)))
      const reader = await broker.subscribe(subscription({ group: 'g', partitionBytesMax: 1000, bytesMax: 1500 }))
      await until(reader, 'assigned')
      await write(broker, 't', 1, lines('one'))
      await write(broker, 't', 2, lines('two'))
      const seen = await take(reader, 8)
      expect(seen).toContain('one')
      expect(seen).toContain('two')
    })

    test('gives at most what was asked for, but a whole batch always', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      for (let i = 0; i < 10; i++) await write(broker, 't', 0, lines(String(i).repeat(10_000)))
      const sizes = await pollSizes(broker, 25_000)
      expect(Math.max(...sizes)).toBeLessThanOrEqual(30_000)
      expect(sizes.reduce((a, b) => a + b)).toBe(100_000)
      await write(broker, 't', 0, lines('y'.repeat(50_000)))
      expect(await pollSizes(broker, 100)).toHaveLength(11)
    })

    test('is refused once closed', async () => {
      const reader = await using().broker.subscribe(subscription({ group: 'g' }))
      await reader.close()
      expect(await rejection(reader.poll(1, NEVER))).toMatchObject({ code: 'CLOSED' })
    })

    test('ends its wait when the broker closes', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const reader = await broker.subscribe(subscription({ group: 'g' }))
      await until(reader, 'assigned')
      const polling = rejection(reader.poll(30_000, NEVER))
      await broker.close()
      expect(await polling).toMatchObject({ code: 'CLOSED' })
    })
  })
}

/** Bytes of each poll of a new group over all of `t`. */
async function pollSizes(broker: Broker, bytesMax: number): Promise<number[]> {
  const reader = await broker.subscribe(subscription({ group: `sizes-${bytesMax}`, bytesMax }))
  const end = (await readAll(broker, 't', 0)).at(-1)!.offset + 1
  await until(reader, 'assigned')
  const sizes: number[] = []
  for (let next = 0; next < end; ) {
    const { batches } = await until(reader, 'records')
    sizes.push(batches.reduce((sum, b) => sum + b.records.size, 0))
    next = batches.at(-1)!.nextOffset
  }
  await reader.close()
  return sizes
}
