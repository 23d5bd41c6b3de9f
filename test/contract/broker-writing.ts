import { describe, expect, test } from 'vitest'
import { decodeHeaders } from '../../base/headers.ts'
import { packRecords } from '../../base/packed-writer.ts'
import { lines, readAll, rejection, valuesOf, write } from '../support/broker-drivers.ts'
import type { Using } from './broker.ts'

export function writingContract(using: Using): void {
  describe('topics', () => {
    test('are created as asked, once, with an id that stays', async () => {
      const { broker } = using()
      const first = await broker.ensureTopic({ name: 't', partitions: 3, configs: { 'retention.ms': '1000' } })
      expect(first).toMatchObject({ name: 't', partitions: 3, internal: false, configs: { 'retention.ms': '1000' } })
      expect(Buffer.from(first.id, 'base64url')).toHaveLength(16)
      const again = await broker.ensureTopic({ name: 't', configs: { 'retention.ms': '2000' } })
      expect(again).toEqual({ ...first, configs: { 'retention.ms': '2000' } })
      expect(await broker.topic('t')).toEqual(again)
      expect(await broker.topic('none')).toBeUndefined()
    })

    test('have one partition unless told, may grow, never shrink', async () => {
      const { broker } = using()
      expect((await broker.ensureTopic({ name: 't', configs: {} })).partitions).toBe(1)
      expect((await broker.ensureTopic({ name: 't', partitions: 4, configs: {} })).partitions).toBe(4)
      expect((await broker.ensureTopic({ name: 't', partitions: 2, configs: {} })).partitions).toBe(4)
      await write(broker, 't', 3, lines('x'))
      expect(valuesOf(await readAll(broker, 't', 3))).toEqual(['x'])
    })

    test('are listed by name', async () => {
      const { broker } = using()
      for (const name of ['b', 'a', 'c.d-e_f']) await broker.ensureTopic({ name, configs: {} })
      const names = (await broker.topics()).filter(t => !t.internal).map(t => t.name)
      expect(names).toEqual(['a', 'b', 'c.d-e_f'])
    })

    test.each(['', '.', '..', '../up', 'a/b', 'a\0b', 'ä', 'x'.repeat(250)])(
      'a name like %j is refused',
      async name => {
        expect(await rejection(using().broker.ensureTopic({ name, configs: {} }))).toMatchObject({
          code: 'INVALID_TOPIC',
        })
      },
    )
  })

  describe('a transaction', () => {
    test('whose commit is under way ends in full when its writer is closed', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const writer = await broker.writer('w')
      const transaction = await writer.begin()
      await transaction.append('t', 0, lines('a'))
      transaction.checkpoint([{ connector: 'c', partition: { p: 1 }, value: { next: 1 } }])
      const committed = transaction.commit()
      await writer.close()
      await committed
      expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['a'])
      expect(await broker.checkpoints('c')).toEqual([{ connector: 'c', partition: { p: 1 }, value: { next: 1 } }])
    })

    test('is readable after its commit and not before', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', partitions: 2, configs: {} })
      const transaction = await (await broker.writer('w')).begin()
      await transaction.append('t', 0, lines('a', 'b'))
      await transaction.append('t', 1, lines('c'))
      await transaction.append('t', 0, lines('d'))
      expect(await readAll(broker, 't', 0)).toEqual([])
      await transaction.commit()
      expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['a', 'b', 'd'])
      expect((await readAll(broker, 't', 0)).map(r => r.offset)).toEqual([0, 1, 2])
      expect(valuesOf(await readAll(broker, 't', 1))).toEqual(['c'])
      const { logStartOffset, highWatermark, lastStableOffset } = await broker.partition('t', 0)
      expect([logStartOffset, lastStableOffset]).toEqual([0, highWatermark])
      expect(highWatermark).toBeGreaterThanOrEqual(3)
    })

    test('that is aborted leaves nothing', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const writer = await broker.writer('w')
      const transaction = await writer.begin()
      await transaction.append('t', 0, lines('gone'))
      transaction.checkpoint([{ connector: 'c', partition: { file: 'f' }, value: { at: 1 } }])
      const tool = { group: 'g', member: 'tool', generation: -1 }
      transaction.offsets(tool, [{ topic: 't', partition: 0, offset: 1, metadata: '' }])
      await transaction.abort()
      await write(broker, 't', 0, lines('kept'))
      expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['kept'])
      expect(await broker.checkpoints('c')).toEqual([])
      expect(await broker.committed('g')).toEqual([])
      expect(await broker.groups()).toEqual([])
    })

    test('keeps keys, values, headers and times as they are', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const headers = [
        { key: 'h', value: Buffer.from('1') },
        { key: 'h', value: null },
        { key: '', value: Buffer.of(0xff) },
      ]
      const records = packRecords([
        { key: 'k', value: 'v', timestamp: 1_700_000_000_500, headers },
        { key: null, value: '', timestamp: 1_700_000_000_000 },
        { key: '', value: null, timestamp: 0 },
        { key: Buffer.of(0xff, 0), value: '\u{1f600}'.repeat(1000), timestamp: 1_800_000_000_000 },
      ])
      await write(broker, 't', 0, records)
      const options = { isolation: 'read_committed', bytesMax: 1 << 20, waitMs: 0 } as const
      const read = (await broker.read('t', 0, 0, options)).batches.flatMap(({ records: r }) =>
        Array.from({ length: r.count }, (_, i) => ({
          key: r.key(i)?.toString('hex') ?? null,
          value: r.value(i)?.toString() ?? null,
          time: r.timestamp(i),
          headers: decodeHeaders(r.headerBlock(i) ?? Buffer.of(0)).map(h => [h.key, h.value && Buffer.from(h.value)]),
        })),
      )
      expect(read).toEqual([
        { key: '6b', value: 'v', time: 1_700_000_000_500, headers: headers.map(h => [h.key, h.value]) },
        { key: null, value: '', time: 1_700_000_000_000, headers: [] },
        { key: '', value: null, time: 0, headers: [] },
        { key: 'ff00', value: '\u{1f600}'.repeat(1000), time: 1_800_000_000_000, headers: [] },
      ])
    })

    test('gives records without a time that of the append', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      await write(broker, 't', 0, packRecords([{ value: 'a' }, { value: 'b', timestamp: 7 }]))
      const [a, b] = await readAll(broker, 't', 0)
      expect(b!.timestamp).toBe(7)
      expect(a!.timestamp).toBeGreaterThan(1_600_000_000_000)
    })

    test('may reuse its bytes once it has committed', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const records = lines('before')
      await write(broker, 't', 0, records)
      records.bytes.fill(0)
      expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['before'])
    })

    test('to a topic or partition that is not there is refused, and the writer goes on', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const writer = await broker.writer('w')
      const transaction = await writer.begin()
      const unknown = { code: 'UNKNOWN_TOPIC_OR_PARTITION' }
      expect(await rejection(transaction.append('none', 0, lines('x')))).toMatchObject(unknown)
      expect(await rejection(transaction.append('t', 1, lines('x')))).toMatchObject(unknown)
      await transaction.append('t', 0, lines('y'))
      await transaction.commit()
      expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['y'])
    })

    test('is the only open one of its writer', async () => {
      const writer = await using().broker.writer('w')
      const first = await writer.begin()
      expect(await rejection(writer.begin())).toMatchObject({ code: 'INTERNAL' })
      await first.abort()
      await (await writer.begin()).abort()
    })

    test('without anything in it commits', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      await (await (await broker.writer('w')).begin()).commit()
      expect((await broker.partition('t', 0)).highWatermark).toBe(0)
    })
  })

  describe('a writer', () => {
    test('is fenced by a newer one of the same id, and what it left open never shows', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const old = await broker.writer('w')
      const left = await old.begin()
      await left.append('t', 0, lines('left'))
      const fresh = await broker.writer('w')
      const fenced = { code: 'FENCED' }
      expect(await rejection(left.append('t', 0, lines('x')))).toMatchObject(fenced)
      expect(await rejection(left.commit())).toMatchObject(fenced)
      expect(await rejection(old.begin())).toMatchObject(fenced)
      const transaction = await fresh.begin()
      await transaction.append('t', 0, lines('fresh'))
      await transaction.commit()
      expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['fresh'])
    })

    test('leaves writers of other ids alone', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const [a, b] = [await broker.writer('a'), await broker.writer('b')]
      const [ta, tb] = [await a.begin(), await b.begin()]
      await ta.append('t', 0, lines('a'))
      await tb.append('t', 0, lines('b'))
      await Promise.all([ta.commit(), tb.commit()])
      expect(valuesOf(await readAll(broker, 't', 0)).sort()).toEqual(['a', 'b'])
    })

    test('aborts what is open when it closes', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const writer = await broker.writer('w')
      await (await writer.begin()).append('t', 0, lines('x'))
      await writer.close()
      await write(broker, 't', 0, lines('y'))
      expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['y'])
    })
  })

  describe('checkpoints', () => {
    test('are the newest by connector and source partition, whatever the order of members', async () => {
      const { broker } = using()
      const writer = await broker.writer('w')
      const commit = async (connector: string, partition: object, value: object | null) => {
        const transaction = await writer.begin()
        transaction.checkpoint([
          { connector, partition: { ...partition }, value: value === null ? null : { ...value } },
        ])
        await transaction.commit()
      }
      await commit('c', { db: 'x', table: 'y' }, { lsn: 1 })
      await commit('c', { table: 'y', db: 'x' }, { lsn: 2n ** 60n })
      await commit('c', { db: 'x', table: 'z' }, { lsn: 3 })
      await commit('d', { db: 'x', table: 'y' }, { lsn: 4 })
      const byTable = (await broker.checkpoints('c')).map(c => [c.connector, c.partition.table, c.value?.lsn])
      expect(byTable.sort()).toEqual([
        ['c', 'y', 2n ** 60n],
        ['c', 'z', 3],
      ])
      await commit('c', { db: 'x', table: 'z' }, null)
      expect((await broker.checkpoints('c')).map(c => c.partition.table)).toEqual(['y'])
      expect(await broker.checkpoints('e')).toEqual([])
    })

    test('of one transaction replace each other in order', async () => {
      const { broker } = using()
      const transaction = await (await broker.writer('w')).begin()
      const entry = (at: number) => ({ connector: 'c', partition: { f: 1 }, value: { at } })
      transaction.checkpoint([entry(1), entry(2)])
      transaction.checkpoint([entry(3)])
      await transaction.commit()
      expect((await broker.checkpoints('c')).map(c => c.value)).toEqual([{ at: 3 }])
    })
  })

  test('a closed broker refuses everything that would write', async () => {
    const { broker } = using()
    await broker.ensureTopic({ name: 't', configs: {} })
    const transaction = await (await broker.writer('w')).begin()
    await transaction.append('t', 0, lines('x'))
    await broker.close()
    expect(await rejection(transaction.commit())).toMatchObject({ code: 'CLOSED' })
    expect(await rejection(broker.writer('v'))).toMatchObject({ code: 'CLOSED' })
  })
}
