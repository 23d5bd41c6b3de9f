import { describe, expect, test } from 'vitest'
import type { CommittedTransaction, LogicalMessage } from '../../../connectors/postgres/changes.ts'
import { EventBatch } from '../../../connectors/postgres/events/index.ts'
import { bothForms, keyOnly, newEvents, relation, sentBy, streamed, tuple } from './events-harness.ts'

const METADATA = { 'provide.transaction.metadata': true }
const orders = relation('orders', ['id*:int'], { oid: 1 })
const items = relation('items', ['id*:int'], { oid: 2 })

const transaction = (changed: Partial<CommittedTransaction> = {}): CommittedTransaction => ({
  xid: 77,
  commitLsn: 6000,
  commitTime: 1_700_000_000_123_456,
  origin: undefined,
  ...changed,
})

const message = (changed: Partial<LogicalMessage> = {}): LogicalMessage => ({
  transactional: true,
  lsn: 5500,
  prefix: 'pfx',
  content: Buffer.from('text'),
  ...changed,
})

describe('transaction metadata', () => {
  test('give every event its place, and the transaction one id, a begin and an end with counts', () => {
    const events = bothForms((all, into) => {
      all.begin(transaction())
      const order = all.table(orders, undefined)
      const item = all.table(items, undefined)
      order.insert(tuple('1'), streamed(), into)
      item.insert(tuple('1'), streamed(), into)
      order.update(keyOnly('1'), tuple('2'), streamed(), into)
      all.message(message(), transaction(), into)
      item.read(tuple('9'), streamed({ snapshot: 'incremental' }), into)
      all.commit(transaction(), 6100, into)
    }, METADATA)
    const of = (topic: string) => events.filter(event => event.topic === topic)
    const id = '77:6000'
    expect(of('p.transaction').map(({ key, value }) => ({ key, value }))).toEqual([
      {
        key: { id },
        value: { status: 'BEGIN', id, event_count: null, data_collections: null, ts_ms: 1_700_000_000_123 },
      },
      {
        key: { id },
        value: {
          status: 'END',
          id,
          event_count: 5,
          data_collections: [
            { data_collection: 'public.orders', event_count: 3 },
            { data_collection: 'public.items', event_count: 1 },
            { data_collection: 'p.message', event_count: 1 },
          ],
          ts_ms: 1_700_000_000_123,
        },
      },
    ])
    const places = (topic: string) => of(topic).flatMap(({ value }) => (value === null ? [] : [value.transaction]))
    const place = (total: number, collection: number) => ({ id, total_order: total, data_collection_order: collection })
    expect(places('p.public.orders')).toEqual([place(1, 1), place(3, 2), place(4, 3)])
    expect(places('p.public.items')).toEqual([place(2, 1), null])
    expect(places('p.message')).toEqual([place(5, 1)])
  })

  test('of a transaction without events are nothing at all', () => {
    const events = bothForms((all, into) => {
      all.begin(transaction())
      all.commit(transaction(), 6100, into)
    }, METADATA)
    expect(events).toEqual([])
  })

  test('count on behind what is told again into a batch that is thrown away', () => {
    const all = newEvents(true, METADATA)
    const order = all.table(orders, undefined)
    const [discarded, batch] = [new EventBatch(), new EventBatch()]
    all.begin(transaction())
    order.insert(tuple('1'), streamed(), discarded)
    discarded.take()
    order.insert(tuple('2'), streamed(), batch)
    all.commit(transaction(), 6100, batch)
    const values = sentBy(batch).map(({ value }) => JSON.parse(value!))
    expect(values.map(value => value.transaction?.total_order ?? value.event_count)).toEqual([2, 2])
    expect(values[1]!.status).toBe('END')
  })

  test('are not made unasked', () => {
    const events = bothForms((all, into) => {
      all.begin(transaction())
      all.table(orders, undefined).insert(tuple('1'), streamed(), into)
      all.commit(transaction(), 6100, into)
    })
    expect(events.map(({ topic, value }) => [topic, value!.transaction])).toEqual([['p.public.orders', null]])
  })
})

describe('a logical message', () => {
  test('has its prefix as key and its content as base64', () => {
    const events = bothForms((all, into) => {
      all.begin(transaction())
      all.commit(transaction(), 6100, into)
      all.message(
        message({ transactional: false, lsn: 6200, prefix: '', content: Buffer.of(0, 255, 16) }),
        undefined,
        into,
      )
      all.message(message({ lsn: 6300 }), transaction({ xid: 78, commitTime: 1_700_000_001_000_000 }), into)
    })
    expect(events[0]).toEqual({
      topic: 'p.message',
      headers: {},
      key: { prefix: '' },
      value: {
        op: 'm',
        ts_ms: 1_700_000_000_000,
        source: {
          version: '1.2.3',
          connector: 'postgresql',
          name: 'p',
          ts_ms: 1_700_000_000_123,
          snapshot: 'false',
          db: 'db',
          sequence: '["6100","6200"]',
          ts_us: 1_700_000_000_123_456,
          ts_ns: 1_700_000_000_123_456_000,
          schema: '',
          table: '',
          txId: null,
          lsn: 6200,
          xmin: null,
          origin: null,
          origin_lsn: null,
        },
        transaction: null,
        message: { prefix: '', content: 'AP8Q' },
      },
    })
    expect(events[1]!.value!.source).toMatchObject({ txId: 78, ts_ms: 1_700_000_001_000 })
    expect(events[1]!.value!.message).toEqual({ prefix: 'pfx', content: 'dGV4dA==' })
  })

  test('is written or left out by its prefix', () => {
    const prefixes = (changed: Parameters<typeof bothForms>[1]) =>
      bothForms((all, into) => {
        for (const prefix of ['app.a', 'app.b', 'other']) all.message(message({ prefix }), transaction(), into)
      }, changed).map(({ value }) => value!.message.prefix)
    expect(prefixes({})).toEqual(['app.a', 'app.b', 'other'])
    expect(prefixes({ 'message.prefix.include.list': ['app[.].*'] })).toEqual(['app.a', 'app.b'])
    expect(prefixes({ 'message.prefix.exclude.list': ['app[.]a'] })).toEqual(['app.b', 'other'])
  })
})

test.each([
  [{ 'topic.heartbeat.prefix': 'beats', 'topic.delimiter': '_' }, 'beats_p'],
  [{ 'topic.heartbeat.prefix': 'beats', 'topic.heartbeat.name': 'all beats' }, 'all_beats'],
])('the topic of heartbeats with %j is %s', (options, topic) => {
  expect(bothForms((all, into) => all.heartbeat(into), options).map(event => event.topic)).toEqual([topic])
})

test('a heartbeat has the name of the server and the time', () => {
  expect(bothForms((all, into) => all.heartbeat(into))).toEqual([
    { topic: '__debezium-heartbeat.p', headers: {}, key: { serverName: 'p' }, value: { ts_ms: 1_700_000_000_000 } },
  ])
})
