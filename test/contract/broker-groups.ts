import { describe, expect, test } from 'vitest'
import type { Broker, GroupMember, Reader, TopicPosition } from '../../broker/index.ts'
import { lines, NEVER, readAll, rejection, subscription, take, until, write } from '../support/broker-drivers.ts'
import type { Using } from './broker.ts'

export function groupContract(using: Using): void {
  describe('a group', () => {
    test('goes on behind what it committed, metadata kept', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      await write(broker, 't', 0, lines('a', 'b', 'c'))
      const reader = await broker.subscribe(subscription({ group: 'g' }))
      await until(reader, 'assigned')
      await commitOffset(broker, reader.group, 0, 2, 'so far ä')
      await reader.close()
      expect(await broker.committed('g')).toEqual([{ topic: 't', partition: 0, offset: 2, metadata: 'so far ä' }])
      expect(await broker.groups()).toEqual(['g'])
      const next = await broker.subscribe(subscription({ group: 'g' }))
      expect((await until(next, 'assigned')).partitions).toEqual([
        { topic: 't', partition: 0, offset: 2, metadata: 'so far ä' },
      ])
      expect(await take(next, 1)).toEqual(['c'])
      const other = await broker.subscribe(subscription({ group: 'other' }))
      expect((await until(other, 'assigned')).partitions[0]!.offset).toBe(0)
    })

    test('knows where it reads next, before the first poll and behind the last', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      await write(broker, 't', 0, lines('a', 'b'))
      const reader = await broker.subscribe(subscription({ group: 'g' }))
      await until(reader, 'assigned')
      expect(reader.position('t', 0)).toBe(0)
      await take(reader, 2)
      expect(await reader.poll(0, NEVER)).toEqual({ kind: 'idle' })
      // Behind a marker, too, where the engine writes one.
      expect(reader.position('t', 0)).toBe((await broker.partition('t', 0)).lastStableOffset)
      expect(() => reader.position('t', 1)).toThrow('not assigned')
      await reader.close()
    })

    test('shares partitions: revoked first, handed over at the next poll, nothing twice', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', partitions: 4, configs: {} })
      const a = await broker.subscribe(subscription({ group: 'g', member: 'a' }))
      const had = (await until(a, 'assigned')).partitions
      expect(had).toHaveLength(4)
      const b = await broker.subscribe(subscription({ group: 'g', member: 'b' }))
      expect(await b.poll(1, NEVER)).toEqual({ kind: 'idle' })
      const { partitions: lost } = await until(a, 'revoked')
      expect(lost).toHaveLength(2)
      expect(await b.poll(1, NEVER)).toEqual({ kind: 'idle' })
      // Between the two polls the old member still commits, and the new one begins there.
      const moving = lost[0]!.partition
      await write(broker, 't', moving, lines('x', 'y'))
      await commitOffset(broker, a.group, moving, 1)
      expect(await a.poll(1, NEVER)).toEqual({ kind: 'idle' })
      const { partitions: gained } = await until(b, 'assigned')
      expect(numbers(gained)).toEqual(numbers(lost))
      expect(gained.find(p => p.partition === moving)!.offset).toBe(1)
      expect(await rejection(commitOffset(broker, a.group, moving, 2))).toMatchObject({ code: 'FENCED' })
      await commitOffset(broker, b.group, moving, 2)
    })

    test('gives the partitions of a member that left to those that stay', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', partitions: 2, configs: {} })
      const a = await broker.subscribe(subscription({ group: 'g', member: 'a' }))
      const b = await broker.subscribe(subscription({ group: 'g', member: 'b' }))
      const own = (await until(a, 'assigned')).partitions
      const others = (await until(b, 'assigned')).partitions
      expect(numbers([...own, ...others])).toEqual([0, 1])
      const left = b.group
      const more = until(a, 'assigned')
      await b.close()
      expect((await more).partitions).toEqual(others)
      expect(await rejection(commitOffset(broker, left, 0, 0))).toMatchObject({ code: 'FENCED' })
    })

    test('a second member of the same name fences the first', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const first = await broker.subscribe(subscription({ group: 'g' }))
      await until(first, 'assigned')
      const second = await broker.subscribe(subscription({ group: 'g' }))
      expect(await rejection(first.poll(1, NEVER))).toMatchObject({ code: 'FENCED' })
      expect((await until(second, 'assigned')).partitions).toHaveLength(1)
      expect(await rejection(commitOffset(broker, first.group, 0, 0))).toMatchObject({ code: 'FENCED' })
      await commitOffset(broker, second.group, 0, 0)
    })

    test('a fenced commit leaves no records either', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const reader = await broker.subscribe(subscription({ group: 'g' }))
      await until(reader, 'assigned')
      const { group } = reader
      await reader.close()
      const transaction = await (await broker.writer('w')).begin()
      await transaction.append('t', 0, lines('dead letter'))
      transaction.offsets(group, [{ topic: 't', partition: 0, offset: 0, metadata: '' }])
      expect(await rejection(transaction.commit())).toMatchObject({ code: 'FENCED' })
      expect(await readAll(broker, 't', 0)).toEqual([])
    })

    test('a tool may set positions only while nobody reads', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const tool = { group: 'g', member: 'tool', generation: -1 }
      await commitOffset(broker, tool, 0, 0)
      const reader = await broker.subscribe(subscription({ group: 'g' }))
      expect(await rejection(commitOffset(broker, tool, 0, 0))).toMatchObject({ code: 'FENCED' })
      await reader.close()
      await commitOffset(broker, tool, 0, 0)
    })

    test('forgets a group nobody is in: its positions, and those of no other', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      await broker.forgetGroup('g')
      for (const group of ['g', 'other']) await commitOffset(broker, { group, member: 'tool', generation: -1 }, 0, 0)
      const reader = await broker.subscribe(subscription({ group: 'g' }))
      expect(await rejection(broker.forgetGroup('g'))).toMatchObject({ code: 'FENCED' })
      await reader.close()
      await broker.forgetGroup('g')
      expect(await broker.committed('g')).toEqual([])
      expect(await broker.groups()).toEqual(['other'])
    })

    test('finds topics by a pattern over the whole name, new ones and grown ones too, never internal ones', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 'app.one', configs: {} })
      await broker.ensureTopic({ name: 'my.app.one', configs: {} })
      const reader = await broker.subscribe(
        subscription({ group: 'g', topics: [], topicsRegex: /app\..*|.*offsets.*/ }),
      )
      expect(topics(await until(reader, 'assigned'))).toEqual(['app.one-0'])
      await broker.ensureTopic({ name: 'app.two', configs: {} })
      expect(topics(await until(reader, 'assigned'))).toEqual(['app.two-0'])
      await broker.ensureTopic({ name: 'app.one', partitions: 2, configs: {} })
      expect(topics(await until(reader, 'assigned'))).toEqual(['app.one-1'])
    })

    test('members beyond the partitions wait, and step in', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const holder = await broker.subscribe(subscription({ group: 'g', member: 'a' }))
      // Before the others come: who of several gets it is the engine's affair.
      await until(holder, 'assigned')
      const waiting: Reader[] = []
      for (const member of ['b', 'c']) waiting.push(await broker.subscribe(subscription({ group: 'g', member })))
      expect(await waiting[0]!.poll(1, NEVER)).toEqual({ kind: 'idle' })
      await holder.close()
      const events = await Promise.all(waiting.map(reader => reader.poll(1, NEVER)))
      expect(events.map(e => e.kind).sort()).toEqual(['assigned', 'idle'])
    })
  })
}

async function commitOffset(broker: Broker, group: GroupMember, partition: number, offset: number, metadata = '') {
  const writer = await broker.writer('offsets')
  const transaction = await writer.begin()
  transaction.offsets(group, [{ topic: 't', partition, offset, metadata }])
  await transaction.commit()
}

function numbers(partitions: readonly TopicPosition[]): number[] {
  return partitions.map(p => p.partition).sort()
}

function topics(event: { readonly partitions: readonly TopicPosition[] }): string[] {
  return event.partitions.map(p => `${p.topic}-${p.partition}`)
}
