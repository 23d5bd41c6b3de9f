import { describe, expect, test } from 'vitest'
import { ManualClock, parseJson } from '../../../base/index.ts'
import { type ConnectRecord, RecordError, type Schema, type Transform } from '../../../runtime/api/index.ts'
import { packHeaders } from '../../../runtime/source-pipeline.ts'
import { configure } from './golden.ts'

const SOURCE = '"source":{"connector":"postgresql","lsn":42,"table":"orders"}'

const ROW: Schema = {
  type: 'STRUCT',
  optional: true,
  name: 'shop.public.orders.Value',
  fields: [
    { name: 'id', schema: { type: 'INT64', optional: false } },
    { name: 'qty', schema: { type: 'INT32', optional: true, default: 1 } },
  ],
}
const ENVELOPE: Schema = {
  type: 'STRUCT',
  optional: false,
  name: 'shop.public.orders.Envelope',
  fields: [
    { name: 'before', schema: ROW },
    { name: 'after', schema: ROW },
    { name: 'op', schema: { type: 'STRING', optional: false } },
  ],
}

describe('a change as plain JSON', () => {
  test('becomes its row with what was asked for, and loses nothing of a long number', async () => {
    const extract = await open({ 'add.fields': 'op,source.lsn,ts_ms' })
    const after = '{"id":9007199254740993,"name":null}'
    const record = extract(change(`{"before":null,"after":${after},${SOURCE},"op":"c","ts_ms":17}`))!
    expect(record.value).toEqual({ id: 9007199254740993n, name: null, __op: 'c', __source_lsn: 42, __ts_ms: 17 })
    expect(record.valueSchema).toBeUndefined()
  })

  const DELETE = `{"before":{"id":1},"after":null,${SOURCE},"op":"d","ts_ms":17}`
  test.each([
    ['drop', undefined, undefined],
    ['tombstone', null, undefined],
    ['delete-to-tombstone', null, undefined],
    ['rewrite', { id: 1, __deleted: 'true' }, undefined],
    ['rewrite-with-tombstone', { id: 1, __deleted: 'true' }, null],
  ])('that is a delete, and its tombstone, are as %s says', async (mode, ofDelete, ofTombstone) => {
    const extract = await open({ 'delete.tombstone.handling.mode': mode })
    expect(extract(change(DELETE))?.value).toEqual(ofDelete)
    expect(extract(change('null'))?.value).toEqual(ofTombstone)
  })

  test('that is a truncate is dropped', async () => {
    const extract = await open({})
    expect(extract(change(`{"before":null,"after":null,${SOURCE},"op":"t","ts_ms":17}`))).toBeUndefined()
  })

  test.each([
    ['a row', '{"id":1,"op":"c","after":null}'],
    ['a message', `{"op":"m","ts_ms":17,${SOURCE},"message":{"prefix":"p","content":"eA=="}}`],
    ['the begin of a transaction', '{"status":"BEGIN","id":"1:2","ts_ms":17}'],
    ['a heartbeat', '{"ts_ms":17}'],
    ['a text', '"before after op source ts_ms"'],
    ['a list', '[{"op":"c"}]'],
  ])('is not to be confused with %s, which passes as it is', async (_, text) => {
    const extract = await open({ 'add.fields': 'op', 'delete.tombstone.handling.mode': 'rewrite' })
    expect(extract(change(text))!.value).toEqual(parseJson(text))
  })

  test('whose row has a column of an added name is a bad record: no column is overwritten', async () => {
    const extract = await open({ 'add.fields': 'op', 'add.fields.prefix': '' })
    const event = `{"before":null,"after":{"op":"mine"},${SOURCE},"op":"c","ts_ms":17}`
    expect(() => extract(change(event))).toThrow(RecordError)
    expect(() => extract(change(event))).toThrow('expected a name that the row does not have, got op')
  })

  test('leaves out the fields that a header lists, which came from the log as bytes', async () => {
    const extract = await open({ 'drop.fields.header.name': 'drop', 'drop.fields.from.key': true })
    const record = change(`{"before":null,"after":{"id":1,"secret":2},${SOURCE},"op":"c","ts_ms":17}`)
    record.key = { id: 1, secret: 2 }
    record.headers = [{ key: 'drop', value: Buffer.from('["secret"]'), schema: undefined }]
    expect(extract(record)).toMatchObject({ key: { id: 1 }, value: { id: 1 } })
    record.headers = [{ key: 'drop', value: Buffer.from('secret'), schema: undefined }]
    record.value = change(`{"before":null,"after":{"id":1},${SOURCE},"op":"c","ts_ms":17}`).value
    expect(() => extract(record)).toThrow('header drop: expected a JSON list of field names')
  })

  test('gives a header its row as it was, and other records their list of headers', async () => {
    const extract = await open({ 'add.headers': 'after,op', 'add.fields': 'op' })
    const shared = [{ key: 'x', value: 'y', schema: undefined }]
    const record = change(`{"before":null,"after":{"id":1},${SOURCE},"op":"c","ts_ms":17}`)
    record.headers = shared
    expect(extract(record)!.headers?.map(({ key, value }) => [key, value])).toEqual([
      ['x', 'y'],
      ['__after', { id: 1 }],
      ['__op', 'c'],
    ])
    expect(shared).toHaveLength(1)
  })
})

