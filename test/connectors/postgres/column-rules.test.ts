import { describe, expect, test } from 'vitest'
import { columnProblems } from '../../../connectors/postgres/column-options.ts'
import type { EventOptions } from '../../../connectors/postgres/event-options.ts'
import { hashOf, serialized, truncated } from '../../../connectors/postgres/events/masked-codec.ts'
import type { TypeInfo } from '../../../connectors/postgres/table-info.ts'
import { sourceType } from '../../../connectors/postgres/types/source-type.ts'
import { recordingLogger } from '../../support/recording-logger.ts'
import { bothForms, eventOptions, keyOnly, relation, streamed, tableInfo, tuple } from './events-harness.ts'
import { BASE_TYPE } from './types-harness.ts'

describe('hashes are those of Debezium', () => {
  test.each([
    ['sha256', 1, 'hello', 'af5843a0f0e728ab0332c8888b6e1190bfb79e584f0d40538de8f10df6ef29c6'],
    ['sha256', 1, 'world', '4588e1f2dcdc7fefc1515d3acd5acb9033478eace68286f383c337b9ff4464a3'],
    ['sha256', 2, 'hello', 'cd31b3b98ece60cb739c0bf770b2de892ae0ad133f645513c3d83f08757a843a'],
    ['sha256', 2, 'world', 'e84ac3142870113ddc6710c06f76421befc8e8ca6de64e98d2993ed8d41f4085'],
    ['md5', 1, 'hello', '46f48a7a5ea32efba87cbff49d46d35a'],
    ['md5', 2, 'hello', '06decc8b095724f80103712c235586be'],
  ] as const)('%s, version %d, of %s', (algorithm, version, text, hash) => {
    expect(hashOf(algorithm, 'salt', version)(text)).toBe(hash)
  })

  test('version 1 is of the text as Java serialises it, however long and whatever is in it', () => {
    expect(serialized('a').toString('hex')).toBe('aced000574000161')
    // Zero takes two bytes; what is past U+FFFF two times three.
    expect(serialized('\0é€😀').toString('hex')).toBe('aced000574000dc080c3a9e282aceda0bdedb880')
    expect(serialized('x'.repeat(65_535)).subarray(0, 7).toString('hex')).toBe('aced000574ffff')
    expect(serialized('x'.repeat(65_536)).subarray(0, 13).toString('hex')).toBe('aced00057c0000000000010000')
  })
})

test('a truncated text never ends with half of a character', () => {
  expect(truncated('abc', 3)).toBe('abc')
  expect(truncated('abcd', 3)).toBe('abc')
  expect(truncated('ab😀', 3)).toBe('ab')
  expect(truncated('ab😀', 4)).toBe('ab😀')
  expect(truncated('abc', 0)).toBe('')
})

test('an algorithm that is not known is told, and its salt is not', () => {
  const name = 'column.mask.hash.v2.MD2.with.salt.hush'
  const problems = columnProblems(
    eventOptions({ 'column.mask.hash.v2.<algorithm>.with.salt.<salt>': { [name]: ['a'] } } as Partial<EventOptions>),
  )
  expect(problems).toHaveLength(1)
  expect(JSON.stringify(problems)).toMatch(/SHA-256/)
  expect(JSON.stringify(problems)).not.toMatch(/hush/)
})

