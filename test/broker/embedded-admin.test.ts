import { describe, expect, test } from 'vitest'
import { FaultyFiles } from '../../base/faulty-files.ts'
import { ManualClock, packRecords, SeededRandom } from '../../base/index.ts'
import { MemoryFiles } from '../../base/memory-files.ts'
import type { Broker } from '../../broker/index.ts'
import { lines, readAll, rejection, valuesOf, write } from '../support/broker-drivers.ts'
import { openAsNewProcess } from '../support/embedded.ts'

const DAY = 86_400_000

async function openOn(files: MemoryFiles, clock = new ManualClock()): Promise<Broker> {
  return openAsNewProcess({ files, clock })
}

describe('a change of a topic that deletes data', () => {
  const base = { 'retention.ms': String(7 * DAY), 'retention.bytes': '1000000' }
  const CHANGES = [
    [{ ...base, 'retention.ms': String(DAY) }, /retention.ms 86400000 instead of 604800000/],
    [{ ...base, 'retention.bytes': '10' }, /retention.bytes 10 instead of 1000000/],
    [{ ...base, 'cleanup.policy': 'compact' }, /cleanup.policy compact deletes records without a key/],
    [{ ...base, 'retention.unconsumed': 'delete' }, /retention.unconsumed delete/],
  ] as const

  test.each(CHANGES)('%j is refused until it is allowed, and nothing is changed before', async (configs, words) => {
    const broker = await openOn(new MemoryFiles(new SeededRandom(1)))
    await broker.ensureTopic({ name: 't', configs: base })
    await broker.ensureTopic({ name: 't', configs })
    await broker.ensureTopic({ name: 't', configs: base }, { allowDestructive: true })
    await write(broker, 't', 0, lines('a'))
    for (const change of [broker.ensureTopic({ name: 't', configs }), broker.checkTopic({ name: 't', configs })]) {
      const error = await rejection(change)
      expect(error).toMatchObject({ code: 'DESTRUCTIVE_CHANGE', details: { topic: 't' } })
      expect(error.message).toMatch(words)
      expect(error.message).toContain('--allow-destructive')
    }
    expect((await broker.topic('t'))!.configs).toEqual(base)
    await broker.checkTopic({ name: 't', configs }, { allowDestructive: true })
    expect((await broker.topic('t'))!.configs).toEqual(base)
    await broker.ensureTopic({ name: 't', configs }, { allowDestructive: true })
    expect((await broker.topic('t'))!.configs).toEqual(configs)
    await broker.close()
  })

  test('more partitions part the records of a key, and only those', async () => {
    const broker = await openOn(new MemoryFiles(new SeededRandom(1)))
    await broker.ensureTopic({ name: 'plain', configs: {} })
    await broker.ensureTopic({ name: 'keyed', configs: {} })
    await write(broker, 'plain', 0, lines('a'))
    await write(broker, 'keyed', 0, packRecords([{ key: 'k', value: 'v' }]))
    expect((await broker.ensureTopic({ name: 'plain', partitions: 2, configs: {} })).partitions).toBe(2)
    const error = await rejection(broker.ensureTopic({ name: 'keyed', partitions: 2, configs: {} }))
    expect(error).toMatchObject({ code: 'DESTRUCTIVE_CHANGE' })
    expect(error.message).toContain('2 partitions instead of 1')
    const allowed = { allowDestructive: true }
    expect((await broker.ensureTopic({ name: 'keyed', partitions: 2, configs: {} }, allowed)).partitions).toBe(2)
    await broker.close()
  })
})

describe('a compacted topic', () => {
  test('takes no record without a key', async () => {
    const broker = await openOn(new MemoryFiles(new SeededRandom(1)))
    await broker.ensureTopic({ name: 't', configs: { 'cleanup.policy': 'compact' } })
    const transaction = await (await broker.writer('w')).begin()
    const appended = transaction.append('t', 0, lines('a')).then(() => transaction.commit())
    expect(await rejection(appended)).toMatchObject({ code: 'INVALID_RECORD' })
    await transaction.abort()
    await write(broker, 't', 0, packRecords([{ key: 'k', value: 'v' }]))
    expect(valuesOf(await readAll(broker, 't', 0))).toEqual(['v'])
    await broker.close()
  })
})

describe('deleted records', () => {
  test('stay deleted over a restart and a power cut', async () => {
    const disk = new MemoryFiles(new SeededRandom(4))
    let broker = await openOn(disk)
    await broker.ensureTopic({ name: 't', configs: {} })
    await write(broker, 't', 0, lines('a', 'b', 'c'))
    await broker.deleteRecords('t', 0, 1)
    await broker.close()
    broker = await openOn(disk)
    expect(valuesOf(await readAll(broker, 't', 0, 1))).toEqual(['b', 'c'])
    await broker.deleteRecords('t', 0, 2)
    broker = await openOn(disk.powerCut())
    expect((await broker.partition('t', 0)).logStartOffset).toBe(2)
    expect(valuesOf(await readAll(broker, 't', 0, 2))).toEqual(['c'])
    await broker.close()
  })
})

describe('a deletion of a topic that a power cut ends at any file call', () => {
  async function runUntil(at: number) {
    const disk = new MemoryFiles(new SeededRandom(at))
    let after: MemoryFiles | undefined
    let calls = Number.NEGATIVE_INFINITY
    const files = new FaultyFiles(disk, () => {
      if (++calls === at) after = disk.powerCut()
    })
    const broker = await openAsNewProcess({ files, clock: new ManualClock() })
    for (const name of ['t', 'other']) await broker.ensureTopic({ name, partitions: 2, configs: {} })
    await write(broker, 't', 1, lines('a'))
    await write(broker, 'other', 1, lines('b'))
    calls = 0
    await broker.deleteTopic('t').catch(() => undefined)
    return { after: after ?? disk.powerCut(), calls }
  }

  test('happened or did not, and the other topics stand', async () => {
    const { calls } = await runUntil(Number.MAX_SAFE_INTEGER)
    const outcomes = { there: 0, gone: 0 }
    for (let at = 1; at <= calls; at++) {
      const { after } = await runUntil(at)
      const again = await openOn(after)
      const topic = await again.topic('t')
      if (topic === undefined) outcomes.gone++
      else {
        outcomes.there++
        expect(valuesOf(await readAll(again, 't', 1)), `call ${at}`).toEqual(['a'])
      }
      expect(valuesOf(await readAll(again, 'other', 1)), `call ${at}`).toEqual(['b'])
      await again.ensureTopic({ name: 't', partitions: 2, configs: {} })
      if (topic === undefined) expect(await again.partition('t', 1), `call ${at}`).toMatchObject({ highWatermark: 0 })
      const folders = (await after.list('/data')).filter(name => name.endsWith('-delete'))
      expect(folders, `call ${at}`).toEqual([])
      await again.close()
    }
    expect(outcomes.there).toBeGreaterThan(0)
    expect(outcomes.gone).toBeGreaterThan(0)
  })
})
