import { describe, expect, test } from 'vitest'
import {
  lines,
  NEVER,
  readAll,
  rejection,
  subscription,
  take,
  until,
  valuesOf,
  write,
} from '../support/broker-drivers.ts'
import type { Using } from './broker.ts'

const UNKNOWN = { code: 'UNKNOWN_TOPIC_OR_PARTITION' }
const COMMITTED = { isolation: 'read_committed', bytesMax: 1 << 20 } as const

export function adminContract(using: Using): void {
  describe('a topic that is deleted', () => {
    test('is gone for who reads it, who waits for more of it, and who writes it', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      await write(broker, 't', 0, lines('a', 'b'))
      const end = (await broker.partition('t', 0)).highWatermark
      const waiting = rejection(broker.read('t', 0, end, { ...COMMITTED, waitMs: 30_000 }))
      await new Promise(resolve => setImmediate(resolve))
      await broker.deleteTopic('t')
      expect(await waiting).toMatchObject(UNKNOWN)
      expect(await broker.topic('t')).toBeUndefined()
      expect(await rejection(broker.read('t', 0, 0, { ...COMMITTED, waitMs: 0 }))).toMatchObject(UNKNOWN)
      const transaction = await (await broker.writer('w')).begin()
      expect(await rejection(transaction.append('t', 0, lines('c')))).toMatchObject(UNKNOWN)
      await transaction.abort()
      expect(await rejection(broker.deleteTopic('t'))).toMatchObject(UNKNOWN)
    })

    test('leaves nothing to one of the same name: no records, no positions', async () => {
      const { broker } = using()
      const { id } = await broker.ensureTopic({ name: 't', configs: {} })
      await broker.ensureTopic({ name: 'other', configs: {} })
      await write(broker, 't', 0, lines('a', 'b'))
      const reader = await broker.subscribe(subscription({ group: 'g', topics: ['t'] }))
      await until(reader, 'assigned')
      await take(reader, 2)
      const transaction = await (await broker.writer('w')).begin()
      transaction.offsets(reader.group, [{ topic: 't', partition: 0, offset: 2, metadata: '' }])
      transaction.offsets({ group: 'tool', member: 'tool', generation: -1 }, [
        { topic: 'other', partition: 0, offset: 0, metadata: 'kept' },
      ])
      await transaction.commit()
      await reader.close()
      await broker.deleteTopic('t')
      expect(await broker.committed('g')).toEqual([])
      expect(await broker.committed('tool')).toHaveLength(1)
      expect((await broker.ensureTopic({ name: 't', configs: {} })).id).not.toBe(id)
      expect(await broker.partition('t', 0)).toMatchObject({ logStartOffset: 0, highWatermark: 0 })
      await write(broker, 't', 0, lines('new'))
      expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['new'])
      const again = await broker.subscribe(subscription({ group: 'g', topics: ['t'] }))
      await until(again, 'assigned')
      expect(await take(again, 1)).toEqual(['new'])
    })
  })

  describe('deleting records', () => {
    test('moves the start into the middle of what was written, for reads and times alike', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      await write(broker, 't', 0, lines('a', 'b', 'c', 'd'))
      expect(await broker.deleteRecords('t', 0, 2)).toBe(2)
      expect(valuesOf(await readAll(broker, 't', 0, 2))).toEqual(['c', 'd'])
      expect((await broker.partition('t', 0)).logStartOffset).toBe(2)
      expect(await rejection(broker.read('t', 0, 1, { ...COMMITTED, waitMs: 0 }))).toMatchObject({
        code: 'OFFSET_OUT_OF_RANGE',
        details: { logStartOffset: 2 },
      })
      expect(await broker.offsetForTime('t', 0, 0)).toBe(2)
      // Never back.
      expect(await broker.deleteRecords('t', 0, 1)).toBe(2)
    })

    test('with -1 takes all that is readable, and beyond that nothing', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      await write(broker, 't', 0, lines('a', 'b'))
      const { highWatermark } = await broker.partition('t', 0)
      expect(await rejection(broker.deleteRecords('t', 0, highWatermark + 1))).toMatchObject({
        code: 'OFFSET_OUT_OF_RANGE',
      })
      expect(await broker.deleteRecords('t', 0, -1)).toBe(highWatermark)
      expect(await readAll(broker, 't', 0, highWatermark)).toEqual([])
      await write(broker, 't', 0, lines('c'))
      const reader = await broker.subscribe(subscription({ group: 'g', topics: ['t'] }))
      await until(reader, 'assigned')
      expect(await take(reader, 1)).toEqual(['c'])
      expect(await rejection(broker.deleteRecords('none', 0, 0))).toMatchObject(UNKNOWN)
      expect(await reader.poll(0, NEVER)).toMatchObject({ kind: 'idle' })
    })
  })
}
