import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ManualClock } from '../../../base/index.ts'
import { EventBatch } from '../../../connectors/postgres/events/index.ts'
import type { SourcePart } from '../../../runtime/api/index.ts'
import {
  bothForms,
  keyOnly,
  newEvents,
  relation,
  sentBy,
  simpleCodec,
  streamed,
  tableInfo,
  tuple,
  whole,
} from './events-harness.ts'

const people = relation('people', ['id*:int', 'name', 'age:int'])
const peopleInfo = tableInfo(people, ['id', 'age'], { primaryKey: ['id'] })

describe('an event', () => {
  test('is text to the byte as Debezium writes it, with the four headers of its task', () => {
    const batch = new EventBatch()
    newEvents(true)
      .table(people, peopleInfo)
      .insert(tuple('1', 'Ann "A"\n', '33'), streamed(), batch)
    const [event] = sentBy(batch)
    expect(event).toEqual({
      topic: 'p.public.people',
      orderKey: undefined,
      headers: [
        ['__debezium.context.connectorLogicalName', 'p'],
        ['__debezium.context.taskId', '0'],
        ['__debezium.context.connectorName', 'postgresql'],
        ['__debezium.context.runId', 'run'],
      ],
      key: '{"id":1}',
      value:
        '{"before":null,"after":{"id":1,"name":"Ann \\"A\\"\\n","age":33},"source":{"version":"1.2.3","connector":"postgresql","name":"p","ts_ms":1700000000123,"snapshot":"false","db":"db","sequence":"[\\"4000\\",\\"5000\\"]","ts_us":1700000000123456,"ts_ns":1700000000123456000,"schema":"public","table":"people","txId":77,"lsn":5000,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"op":"c","ts_ms":1700000000000,"ts_us":1700000000000000,"ts_ns":1700000000000000000}',
    })
  })

  test('says where it comes from, whatever changes from one to the next', () => {
    const sources = [
      streamed(),
      streamed({ lsn: 99_999 }),
      streamed({ lsn: 100_000, xid: 78, lastCommitLsn: undefined }),
      streamed({ lsn: 100_000, xid: undefined, origin: { name: 'a "b"', lsn: 12 } }),
      streamed({ lsn: 2 ** 53 - 1, commitTime: 2 ** 53 - 1 }),
      streamed({ lsn: 0, commitTime: 0, xid: 0, lastCommitLsn: 0 }),
      streamed({ snapshot: 'incremental', lsn: 7 }),
      streamed({ snapshot: 'last', lsn: 7 }),
      streamed({ commitTime: -1 }),
      streamed({ commitTime: -2_000_000 }),
    ]
    const clock = new ManualClock()
    const values = bothForms(
      (events, into) => {
        clock.jump(1_700_000_000_049)
        const table = events.table(people, peopleInfo)
        for (const source of sources) table.insert(tuple('1', 'a', '2'), source, into)
      },
      {},
      { clock },
    ).map(event => event.value)
    expect(values.map(value => value!.source.sequence)).toEqual([
      '["4000","5000"]',
      '["4000","99999"]',
      '[null,"100000"]',
      '["4000","100000"]',
      '["4000","9007199254740991"]',
      '["0","0"]',
      '["4000","7"]',
      '["4000","7"]',
      '["4000","5000"]',
      '["4000","5000"]',
    ])
    expect(values.map(value => value!.source.txId)).toEqual([77, 77, 78, null, 77, 0, 77, 77, 77, 77])
    expect(values[3]!.source).toMatchObject({ origin: 'a "b"', origin_lsn: 12 })
    expect(values[6]!.source.snapshot).toBe('incremental')
    expect(values[7]!.ts_ms).toBe(1_700_000_000_049)
  })

  test('says when it was made: all of one poll at one time', () => {
    const clock = new ManualClock()
    const events = newEvents(true, {}, { clock })
    const batch = new EventBatch()
    const table = events.table(people, peopleInfo)
    const times = [1000, 2000].map(time => {
      clock.jump(time)
      table.insert(tuple('1', 'a', '2'), streamed(), batch)
      clock.jump(time + 7)
      table.insert(tuple('2', 'b', '3'), streamed(), batch)
      return sentBy(batch).map(({ value }) => JSON.parse(value!).ts_ms)
    })
    expect(times).toEqual([
      [1000, 1000],
      [2000, 2000],
    ])
  })

  test('of a snapshot has op r', () => {
    const [event] = bothForms((events, into) =>
      events.table(people, peopleInfo).read(tuple('1', null, '3'), streamed({ snapshot: 'first' }), into),
    )
    expect(event!.value).toMatchObject({ op: 'r', before: null, after: { id: 1, name: null, age: 3 } })
  })
})

