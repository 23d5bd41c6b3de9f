import { describe, expect, test } from 'vitest'
import { eventProblems } from '../../../connectors/postgres/event-options.ts'
import { adjustedFieldName, adjustedSchemaName } from '../../../connectors/postgres/events/names.ts'
import { bothForms, eventOptions, newEvents, relation, streamed, tuple } from './events-harness.ts'

const topicOf = (schema: string, table: string, changed: Parameters<typeof newEvents>[1] = {}) =>
  newEvents(true, changed).table(relation(table, ['id*:int'], { schema }), undefined).topic

test('a topic is prefix, schema and table; each unit that Kafka does not allow is one _', () => {
  expect(topicOf('public', 't-1')).toBe('p.public.t-1')
  expect(topicOf('Quoted_" . Schema', 'Žluť 😀')).toBe('p.Quoted___._Schema._lu____')
  expect(topicOf('public', 't', { 'topic.delimiter': '-' })).toBe('p-public-t')
})

describe('names for Avro', () => {
  test('of fields', () => {
    const names = ['plain_1', 'Some Col', 'dash-col', '9start', 'a.b', 'é']
    const adjusted = (mode: 'none' | 'avro' | 'avro_unicode') => names.map(name => adjustedFieldName(name, mode))
    expect(adjusted('none')).toEqual(names)
    expect(adjusted('avro')).toEqual(['plain_1', 'Some_Col', 'dash_col', '_9start', 'a_b', '_'])
    expect(adjusted('avro_unicode')).toEqual([
      'plain_u005f1',
      'Some_u0020Col',
      'dash_u002dcol',
      '_u0039start',
      'a_u002eb',
      '_u00e9',
    ])
  })

  test('of schemas keep their dots', () => {
    expect(adjustedSchemaName('p.a-b.t.Value', 'avro')).toBe('p.a_b.t.Value')
    expect(adjustedSchemaName('p.a-b.t.Value', 'avro_unicode')).toBe('p.a_u002db.t.Value')
    expect(adjustedSchemaName('1.t.Value', 'avro')).toBe('_1.t.Value')
  })

  test('are used in rows and keys', () => {
    const table = relation('t', ['9 id*:int', 'v'])
    const [event] = bothForms(
      (events, into) => events.table(table, undefined).insert(tuple('1', 'x'), streamed(), into),
      { 'field.name.adjustment.mode': 'avro' },
    )
    expect(event).toMatchObject({ key: { _9_id: 1 }, value: { after: { _9_id: 1, v: 'x' } } })
  })
})

test('two columns that become one field are refused, with both names', () => {
  const table = relation('t', ['a b', 'a-b'])
  expect(() => newEvents(true, { 'field.name.adjustment.mode': 'avro' }).table(table, undefined)).toThrow(
    'columns a b and a-b of public.t both become the field a_b',
  )
})

describe('two tables that fall on one topic', () => {
  const first = relation('a b', ['id*:int'], { oid: 1 })
  const second = relation('a-b', ['id*:int'], { oid: 2 })
  const third = relation('a+b', ['id*:int'], { oid: 3 })

  test('are refused, with both names', () => {
    const events = newEvents(true)
    events.table(first, undefined)
    events.table(second, undefined)
    expect(() => events.table(third, undefined)).toThrow(
      'tables public.a b and public.a+b both fall on topic p.public.a_b',
    )
    expect(events.table(first, undefined).topic).toBe('p.public.a_b')
  })

  test('are not meant by a table that is defined anew, made anew under its name, or renamed', () => {
    const events = newEvents(true)
    events.table(first, undefined)
    events.table({ ...first, columns: [] }, undefined)
    events.table({ ...first, oid: 10 }, undefined)
    events.table({ ...first, oid: 10, table: 'a+b' }, undefined)
    events.table({ ...first, oid: 10, table: 'c' }, undefined)
    expect(events.table(third, undefined).topic).toBe('p.public.a_b')
  })

  test('nor may one fall on a topic of other events', () => {
    const events = newEvents(true, { 'topic.delimiter': '.', 'topic.transaction': 'public.t' })
    expect(() => events.table(relation('t', ['id*:int']), undefined)).toThrow(
      'table public.t falls on topic p.public.t, which holds events of another kind',
    )
  })
})

test('only one of two lists may be given', () => {
  expect(eventProblems(eventOptions({ 'column.include.list': ['a'] }))).toEqual([])
  expect(eventProblems(eventOptions({ 'column.include.list': ['a'], 'column.exclude.list': ['b'] }))).toEqual([
    {
      option: 'column.exclude.list',
      message: 'expected only one of column.include.list and column.exclude.list, got both',
    },
  ])
})
