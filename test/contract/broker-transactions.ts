import { describe, expect, test } from 'vitest'
import { SeededRandom } from '../../base/index.ts'
import { packRecords } from '../../base/packed-writer.ts'
import { randomInt } from '../../base/random.ts'
import type { Broker, Writer } from '../../broker/index.ts'
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

const TOOL = { group: 'g', member: 'tool', generation: -1 }

/** Appends until the broker says that this goes no further. */
async function appendUntilRefused(writer: Writer): Promise<string> {
  const transaction = await writer.begin()
  for (;;) {
    try {
      await transaction.append('t', 0, lines('late'))
    } catch (error) {
      return (error as { code: string }).code
    }
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

async function isStable(broker: Broker, topic: string, partition: number): Promise<boolean> {
  const { highWatermark, lastStableOffset } = await broker.partition(topic, partition)
  return highWatermark === lastStableOffset
}

export function transactionContract(using: Using): void {
  describe('transactions', () => {
    test('of several writers in one partition: none is seen before it is committed, an aborted one never', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const [a, b, c] = [await broker.writer('a'), await broker.writer('b'), await broker.writer('c')]
      const [ta, tb, tc] = [await a.begin(), await b.begin(), await c.begin()]
      for (const round of [1, 2]) {
        await ta.append('t', 0, lines(`a${round}`))
        await tb.append('t', 0, lines(`b${round}`))
        await tc.append('t', 0, lines(`c${round}`))
      }
      expect(await readAll(broker, 't', 0)).toEqual([])
      await tb.commit()
      // Behind a transaction that is open, an engine may hold back what is committed; never the other way round.
      expect(['b1', 'b2']).toEqual(expect.arrayContaining(valuesOf(await readAll(broker, 't', 0))))
      await ta.abort()
      expect(['b1', 'b2']).toEqual(expect.arrayContaining(valuesOf(await readAll(broker, 't', 0))))
      await tc.commit()
      const all = await readAll(broker, 't', 0)
      expect(valuesOf(all).sort()).toEqual(['b1', 'b2', 'c1', 'c2'])
      expect(valuesOf(all).filter(v => v!.startsWith('c'))).toEqual(['c1', 'c2'])
      expect(await isStable(broker, 't', 0)).toBe(true)
    })

    test('that are open hold the last stable offset, which never passes the high watermark', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const open = await (await broker.writer('open')).begin()
      await open.append('t', 0, packRecords([{ value: Buffer.alloc(1_000_000) }]))
      for (let i = 0; i < 3; i++) {
        await write(broker, 't', 0, lines(`v${i}`))
        const { highWatermark, lastStableOffset } = await broker.partition('t', 0)
        expect(lastStableOffset).toBeLessThanOrEqual(highWatermark)
      }
      await open.abort()
      expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['v0', 'v1', 'v2'])
      expect(await isStable(broker, 't', 0)).toBe(true)
    })

    test('are whole to a reader that looks all the time', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const reader = await broker.subscribe(subscription({ group: 'g' }))
      await until(reader, 'assigned')
      const writer = await broker.writer('w')
      for (let k = 0; k < 5; k++) {
        const transaction = await writer.begin()
        for (let i = 0; i < 3; i++) await transaction.append('t', 0, lines(`${k}.${i}`))
        expect(await reader.poll(0, NEVER)).toEqual({ kind: 'idle' })
        if (k % 2 === 1) await transaction.abort()
        else {
          await transaction.commit()
          expect(await take(reader, 3)).toEqual([`${k}.0`, `${k}.1`, `${k}.2`])
        }
      }
      expect(await reader.poll(0, NEVER)).toEqual({ kind: 'idle' })
    })

    test('commit records in many partitions, checkpoints and positions together, and abort them together', async () => {
      const { broker } = using()
      const partitions = 8
      for (const name of ['t', 'u']) await broker.ensureTopic({ name, partitions, configs: {} })
      const writer = await broker.writer('w')
      const random = new SeededRandom(11)
      let committed = 0
      const expected = new Map<string, string[]>()
      for (let k = 1; k <= 20; k++) {
        const transaction = await writer.begin()
        const commits = k % 3 !== 0
        for (let i = 0; i < 6; i++) {
          const [topic, partition] = [randomInt(random, 2) === 0 ? 't' : 'u', randomInt(random, partitions)]
          await transaction.append(topic, partition, lines(`${k}.${i}`))
          const place = `${topic}-${partition}`
          if (commits) expected.set(place, [...(expected.get(place) ?? []), `${k}.${i}`])
        }
        transaction.checkpoint([{ connector: 'c', partition: { f: 1 }, value: { at: k } }])
        transaction.offsets(TOOL, [{ topic: 't', partition: 0, offset: k, metadata: `m${k}` }])
        if (commits) committed = k
        await (commits ? transaction.commit() : transaction.abort())
        expect((await broker.checkpoints('c')).map(c => c.value)).toEqual([{ at: committed }])
        expect(await broker.committed('g')).toEqual([
          { topic: 't', partition: 0, offset: committed, metadata: `m${committed}` },
        ])
      }
      for (const topic of ['t', 'u'])
        for (let p = 0; p < partitions; p++)
          expect(valuesOf(await readAll(broker, topic, p))).toEqual(expected.get(`${topic}-${p}`) ?? [])
    })

    test('of many writers at once are all there, each in its own order', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', partitions: 2, configs: {} })
      const ids = Array.from({ length: 12 }, (_, i) => `w${i}`)
      let writing = true
      // Whoever reads in between sees nothing that is aborted, nor will be.
      const watching = [0, 1].map(async partition => {
        while (writing) {
          expect(valuesOf(await readAll(broker, 't', partition)).filter(v => v!.endsWith(' 2'))).toEqual([])
          await new Promise(resolve => setTimeout(resolve, 1))
        }
      })
      await Promise.all(
        ids.map(async id => {
          const writer = await broker.writer(id)
          for (let k = 0; k < 5; k++) {
            const transaction = await writer.begin()
            for (const partition of [0, 1]) await transaction.append('t', partition, lines(`${id} ${k}`))
            transaction.checkpoint([{ connector: id, partition: { f: 1 }, value: { at: k } }])
            await (k === 2 ? transaction.abort() : transaction.commit())
          }
          await writer.close()
        }),
      ).finally(() => {
        writing = false
      })
      await Promise.all(watching)
      for (const partition of [0, 1]) {
        const all = valuesOf(await readAll(broker, 't', partition))
        for (const id of ids)
          expect(all.filter(v => v!.startsWith(`${id} `))).toEqual([0, 1, 3, 4].map(k => `${id} ${k}`))
      }
      for (const id of ids) expect((await broker.checkpoints(id)).map(c => c.value)).toEqual([{ at: 4 }])
    })

    test('larger than any buffer keep their order', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const transaction = await (await broker.writer('w')).begin()
      for (let i = 0; i < 40; i++) {
        await transaction.append('t', 0, packRecords([{ key: String(i), value: Buffer.alloc(500_000) }]))
      }
      await transaction.commit()
      const keys = (await readAll(broker, 't', 0)).map(r => r.key)
      expect(keys).toEqual(Array.from({ length: 40 }, (_, i) => String(i)))
    })

    test('of a writer that was fenced in the middle leave nothing, and its successor is not held up', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', partitions: 2, configs: {} })
      for (let k = 0; k < 3; k++) {
        const writer = await broker.writer('w')
        const left = await writer.begin()
        for (const partition of [0, 1]) await left.append('t', partition, lines(`left ${k}`))
        left.checkpoint([{ connector: 'c', partition: { f: 1 }, value: { left: k } }])
      }
      const last = await (await broker.writer('w')).begin()
      for (const partition of [0, 1]) await last.append('t', partition, lines('last'))
      await last.commit()
      for (const partition of [0, 1]) {
        expect(valuesOf(await readAll(broker, 't', partition))).toEqual(['last'])
        expect(await isStable(broker, 't', partition)).toBe(true)
      }
      expect(await broker.checkpoints('c')).toEqual([])
    })

    test('that stay open too long are aborted, and their writer is fenced', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const writer = await broker.writer('w', { transactionTimeoutMs: 1 })
      const fenced = ['TRANSACTION_TIMED_OUT', 'FENCED']
      expect(fenced).toContain(await appendUntilRefused(writer))
      expect(fenced).toContain((await rejection(writer.begin())).code)
      await write(broker, 't', 0, lines('next'))
      expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['next'])
      const again = await (await broker.writer('w')).begin()
      await again.append('t', 0, lines('again'))
      await again.commit()
      expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['next', 'again'])
    })

    test.each([0, -1, 1.5, 900_001])('a timeout of %d ms is refused', async transactionTimeoutMs => {
      expect(await rejection(using().broker.writer('w', { transactionTimeoutMs }))).toMatchObject({
        code: 'INVALID_CONFIG',
      })
    })
  })

  describe('a writer that is not transactional', () => {
    test('commits records, then checkpoints and positions', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', partitions: 2, configs: {} })
      const writer = await broker.writer('w', { transactional: false })
      for (let k = 0; k < 3; k++) {
        const transaction = await writer.begin()
        for (const partition of [0, 1]) await transaction.append('t', partition, lines(`v${k}`))
        transaction.checkpoint([{ connector: 'c', partition: { f: 1 }, value: { at: k } }])
        transaction.offsets(TOOL, [{ topic: 't', partition: 0, offset: k, metadata: '' }])
        await transaction.commit()
      }
      for (const partition of [0, 1])
        expect(valuesOf(await readAll(broker, 't', partition))).toEqual(['v0', 'v1', 'v2'])
      expect((await broker.checkpoints('c')).map(c => c.value)).toEqual([{ at: 2 }])
      expect((await broker.committed('g')).map(o => o.offset)).toEqual([2])
    })

    test('moves no position when it aborts, and may leave records', async () => {
      const { broker } = using()
      await broker.ensureTopic({ name: 't', configs: {} })
      const writer = await broker.writer('w', { transactional: false })
      const transaction = await writer.begin()
      await transaction.append('t', 0, lines('perhaps'))
      transaction.checkpoint([{ connector: 'c', partition: { f: 1 }, value: { at: 1 } }])
      transaction.offsets(TOOL, [{ topic: 't', partition: 0, offset: 1, metadata: '' }])
      await transaction.abort()
      await write(broker, 't', 0, lines('kept'))
      expect(valuesOf(await readAll(broker, 't', 0)).filter(v => v !== 'perhaps')).toEqual(['kept'])
      expect(await broker.checkpoints('c')).toEqual([])
      expect(await broker.committed('g')).toEqual([])
    })
  })
}
