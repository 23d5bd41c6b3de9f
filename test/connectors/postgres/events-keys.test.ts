import { describe, expect, test } from 'vitest'
import { EventBatch } from '../../../connectors/postgres/events/index.ts'
import type { Relation } from '../../../connectors/postgres/relation.ts'
import type { TableInfo } from '../../../connectors/postgres/table-info.ts'
import { recordingLogger } from '../../support/recording-logger.ts'
import { bothForms, keyOnly, newEvents, relation, sentBy, streamed, tableInfo, tuple, whole } from './events-harness.ts'

function keyOf(of: Relation, info: TableInfo | undefined, row: readonly string[], custom?: string): unknown {
  const [event] = bothForms((events, into) => events.table(of, info).insert(tuple(...row), streamed(), into), {
    'message.key.columns': custom,
  })
  return JSON.stringify(event!.key)
}

describe('the key of a table', () => {
  const pair = relation('pair', ['b*:int', 'a*', 'v'])

  test('is its primary key, in the order of the key and not of the table', () => {
    expect(keyOf(pair, tableInfo(pair, [], { primaryKey: ['a', 'b'] }), ['1', 'x', 'v'])).toBe('{"a":"x","b":1}')
  })

  test('is what the message says where the catalogue is ahead of it', () => {
    // The primary key was (b, a) when the change was made, and is (a, v), or gone, now.
    expect(keyOf(pair, tableInfo(pair, [], { primaryKey: ['a', 'v'] }), ['1', 'x', 'v'])).toBe('{"b":1,"a":"x"}')
    expect(keyOf(pair, tableInfo(pair, []), ['1', 'x', 'v'])).toBe('{"b":1,"a":"x"}')
    expect(keyOf(pair, undefined, ['1', 'x', 'v'])).toBe('{"b":1,"a":"x"}')
    const keyless = relation('pair', ['b:int', 'a', 'v'])
    expect(keyOf(keyless, tableInfo(keyless, ['a'], { primaryKey: ['a'] }), ['1', 'x', 'v'])).toBe('null')
  })

  test('with replica identity by index is that index: deletes and changes of it have it', () => {
    const byIndex = relation('users', ['id:int', 'email*', 'a'], { replicaIdentity: 'i' })
    const info = tableInfo(byIndex, ['id', 'email'], { primaryKey: ['id'], identityIndex: ['email'] })
    const events = bothForms((all, into) => {
      const table = all.table(byIndex, info)
      table.update(undefined, tuple('44', 'a@x', 'y'), streamed(), into)
      table.update(keyOnly(null, 'a@x', null), tuple('44', 'b@x', 'y'), streamed(), into)
      table.delete(keyOnly(null, 'b@x', null), streamed(), into)
    })
    expect(events.map(({ key, value }) => [value?.op, key])).toEqual([
      ['u', { email: 'a@x' }],
      ['d', { email: 'a@x' }],
      [undefined, { email: 'a@x' }],
      ['c', { email: 'b@x' }],
      ['d', { email: 'b@x' }],
      [undefined, { email: 'b@x' }],
    ])
  })

  test('under FULL, where every column is flagged, or NOTHING is the primary key of the catalogue', () => {
    for (const replicaIdentity of ['f', 'n'] as const) {
      const flags = replicaIdentity === 'f' ? '*' : ''
      const table = relation('t', [`id${flags}:int`, `v${flags}`], { replicaIdentity })
      expect(keyOf(table, tableInfo(table, ['id'], { primaryKey: ['id'] }), ['1', 'v'])).toBe('{"id":1}')
      expect(keyOf(table, tableInfo(table, ['id'], { primaryKey: ['gone'] }), ['1', 'v'])).toBe('null')
      expect(keyOf(table, undefined, ['1', 'v'])).toBe('null')
    }
  })

  test('without a primary key is a unique index', () => {
    const table = relation('t', ['id:int', 'v'])
    expect(keyOf(table, tableInfo(table, ['id'], { uniqueIndex: ['id'] }), ['1', 'v'])).toBe('{"id":1}')
  })

  test('is what message.key.columns says, by table and in that order', () => {
    const custom = 'other[.].*:x; PUBLIC[.]pa.r : v , b ;'
    expect(keyOf(pair, tableInfo(pair, []), ['1', 'x', 'v'], custom)).toBe('{"v":"v","b":1}')
    const table = relation('t', ['id*:int', 'v'])
    expect(keyOf(table, undefined, ['1', 'v'], custom)).toBe('{"id":1}')
  })

  test('keeps to the table where message.key.columns names a column that is not there, with a warning', () => {
    const log = recordingLogger()
    const batch = new EventBatch()
    const options = { 'message.key.columns': 'public.pair:nope' }
    newEvents(true, options, { log })
      .table(pair, undefined)
      .insert(tuple('1', 'x', 'v'), streamed(), batch)
    expect(sentBy(batch)[0]!.key).toBe('{"b":1,"a":"x"}')
    expect(log.lines.map(line => line.message).join()).toMatch(/message\.key\.columns: public\.pair has no column nope/)
  })

  test('has null, never a made-up value, for a column of message.key.columns that a delete does not bring', () => {
    const log = recordingLogger()
    const table = relation('t', ['id*:int', 'owner:int'])
    const info = tableInfo(table, ['id', 'owner'], { primaryKey: ['id'] })
    const events = bothForms(
      (all, into) => {
        const made = all.table(table, info)
        made.update(keyOnly('1', null), tuple('2', '7'), streamed(), into)
        made.delete(keyOnly('2', null), streamed(), into)
      },
      { 'message.key.columns': 'public.t:owner', 'tombstones.on.delete': false },
      { log },
    )
    // That the primary key changed is no change of this key.
    expect(events.map(({ key, value }) => [value!.op, key])).toEqual([
      ['u', { owner: 7 }],
      ['d', { owner: null }],
    ])
    expect(log.lines.map(line => line.message).join()).toMatch(
      /deletes of public\.t do not tell owner.*REPLICA IDENTITY FULL/,
    )
  })

  test('changes under FULL when its columns change, whatever else does', () => {
    const table = relation('t', ['id*:int', 'v*'], { replicaIdentity: 'f' })
    const info = tableInfo(table, ['id'], { primaryKey: ['id'] })
    const operations = bothForms((all, into) => {
      const made = all.table(table, info)
      made.update(whole('1', 'a'), tuple('1', 'b'), streamed(), into)
      made.update(whole('1', 'a'), tuple('12', 'a'), streamed(), into)
    })
    expect(operations.map(({ value }) => value?.op)).toEqual(['u', 'd', undefined, 'c'])
  })
})