describe('an update', () => {
  test('has no before where no old row came, and the old row under REPLICA IDENTITY FULL', () => {
    const full = relation('people', ['id*:int', 'name*', 'age*:int'], { replicaIdentity: 'f' })
    const [plain, withOld] = bothForms((events, into) => {
      events.table(people, peopleInfo).update(undefined, tuple('1', 'b', '4'), streamed(), into)
      events
        .table(full, tableInfo(full, ['id'], { primaryKey: ['id'] }))
        .update(whole('1', 'a', null), tuple('1', 'b', '4'), streamed(), into)
    })
    expect(plain).toMatchObject({ key: { id: 1 }, value: { op: 'u', before: null, after: { id: 1, name: 'b' } } })
    expect(withOld).toMatchObject({
      key: { id: 1 },
      value: { op: 'u', before: { id: 1, name: 'a', age: null }, after: { id: 1, name: 'b', age: 4 } },
    })
  })

  test('has the placeholder for a value that was not sent again, and the value where the old row has it', () => {
    const full = relation('people', ['id*:int', 'name*', 'age*:int'], { replicaIdentity: 'f' })
    const [placeholder, known] = bothForms((events, into) => {
      events.table(people, peopleInfo).update(undefined, tuple('1', undefined, '4'), streamed(), into)
      events.table(full, peopleInfo).update(whole('1', 'long', '3'), tuple('1', undefined, '4'), streamed(), into)
    })
    expect(placeholder!.value!.after).toEqual({ id: 1, name: '__debezium_unavailable_value', age: 4 })
    expect(known!.value!.after).toEqual({ id: 1, name: 'long', age: 4 })
  })

  test('of the key is a delete, its tombstone and an insert, each with the key of the other', () => {
    const events = bothForms((all, into) =>
      all.table(people, peopleInfo).update(keyOnly('1', null, null), tuple('2', 'a', '3'), streamed(), into),
    )
    expect(events.map(({ headers, key, value }) => [headers, key, value?.op])).toEqual([
      [{ '__debezium.newkey': '{"id":2}' }, { id: 1 }, 'd'],
      [{ '__debezium.newkey': '{"id":2}' }, { id: 1 }, undefined],
      [{ '__debezium.oldkey': '{"id":1}' }, { id: 2 }, 'c'],
    ])
    // `age` is NOT NULL and was not sent: the default of its type stands for it.
    expect(events[0]!.value!.before).toEqual({ id: 1, name: null, age: 0 })
    expect(events[2]!.value).toMatchObject({ before: null, after: { id: 2, name: 'a', age: 3 } })
  })

  test('keeps its key where a long key was not sent again', () => {
    const docs = relation('docs', ['path*', 'n:int'])
    const [event, ...rest] = bothForms((events, into) =>
      events
        .table(docs, tableInfo(docs, ['path'], { primaryKey: ['path'] }))
        .update(keyOnly('/long', null), tuple(undefined, '3'), streamed(), into),
    )
    expect(rest).toEqual([])
    expect(event).toMatchObject({ key: { path: '/long' }, value: { op: 'u', after: { path: '/long', n: 3 } } })
  })
})

describe('a delete', () => {
  test('has the old row and a tombstone, which can be turned off', () => {
    const make = (events: ReturnType<typeof newEvents>, into: EventBatch) =>
      events.table(people, peopleInfo).delete(keyOnly('1', null, null), streamed(), into)
    const [event, tombstone] = bothForms(make)
    expect(event!.value).toMatchObject({ op: 'd', before: { id: 1, name: null, age: 0 }, after: null })
    expect(tombstone).toMatchObject({ key: { id: 1 }, value: null, headers: {} })
    expect(bothForms(make, { 'tombstones.on.delete': false })).toHaveLength(1)
  })

  test('of a whole row has its NULLs as they are, also in a column that became NOT NULL since', () => {
    const full = relation('people', ['id*:int', 'name*', 'age*:int'], { replicaIdentity: 'f' })
    const [event] = bothForms((events, into) =>
      events.table(full, peopleInfo).delete(whole('1', null, null), streamed(), into),
    )
    expect(event!.value!.before).toEqual({ id: 1, name: null, age: null })
  })
})

test('a table without key has no keys, keeps its order by its topic, and its deletes have tombstones', () => {
  const log = relation('log', ['line*', 'n*:int'], { replicaIdentity: 'f' })
  const batch = new EventBatch()
  newEvents(true).table(log, tableInfo(log, [])).delete(whole('a', '1'), streamed(), batch)
  expect(sentBy(batch).map(({ key, orderKey, value }) => [key, orderKey, value === null])).toEqual([
    [null, 'p.public.log', false],
    [null, 'p.public.log', true],
  ])
})