describe('changes of one schema', () => {
  test('become rows of one schema object, deletes included, so that encoders know it', async () => {
    const extract = await open({ 'add.fields': 'op', 'delete.tombstone.handling.mode': 'rewrite' })
    const rows = [typed([null, [1, 2], 'c']), typed([[1, 2], [1, 3], 'u']), typed([[1, 3], null, 'd'])].map(
      record => extract(record)!,
    )
    expect(rows.map(({ value }) => value)).toEqual([
      [1, 2, 'false', 'c'],
      [1, 3, 'false', 'u'],
      [1, 3, 'true', 'd'],
    ])
    expect(new Set(rows.map(({ valueSchema }) => valueSchema)).size).toBe(1)
  })

  test('keep a NULL a null, where the Java class puts the default in its place', async () => {
    const kept = await open({})
    expect(kept(typed([null, [1, null], 'c']))!.value).toEqual([1, null])
    const replaced = await open({}, 'io.debezium.transforms.ExtractNewRecordState')
    expect(replaced(typed([null, [1, null], 'c']))!.value).toEqual([1, 1])
  })
})

test('a struct in a header is written with its names', async () => {
  const extract = await open({ 'add.headers': 'before,after,op' })
  const [before, after, op] = packHeaders(extract(typed([null, [1, 2], 'c']))!.headers)!
  expect(before!.value).toBeNull()
  expect(String(after!.value)).toBe('{"id":1,"qty":2}')
  expect(String(op!.value)).toBe('c')
})

describe('the options of Debezium 2', () => {
  test.each([
    [{ 'drop.tombstones': true, 'delete.handling.mode': 'rewrite' }, 'rewrite'],
    [{ 'drop.tombstones': false, 'delete.handling.mode': 'rewrite' }, 'rewrite-with-tombstone'],
    [{ 'delete.handling.mode': 'drop' }, 'drop'],
    [{ 'delete.handling.mode': 'none' }, 'tombstone'],
  ])('%j are taken beside the mode that does what they say, and refused beside another', async (legacy, mode) => {
    const texts = Object.fromEntries(Object.entries(legacy).map(([name, value]) => [name, String(value)]))
    await configure('ExtractNewRecordState', { ...texts, 'delete.tombstone.handling.mode': mode })
    const other = mode === 'rewrite' ? 'drop' : 'rewrite'
    const refused = configure('ExtractNewRecordState', { ...texts, 'delete.tombstone.handling.mode': other })
    await expect(refused).rejects.toThrow(`expected delete.tombstone.handling.mode: ${mode}`)
  })
})

async function open(options: Readonly<Record<string, unknown>>, name = 'ExtractNewRecordState'): Promise<Transform> {
  const texts = Object.fromEntries(Object.entries(options).map(([key, value]) => [key, String(value)]))
  const { transform, options: values } = await configure(name, texts)
  return transform.open(values as never, { clock: new ManualClock(0), count: () => undefined })
}

function change(text: string): ConnectRecord {
  return recordOf(parseJson(text), undefined)
}

function typed(value: unknown): ConnectRecord {
  return recordOf(value, ENVELOPE)
}

function recordOf(value: unknown, valueSchema: Schema | undefined): ConnectRecord {
  const rest = { partition: undefined, keySchema: undefined, headers: undefined, timestamp: undefined }
  return { topic: 'shop.public.orders', key: null, value, valueSchema, ...rest }
}
