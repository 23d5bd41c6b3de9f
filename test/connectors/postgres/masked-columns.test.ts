import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { PostgresPipeline } from '../../support/postgres-pipeline.ts'
import { type PostgresServer, sharedPostgres } from '../../support/postgres.ts'

const HASHED = { 'column.mask.hash.SHA-256.with.salt.CzQMA0cB5K': 's2.a.bb, s2.b.bb' }

/** What Debezium's own tests expect of these options: PostgresConnectorIT and RecordsStreamProducerIT. */
describe.each([
  ['packed JSON', {}],
  ['records with schemas', { 'value.converter': 'json', 'value.converter.schemas.enable': true }],
])('columns that are masked, in %s', (_, converter) => {
  let server: PostgresServer
  let pipeline: PostgresPipeline | undefined
  beforeAll(async () => {
    server = await sharedPostgres()
  }, 120_000)
  afterEach(() => pipeline?.close())

  async function run(before: string, after: string, settings: Record<string, string | number | boolean>) {
    const database = await server.createDatabase()
    await server.run(before, database)
    pipeline = new PostgresPipeline({
      server,
      database,
      slot: `masks_${database}`.slice(0, 60),
      settings: { 'topic.prefix': 'p', ...converter, ...settings },
    })
    await pipeline.start()
    await pipeline.caughtUp()
    await server.run(after, database)
    await pipeline.caughtUp()
    const topics = pipeline.topics()
    return (topic: string) =>
      (topics.get(`p.${topic}`) ?? []).map(({ value }) => {
        const said = value === null ? null : JSON.parse(value.toString())
        return said?.payload === undefined ? { payload: said, schema: undefined } : said
      })
  }

  test('have the same hash in snapshot and stream, cut to the length of the column; the salt is never shown', async () => {
    const events = await run(
      `CREATE SCHEMA s2; CREATE TABLE s2.a (pk serial PRIMARY KEY, aa int, bb varchar(20)); CREATE TABLE s2.b (pk serial PRIMARY KEY, bb varchar(255));
       INSERT INTO s2.a (aa, bb) VALUES (1, NULL), (1, 'test')`,
      `INSERT INTO s2.a (aa, bb) VALUES (1, 'test'); UPDATE s2.a SET aa = 2, bb = 'hello' WHERE pk = 3; INSERT INTO s2.b (bb) VALUES ('hello');
       DELETE FROM s2.a WHERE pk = 3`,
      HASHED,
    )
    const told = events('s2.a').map(({ payload }) => payload && [payload.op, (payload.after ?? payload.before).bb])
    expect(told).toEqual([
      ['r', null],
      ['r', '8e68c68edbbac316dfe2'],
      ['c', '8e68c68edbbac316dfe2'],
      ['u', 'b4d39ab0d198fb4cac8b'],
      ['d', null],
      null,
    ])
    const [b] = events('s2.b')
    expect(b.payload.after.bb).toBe('b4d39ab0d198fb4cac8b2f023da74f670bcaf192dcc79b5d6361b7ae6b2fafdf')
  })

  test('are asterisks or cut, and say so in their schemas, where types are told as well', async () => {
    const events = await run(
      `CREATE TYPE mood AS ENUM ('sad', 'glad');
       CREATE TABLE t (id int PRIMARY KEY, name varchar(40), doc jsonb, c3a numeric(5,2) NOT NULL, c3b varchar(128), m mood);
       INSERT INTO t VALUES (1, 'Ann', '{"a": 1}', 789.01, 'abcdef', 'glad')`,
      `INSERT INTO t VALUES (2, NULL, '{"a": 2}', 1, 'ab', NULL)`,
      {
        'column.mask.with.5.chars': 'public.t.(name|doc)',
        'column.truncate.to.3.chars': 'public.t.c3b',
        'datatype.propagate.source.type': '.+\\.NUMERIC,.+\\.VARCHAR',
        'column.propagate.source.type': '.*\\.m',
      },
    )
    const told = events('public.t')
    expect(told.map(({ payload }) => payload.after)).toEqual([
      { id: 1, name: '*****', doc: '*****', c3a: 'ATQ1', c3b: 'abc', m: 'glad' },
      { id: 2, name: '*****', doc: '*****', c3a: 'ZA==', c3b: 'ab', m: null },
    ])
    for (const { schema } of told) {
      if (schema === undefined) continue
      const { fields } = schema.fields.find((field: { field: string }) => field.field === 'after')
      const source = (type: string, length: string, scale: string, name: string) => ({
        '__debezium.source.column.type': type,
        '__debezium.source.column.length': length,
        '__debezium.source.column.scale': scale,
        '__debezium.source.column.name': name,
      })
      expect(fields.map(({ name, parameters }: Record<string, unknown>) => [name, parameters])).toEqual([
        [undefined, undefined],
        [undefined, { masked: 'true', ...source('VARCHAR', '40', '0', 'name') }],
        [undefined, { masked: 'true' }],
        [
          'org.apache.kafka.connect.data.Decimal',
          { scale: '2', 'connect.decimal.precision': '5', ...source('NUMERIC', '5', '2', 'c3a') },
        ],
        [undefined, { truncateLength: '3', ...source('VARCHAR', '128', '0', 'c3b') }],
        ['io.debezium.data.Enum', { allowed: 'sad,glad', ...source('MOOD', '2147483647', '0', 'm') }],
      ])
    }
  })
})