test('skipped operations are left out; a change of key is an update', () => {
  const make = (events: ReturnType<typeof newEvents>, into: EventBatch) => {
    const table = events.table(people, peopleInfo)
    table.insert(tuple('1', 'a', '1'), streamed(), into)
    table.update(keyOnly('1', null, null), tuple('2', 'a', '1'), streamed(), into)
    table.delete(keyOnly('2', null, null), streamed(), into)
    events.truncate([table], streamed(), into)
    table.read(tuple('3', 'a', '1'), streamed({ snapshot: 'true' }), into)
  }
  const operations = (...skipped: string[]) =>
    bothForms(make, { 'skipped.operations': skipped, 'tombstones.on.delete': false }).map(({ value }) => value!.op)
  expect(operations('t')).toEqual(['c', 'd', 'c', 'd', 'r'])
  expect(operations('none')).toEqual(['c', 'd', 'c', 'd', 't', 'r'])
  expect(operations('u', 't')).toEqual(['c', 'd', 'r'])
  expect(operations('c', 'd')).toEqual(['d', 'c', 't', 'r'])
})

test('a truncated table has an event without key and rows', () => {
  const [event] = bothForms((events, into) => events.truncate([events.table(people, peopleInfo)], streamed(), into), {
    'skipped.operations': ['none'],
  })
  expect(event).toMatchObject({ key: null, value: { op: 't', before: null, after: null } })
})

test('columns are left out of rows by the lists or for want of a codec, and stay in the key', () => {
  const wide = relation('wide', ['id*:int', 'a', 'Secret', 'odd:99999'])
  const after = (changed: Parameters<typeof bothForms>[1]) =>
    bothForms(
      (events, into) => events.table(wide, undefined).insert(tuple('1', 'x', 'y', 'z'), streamed(), into),
      changed,
    )[0]
  expect(after({})!.value!.after).toEqual({ id: 1, a: 'x', Secret: 'y' })
  expect(after({ 'column.exclude.list': ['public[.]wide[.](secret|id)'] })).toMatchObject({ key: { id: 1 } })
  expect(after({ 'column.exclude.list': ['public[.]wide[.](secret|id)'] })!.value!.after).toEqual({ a: 'x' })
  expect(after({ 'column.include.list': ['.*[.]a'] })!.value!.after).toEqual({ a: 'x' })
  expect(after({ 'column.include.list': ['nothing'] })!.value!.after).toEqual({})
})

test('a batch gives its parts by topic in the order of their making, and is empty and of use again afterwards', () => {
  const batch = new EventBatch()
  const events = newEvents(true)
  const others = relation('others', ['id*:int'], { oid: 2 })
  for (let round = 0; round < 3; round++) {
    const first = events.table(people, peopleInfo)
    const second = events.table(others, undefined)
    for (let i = 0; i < 1000; i++) {
      first.insert(tuple(String(i), 'x'.repeat(i), '1'), streamed(), batch)
      second.insert(tuple(String(i)), streamed(), batch)
    }
    expect(batch.count).toBe(2000)
    const { bytes } = batch
    const parts = batch.take()
    expect(parts.map(part => part.kind === 'packed' && [part.topic, part.packed.count])).toEqual([
      ['p.public.people', 1000],
      ['p.public.others', 1000],
    ])
    const size = parts.reduce((sum, part) => sum + (part.kind === 'packed' ? part.packed.size : 0), 0)
    expect(Math.abs(bytes - size)).toBeLessThan(400)
    const keys = parts.map(part => (part.kind === 'packed' ? part.packed.key(999)!.toString() : ''))
    expect(keys).toEqual(['{"id":999}', '{"id":999}'])
    expect([batch.count, batch.bytes, batch.take()]).toEqual([0, 0, []])
    batch.giveBack(parts)
  }
})

test('what a batch gave stays as it was until it is given back, however small and many batches are', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ rows: fc.integer({ min: 1, max: 40 }), width: fc.nat(60_000), held: fc.nat(6) }), {
        minLength: 1,
        maxLength: 30,
      }),
      rounds => {
        const batch = new EventBatch()
        const table = newEvents(true).table(people, peopleInfo)
        const held: { readonly parts: SourcePart[]; readonly name: string; readonly rows: number }[] = []
        rounds.forEach(({ rows, width, held: keep }, round) => {
          const name = String(round).padEnd(width, 'x')
          for (let i = 0; i < rows; i++) table.insert(tuple(String(i), name, '1'), streamed(), batch)
          held.push({ parts: batch.take(), name, rows })
          while (held.length > keep) {
            const { parts, name, rows } = held.shift()!
            const packed = parts.flatMap(part => (part.kind === 'packed' ? part.packed : []))
            expect(packed.map(({ count }) => count)).toEqual([rows])
            for (let i = 0; i < rows; i++) {
              const value = JSON.parse(packed[0]!.value(i)!.toString())
              expect([value.after.id, value.after.name === name]).toEqual([i, true])
              expect(packed[0]!.headerBlock(i)!.includes('__debezium.context.runId')).toBe(true)
            }
            batch.giveBack(parts)
          }
        })
      },
    ),
    { numRuns: 20 },
  )
})