describe('rows with masked columns', () => {
  const table = relation('people', ['id*:int', 'email*', 'name', 'note', 'age:int', 'photo:17'])
  const info = tableInfo(table, ['id', 'email', 'name'], { primaryKey: ['id', 'email'] })
  const options = {
    'column.mask.with.<length>.chars': { 'column.mask.with.3.chars': ['public[.]people[.](name|age)'] },
    'column.mask.hash.v2.<algorithm>.with.salt.<salt>': {
      'column.mask.hash.v2.SHA-256.with.salt.salt': ['.*EMAIL', '.*name'],
    },
    'column.truncate.to.<length>.chars': { 'column.truncate.to.4.chars': ['.*note', '.*email', '.*photo'] },
  } as Partial<EventOptions>
  const HELLO = 'cd31b3b98ece60cb739c0bf770b2de892ae0ad133f645513c3d83f08757a843a'
  const WORLD = 'e84ac3142870113ddc6710c06f76421befc8e8ca6de64e98d2993ed8d41f4085'

  test('have the strongest that is there for them, in both forms; keys stay as they are', () => {
    const log = recordingLogger()
    const said = bothForms(
      (events, into) => {
        const people = events.table(table, info)
        people.read(tuple('1', 'hello', 'Ann', 'a long note', '41', '\\x0102030405'), streamed(), into)
        people.insert(tuple('2', 'hello', '', null, null, null), streamed(), into)
        people.update(undefined, tuple('1', 'hello', 'Bob', undefined, '42', undefined), streamed(), into)
        people.update(
          keyOnly('1', 'hello', null, null, null, null),
          tuple('1', 'world', 'Bob', 'n', '42', null),
          streamed(),
          into,
        )
      },
      options,
      { log },
    )
    expect(said.map(({ key }) => key)).toEqual([
      { id: 1, email: 'hello' },
      { id: 2, email: 'hello' },
      { id: 1, email: 'hello' },
      { id: 1, email: 'hello' },
      { id: 1, email: 'hello' },
      { id: 1, email: 'world' },
    ])
    const rows = said.map(({ value }) => value?.after ?? value?.before)
    expect(rows).toEqual([
      { id: 1, email: HELLO, name: '***', note: 'a lo', age: 41, photo: 'AQIDBA==' },
      { id: 2, email: HELLO, name: '***', note: null, age: null, photo: null },
      // A placeholder stays whole, so that it is found.
      {
        id: 1,
        email: HELLO,
        name: '***',
        note: UNAVAILABLE,
        age: 42,
        photo: Buffer.from(UNAVAILABLE).toString('base64'),
      },
      { id: 1, email: HELLO, name: '***', note: null, age: null, photo: null },
      undefined,
      { id: 1, email: WORLD, name: '***', note: 'n', age: 42, photo: null },
    ])
    expect(said.flatMap(({ headers }) => Object.values(headers)).join()).toMatch(/"email":"world".*"email":"hello"/)
    expect(log.lines.map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/public\.people\.age is to be masked, but is no text/),
        expect.stringMatching(/public\.people\.email is masked in rows, but is part of the key/),
      ]),
    )
  })

  test('are told of where a mask is for no column at all, without its salt', () => {
    const log = recordingLogger()
    bothForms(
      events => {
        events.table(table, info)
        events.warnOfUnusedMasks()
      },
      {
        'column.mask.with.<length>.chars': { 'column.mask.with.3.chars': ['.*[.]name', 'people[.]nmae'] },
        'column.mask.hash.v2.<algorithm>.with.salt.<salt>': { 'column.mask.hash.v2.MD5.with.salt.hush': ['.*[.]mail'] },
        'column.truncate.to.<length>.chars': { 'column.truncate.to.4.chars': ['nothing'] },
      } as Partial<EventOptions>,
      { log },
    )
    const said = [...new Set(log.lines.map(({ message }) => message))]
    expect(said).toHaveLength(2)
    expect(said[0]).toMatch(/no column in the rows of captured tables matches people\[\.\]nmae/)
    expect(said[1]).toMatch(/matches \.\*\[\.\]mail/)
    expect(said.join()).not.toMatch(/hush/)
  })

  test('NULL is masked too, as with Debezium, and stays NULL where it is hashed or cut', () => {
    const [event] = bothForms(
      (events, into) =>
        events
          .table(relation('t', ['id*:int', 'a', 'b', 'c']), undefined)
          .insert(tuple('1', null, null, null), streamed(), into),
      {
        'column.mask.with.<length>.chars': { 'column.mask.with.0.chars': ['.*[.]a'] },
        'column.mask.hash.v2.<algorithm>.with.salt.<salt>': { 'column.mask.hash.v2.MD5.with.salt.s': ['.*[.]b'] },
        'column.truncate.to.<length>.chars': { 'column.truncate.to.1.chars': ['.*[.]c'] },
      } as Partial<EventOptions>,
    )
    expect(event!.value!.after).toEqual({ id: 1, a: '', b: null, c: null })
  })
})

const UNAVAILABLE = '__debezium_unavailable_value'

describe('types are told as Debezium takes them from JDBC', () => {
  const base = (oid: number, name: string, more: Partial<TypeInfo> = {}): TypeInfo => ({
    ...BASE_TYPE,
    oid,
    name,
    ...more,
  })
  const types = new Map(
    [
      base(16, 'bool'),
      base(23, 'int4'),
      base(25, 'text'),
      base(700, 'float4'),
      base(1042, 'bpchar'),
      base(1043, 'varchar'),
      base(1082, 'date'),
      base(1114, 'timestamp'),
      base(1184, 'timestamptz'),
      base(1560, 'bit'),
      base(1562, 'varbit'),
      base(1700, 'numeric'),
      base(790, 'money'),
      base(1015, '_varchar', { elementOid: 1043 }),
      base(50_000, 'area', { kind: 'd', baseOid: 1700, baseModifier: ((8 << 16) | 3) + 4 }),
      base(50_001, 'area2', { kind: 'd', baseOid: 50_000 }),
      base(50_002, 'mood', { kind: 'e', labels: ['a'] }),
      base(50_003, '_mood', { elementOid: 50_002 }),
    ].map(type => [type.oid, type] as const),
  )
  const UNLIMITED = 2_147_483_647
  const numeric = (precision: number, scale: number) => ((precision << 16) | scale) + 4

  test.each([
    [1700, numeric(5, 2), 'numeric', 5, 2, false],
    [1700, -1, 'numeric', 131_089, 0, false],
    [1043, 132, 'varchar', 128, 0, true],
    [1043, -1, 'varchar', UNLIMITED, 0, true],
    [1042, 5, 'bpchar', 1, 0, true],
    [25, -1, 'text', UNLIMITED, 0, true],
    [700, -1, 'float4', 8, 8, false],
    [23, -1, 'int4', 10, 0, false],
    [790, -1, 'money', UNLIMITED, 0, false],
    [1082, -1, 'date', 13, 0, false],
    [1114, -1, 'timestamp', 29, 6, false],
    [1114, 0, 'timestamp', 22, 0, false],
    [1184, 1, 'timestamptz', 31, 1, false],
    [1560, 3, 'bit', 3, 0, false],
    [1562, -1, 'varbit', UNLIMITED, 0, false],
    [50_000, -1, 'area', 8, 3, false],
    [50_001, -1, 'area2', 8, 3, false],
    [50_002, -1, 'mood', UNLIMITED, 0, true],
    [50_003, -1, '_mood', UNLIMITED, 0, false],
    [1015, 14, '_varchar', 10, 0, false],
  ])('OID %d with modifier %d: %s', (typeOid, typeModifier, name, length, scale, isCharacter) => {
    expect(sourceType({ typeOid, typeModifier }, types)).toEqual({ name, length, scale, isCharacter })
  })
})
