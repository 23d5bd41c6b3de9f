import { describe, expect, test } from 'vitest'
import type { Broker } from '../../broker/index.ts'
import { lines, readAll, subscription, until, valuesOf, write } from '../support/broker-drivers.ts'
import type { Using } from './broker.ts'

export function restartContract(using: Using): void {
  describe.each(['reopen', 'crash'] as const)('after %s', how => {
    test('every record, setting, position and checkpoint is there', async () => {
      const { broker } = using()
      const made = await broker.ensureTopic({ name: 't', partitions: 3, configs: { 'retention.ms': '-1' } })
      for (let i = 0; i < 10; i++) await write(broker, 't', i % 3, lines(`v${i}`))
      await commitAll(broker)
      const fresh = await using()[how]!()
      expect(await fresh.topic('t')).toEqual(made)
      expect(valuesOf(await readAll(fresh, 't', 0))).toEqual(['v0', 'v3', 'v6', 'v9'])
      expect(valuesOf(await readAll(fresh, 't', 2))).toEqual(['v2', 'v5', 'v8'])
      expect(await fresh.committed('g')).toEqual([{ topic: 't', partition: 1, offset: 2, metadata: 'm' }])
      expect(await fresh.checkpoints('c')).toEqual([{ connector: 'c', partition: { file: 'f' }, value: { at: 9 } }])
      const reader = await fresh.subscribe(subscription({ group: 'g' }))
      const { partitions } = await until(reader, 'assigned')
      expect(partitions.map(p => p.offset)).toEqual([0, 2, 0])
      await write(fresh, 't', 0, lines('more'))
      const all = await readAll(fresh, 't', 0)
      expect(valuesOf(all)).toEqual(['v0', 'v3', 'v6', 'v9', 'more'])
      // Markers take offsets of their own.
      expect(all.every((r, i) => i === 0 || r.offset > all[i - 1]!.offset)).toBe(true)
    })

    test('what was forgotten stays forgotten, through a second restart', async () => {
      const { broker } = using()
      await commitAll(broker)
      const transaction = await (await broker.writer('w')).begin()
      transaction.checkpoint([{ connector: 'c', partition: { file: 'f' }, value: null }])
      await transaction.commit()
      for (let i = 0; i < 2; i++) expect(await (await using()[how]!()).checkpoints('c')).toEqual([])
    })
  })
}

async function commitAll(broker: Broker): Promise<void> {
  await broker.ensureTopic({ name: 't', partitions: 3, configs: { 'retention.ms': '-1' } })
  const transaction = await (await broker.writer('w')).begin()
  transaction.checkpoint([{ connector: 'c', partition: { file: 'f' }, value: { at: 9 } }])
  const tool = { group: 'g', member: 'tool', generation: -1 }
  transaction.offsets(tool, [{ topic: 't', partition: 1, offset: 2, metadata: 'm' }])
  await transaction.commit()
}