test('both forms say the same of any changes of any table', () => {
  const text = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 40 }), fc.constantFrom('"', '\\', '\u0000', '😀'))
  const values = fc.tuple(fc.integer().map(String), fc.option(text), fc.option(fc.integer().map(String)), text)
  const change = fc.record({
    kind: fc.constantFrom('insert', 'read', 'update', 'move', 'delete', 'unchanged'),
    old: values,
    row: values,
    lsn: fc.maxSafeInteger().map(Math.abs),
    table: fc.nat(2),
  })
  const columns = ['id*:int', 'a', 'n:int', 'b']
  const byDefault = relation('by default', columns)
  const full = relation(
    'full',
    columns.map(column => column.replace(/[*]?(:|$)/, '*$1')),
    { oid: 2, replicaIdentity: 'f' },
  )
  const keyless = { ...full, oid: 3, table: 'keyless' }
  fc.assert(
    fc.property(fc.array(change, { maxLength: 8 }), fc.boolean(), (changes, metadata) => {
      const make = (events: ReturnType<typeof newEvents>, into: EventBatch) => {
        events.begin({ xid: 7, commitLsn: 9, commitTime: 1, origin: undefined })
        const tables = [
          events.table(byDefault, tableInfo(byDefault, ['id', 'n', 'b'], { primaryKey: ['id'] })),
          events.table(full, tableInfo(full, ['id', 'b'], { primaryKey: ['id'], columns: [] })),
          events.table(keyless, undefined),
        ]
        for (const { kind, old, row, lsn, table: at } of changes) {
          const [table, source] = [tables[at]!, streamed({ lsn })]
          const key = keyOnly(old[0], null, null, null)
          if (kind === 'insert') table.insert(tuple(...row), source, into)
          else if (kind === 'read') table.read(tuple(...row), { ...source, snapshot: 'true' }, into)
          else if (kind === 'update') table.update(at === 0 ? undefined : whole(...old), tuple(...row), source, into)
          else if (kind === 'move') table.update(at === 0 ? key : whole(...old), tuple(...row), source, into)
          else if (kind === 'delete') table.delete(at === 0 ? key : whole(...old), source, into)
          else
            table.update(
              at === 0 ? undefined : whole(...old),
              tuple(row[0], undefined, row[2], undefined),
              source,
              into,
            )
        }
        events.commit({ xid: 7, commitLsn: 9, commitTime: 1, origin: undefined }, 10, into)
      }
      bothForms(make, { 'provide.transaction.metadata': metadata })
    }),
    { seed: 11, numRuns: 100 },
  )
})

test('values of a record are a struct with one schema for as long as the table stays as it is', () => {
  const batch = new EventBatch()
  const table = newEvents(false).table(people, peopleInfo)
  for (let i = 0; i < 3; i++) table.insert(tuple(String(i), 'x', i === 2 ? null : '1'), streamed(), batch)
  const [part] = batch.take()
  if (part?.kind !== 'records') throw new Error('expected records')
  const schemas = part.records.map(record => record.valueSchema)
  expect(schemas[1]).toBe(schemas[0])
  const fields = (i: number) => schemas[i]!.fields!.find(field => field.name === 'after')!.schema.fields!
  expect(fields(0).map(({ schema }) => schema.optional)).toEqual([false, true, false])
  // A NULL of before the column became NOT NULL: said as it is, by a schema that permits it.
  expect(fields(2).map(({ schema }) => schema.optional)).toEqual([false, true, true])
})

test('a codec that comes to say more makes a new schema of the row', () => {
  const batch = new EventBatch()
  const evolving = () => {
    const codec = { ...simpleCodec({ ...peopleInfo.columns[1]!, notNull: true })!, evolves: true }
    const valueOfText = (bytes: Buffer, start: number, end: number) => {
      const value = codec.valueOfText(bytes, start, end)
      if (value !== 'NaN') return value
      own.schema = { ...own.schema, optional: true }
      return null
    }
    const own = { ...codec, valueOfText }
    return own
  }
  const table = newEvents(
    false,
    {},
    { codecOf: column => (column.name === 'name' ? evolving() : simpleCodec(column)) },
  ).table(people, peopleInfo)
  table.insert(tuple('1', 'x', '1'), streamed(), batch)
  table.insert(tuple('1', 'NaN', '1'), streamed(), batch)
  expect(sentBy(batch).map(({ value }) => JSON.parse(value!).after.name)).toEqual(['x', null])
})
