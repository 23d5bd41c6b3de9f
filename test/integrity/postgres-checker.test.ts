import { expect, test } from 'vitest'
import { RebuiltTable } from './postgres/rebuilt-table.ts'
import { LOAD_TABLES } from './postgres/tables.ts'

const table = (name: string) => new RebuiltTable(LOAD_TABLES.find(one => one.name === name)!)
const body = '__debezium_unavailable_value'

test('a table is rebuilt from its events: new keys, values that did not come, rows that went', () => {
  const documents = table('documents')
  documents.take('r', null, { id: 1, version: 0, body: 'long' })
  documents.take('r', null, { id: 2, version: 0, body: 'other' })
  documents.take('u', null, { id: 1, version: 1, body })
  documents.take('d', { id: 1, version: 0, body: null }, null)
  documents.take('c', null, { id: 3, version: 1, body })
  expect(
    documents.differences([
      ['3', '1', 'long'],
      ['2', '0', 'other'],
    ]),
  ).toEqual([])
  expect(documents.differences([['3', '1', 'long']])).toEqual(['documents ["2"] should not be there'])
  expect(
    documents.differences([
      ['3', '2', 'long'],
      ['2', '0', 'other'],
      ['9', '0', null],
    ]),
  ).toEqual(['documents ["3"] is ["3","1","long"], and should be ["3","2","long"]', 'documents ["9"] is missing'])
  documents.take('t', null, null)
  expect(documents.differences([])).toEqual([])
  documents.take('d', { id: 1 }, null)
  expect(documents.oddities).toEqual(['documents: a row was deleted that never came: ["1"]'])
})

test('equal rows of a table without key are counted', () => {
  const keyless = table('keyless')
  for (let i = 0; i < 2; i++) keyless.take('c', null, { n: 1, v: 'a' })
  keyless.take('u', { n: 1, v: 'a' }, { n: 1, v: 'b' })
  expect(
    keyless.differences([
      ['1', 'b'],
      ['1', 'a'],
    ]),
  ).toEqual([])
  expect(
    keyless.differences([
      ['1', 'b'],
      ['1', 'b'],
    ]),
  ).toHaveLength(2)
  keyless.take('d', { n: 7, v: 'a' }, null)
  expect(keyless.oddities).toHaveLength(1)
})

test('a row that was there before may go before it was told of, once', () => {
  const moves = table('moves')
  moves.take('d', { a: 7, b: 'moved before', v: null }, null)
  expect(moves.oddities).toEqual([])
  moves.take('d', { a: 7, b: 'b7', v: null }, null)
  moves.take('r', null, { a: 8, b: 'b8', v: 8 })
  moves.take('d', { a: 8, b: 'b8', v: null }, null)
  moves.take('d', { a: 8, b: 'b8', v: null }, null)
  moves.take('d', { a: 7, b: 'other', v: null }, null)
  expect(moves.oddities).toHaveLength(3)
})

test('a table without key that is read anew forgets what was told of it before', () => {
  const keyless = table('keyless')
  keyless.take('u', { n: 1, v: 'never read' }, { n: 1, v: 'b' })
  expect(keyless.oddities).toHaveLength(1)
  keyless.take('r', null, { n: 1, v: 'b' }, 'first')
  keyless.take('r', null, { n: 2, v: 'c' }, 'last')
  expect(keyless.oddities).toEqual([])
  const real = [
    ['1', 'b'],
    ['2', 'c'],
  ]
  expect(keyless.differences(real)).toEqual([])
  keyless.take('u', { n: 1, v: 'never read' }, { n: 1, v: 'b' })
  expect(keyless.oddities).toHaveLength(1)
})

test('a table without key whose reading was cut short is read anew, and none of its rows counts twice', () => {
  const keyless = table('keyless')
  keyless.take('r', null, { n: 1, v: 'a' }, 'first_in_data_collection')
  keyless.take('r', null, { n: 2, v: 'b' }, 'true')
  keyless.take('r', null, { n: 1, v: 'a' }, 'first')
  keyless.take('r', null, { n: 2, v: 'b' }, 'true')
  keyless.take('r', null, { n: 3, v: 'c' }, 'last')
  expect(
    keyless.differences([
      ['1', 'a'],
      ['2', 'b'],
      ['3', 'c'],
    ]),
  ).toEqual([])
})
