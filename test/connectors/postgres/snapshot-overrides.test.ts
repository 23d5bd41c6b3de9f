import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { selectCondition } from '../../../connectors/postgres/select-condition.ts'
import { overrideProblems, rowsToRead } from '../../../connectors/postgres/snapshot-overrides.ts'
import { type PostgresServer, sharedPostgres } from '../../support/postgres.ts'
import { Connector } from './exactness-harness.ts'

const LIST = 'snapshot.select.statement.overrides'
const STATEMENTS = `${LIST}.<schema>.<table>` as const

function overrides(selects: Readonly<Record<string, string>>) {
  const statements = Object.entries(selects).map(([table, sql]) => [`${LIST}.${table}`, sql])
  return { [LIST]: Object.keys(selects), [STATEMENTS]: Object.fromEntries(statements) }
}

describe('a SELECT that chooses rows of a table is taken for its condition', () => {
  test.each([
    ['SELECT * FROM shop.orders', undefined],
    ['select * from only Shop.ORDERS;', undefined],
    ['SELECT id, "flag", orders.name FROM shop.orders WHERE flag = 0 ORDER BY id DESC', 'flag = 0'],
    ['SELECT o.* FROM shop.orders AS o WHERE o.flag = 0 OR (o.id > 5)', '"orders".flag = 0 OR ("orders".id > 5)'],
    ['SELECT shop.orders.id FROM shop.orders WHERE shop.orders.id > 5', '"orders".id > 5'],
    [`SELECT * FROM shop.orders o WHERE o.t = 'o.x ''; --' AND x.o.y`, `"orders".t = 'o.x ''; --' AND x.o.y`],
    [
      `SELECT * FROM shop.orders WHERE t = E'\\'; order by' -- order by\n ORDER BY 1`,
      `t = E'\\'; order by' -- order by`,
    ],
    ['SELECT * FROM shop.orders WHERE t = $x$ limit $y$ 1 $x$', 't = $x$ limit $y$ 1 $x$'],
    [
      'SELECT * FROM "shop"."orders" WHERE (SELECT count(*) FROM t LIMIT 1) > 0',
      '(SELECT count(*) FROM t LIMIT 1) > 0',
    ],
    ['SELECT * /* all */ FROM shop.orders WHERE "order" = 1', '"order" = 1'],
    ["SELECT * FROM orders WHERE substring(t FROM 1 FOR 2) = 'a'", "substring(t FROM 1 FOR 2) = 'a'"],
  ])('%s', (sql, condition) => {
    expect(selectCondition(sql, 'shop', 'orders')).toEqual({ condition })
  })

  test.each([
    ['SELECT * FROM shop.orders LIMIT 5', /^SELECT \* FROM/],
    ['SELECT * FROM shop.orders WHERE a = 1 ORDER BY id LIMIT 5', /read in parts/],
    ['SELECT * FROM shop.orders WHERE a = 1 FOR UPDATE', /read in parts/],
    ['SELECT * FROM shop.orders UNION ALL SELECT * FROM shop.old', /read in parts/],
    ['SELECT * FROM shop.orders o JOIN shop.customers c ON true', /read in parts/],
    ['SELECT * FROM shop.orders, shop.customers WHERE true', /read in parts/],
    ['SELECT * FROM shop.orders TABLESAMPLE SYSTEM (5)', /read in parts/],
    ['SELECT DISTINCT * FROM shop.orders', /column\.exclude\.list/],
    ['SELECT id, lower(name) AS name FROM shop.orders', /column\.mask/],
    ['SELECT count(*) FROM shop.orders', /column\.mask/],
    ['SELECT * FROM shop.customers WHERE a = 1', /FROM shop\.orders alone/],
    ['SELECT * FROM shop.orders WHERE a = 1; DROP TABLE t', /one statement/],
    ['SELECT * FROM shop.orders WHERE a = 1) TO STDOUT; DROP TABLE t --', /closed/],
    ["SELECT * FROM shop.orders WHERE a = 'x", /closed/],
    ['SELECT * FROM shop.orders WHERE ((a = 1)', /closed/],
    ['SELECT * FROM shop.orders WHERE', /read in parts/],
    ['SELECT * FROM shop.orders o WHERE EXISTS (SELECT 1 FROM x o WHERE o.id = 1)', /without alias or schema/],
    ['DELETE FROM shop.orders', /read in parts/],
    ['', /read in parts/],
  ])('and %s is not', (sql, problem) => {
    expect(selectCondition(sql, 'shop', 'orders')).toEqual({ problem: expect.stringMatching(problem) })
  })
})

describe('snapshot.select.statement.overrides', () => {
  test('names a table with dots in quotes', () => {
    const rows = rowsToRead(overrides({ '"my.shop"."or""ders"': 'SELECT * FROM "my.shop"."or""ders" WHERE a = 1' }))
    expect(rows({ schema: 'my.shop', table: 'or"ders' })).toBe('a = 1')
    expect(rows({ schema: 'my', table: 'orders' })).toBeUndefined()
  })

  test('needs a SELECT for each table, and tables for each SELECT', () => {
    const messages = (options: Parameters<typeof overrideProblems>[0]) => overrideProblems(options).map(p => p.message)
    expect(messages(overrides({ 'a.b': 'SELECT * FROM a.b WHERE x' }))).toEqual([])
    expect(messages({ [LIST]: ['a.b'], [STATEMENTS]: {} })).toEqual([
      expect.stringMatching(/expected a SELECT for a\.b/),
    ])
    const unlisted = { [LIST]: [], [STATEMENTS]: { [`${LIST}.a.b`]: 'SELECT * FROM a.b' } }
    expect(messages(unlisted)).toEqual([expect.stringMatching(/expected a\.b in the list/)])
    expect(messages(overrides({ 'a.b': 'SELECT 1' }))).toEqual([
      expect.stringMatching(/overrides\.a\.b: expected SELECT/),
    ])
    expect(messages(overrides({ orders: 'SELECT 1' }))).toEqual(['expected schema.table, got orders'])
  })
})

describe('snapshots of chosen rows', () => {
  let server: PostgresServer
  let connector: Connector | undefined
  beforeAll(async () => {
    server = await sharedPostgres()
  }, 120_000)
  afterEach(() => connector?.close())

  const SCHEMA = `CREATE TABLE t (id int PRIMARY KEY, flag int, v text DEFAULT 'v');
    INSERT INTO t SELECT i, i % 3 FROM generate_series(1, 30000) i;
    CREATE TABLE p (id int PRIMARY KEY, flag int) PARTITION BY RANGE (id);
    CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (50); CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (50) TO (200);
    INSERT INTO p SELECT i, i % 2 FROM generate_series(1, 100) i; CREATE TABLE nokey (id int, flag int);
    INSERT INTO nokey SELECT i, i % 2 FROM generate_series(1, 10) i; CREATE TABLE whole (id int PRIMARY KEY); INSERT INTO whole VALUES (1)`
  const SELECTS = overrides({
    'public.t': 'SELECT * FROM public.t o WHERE o.flag = 0 ORDER BY id DESC',
    'public.p': 'SELECT * FROM public.p WHERE p.flag = 1 AND public.p.id > 10',
    'public.nokey': 'SELECT id, flag FROM nokey WHERE flag = 1',
    'public.later': 'SELECT * FROM public.later WHERE id > 5',
  })
  const ids = (c: Connector, table: string) =>
    c
      .events(table)
      .flatMap(({ op, after }) => (op === 'r' ? [Number(after!.id)] : []))
      .sort((a, b) => a - b)
  const numbers = (to: number, chosen: (i: number) => boolean) =>
    Array.from({ length: to }, (_, i) => i + 1).filter(chosen)

  test('have those rows at first, of partitions and of tables without key too; changes are told of all', async () => {
    const c = await Connector.make(server, SCHEMA, { ...SELECTS, 'publish.via.partition.root': true })
    connector = c
    await c.open()
    await c.caughtUp(['t', 'p', 'nokey', 'whole'])
    expect(ids(c, 't')).toEqual(numbers(30_000, i => i % 3 === 0))
    expect(ids(c, 'p')).toEqual(numbers(100, i => i % 2 === 1 && i > 10))
    expect(ids(c, 'nokey')).toEqual(numbers(10, i => i % 2 === 1))
    expect(ids(c, 'whole')).toEqual([1])
    expect(c.logged.map(({ message }) => message).join()).toMatch(/names a table that the snapshot does not read/)
    await c.sql('UPDATE t SET v = v WHERE id IN (1, 3)')
    await c.caughtUp()
    expect(
      c
        .events('t')
        .filter(({ op }) => op === 'u')
        .map(({ after }) => after!.id),
    ).toEqual([1, 3])
  })

  test('have the same rows where a kill cut them short, and under a changed configuration', async () => {
    const c = await Connector.make(server, SCHEMA, { ...SELECTS, 'snapshot.fetch.size': 1000 })
    connector = c
    await c.open()
    while (c.progress('t') === undefined || Number(c.progress('t')!.rows) === 0) {
      await c.poll()
      c.commit()
    }
    expect(c.progress('t')!.done).toBe(false)
    c.settings = { ...c.settings, ...overrides({}) }
    await c.restart()
    await c.caughtUp(['t'])
    expect(ids(c, 't')).toEqual(numbers(30_000, i => i % 3 === 0))
  })

  test('have the same rows where the table was rewritten under the snapshot, and a kill came before it was read again', async () => {
    const c = await Connector.make(server, SCHEMA, { ...SELECTS })
    connector = c
    await c.open()
    await c.sql('VACUUM FULL t')
    await c.pollUntil(() => c.progress('t') !== undefined)
    expect(c.progress('t')).toMatchObject({ done: false, rows: 0 })
    await c.restart()
    await c.caughtUp(['t'])
    expect(ids(c, 't')).toEqual(numbers(30_000, i => i % 3 === 0))
  })

  test('are not begun, nor a slot made for them, with a condition that the server does not take', async () => {
    const c = await Connector.make(server, SCHEMA, overrides({ 'public.t': 'SELECT * FROM public.t WHERE flg = 0' }))
    connector = c
    await expect(c.open()).rejects.toThrow(/^condition for public\.t: column "flg" does not exist/)
    expect((await c.sql(`SELECT FROM pg_replication_slots WHERE slot_name = '${c.slot}'`)).rowCount).toBe(0)
  })

  test('go on where a column is dropped under them that the condition does not name; one that it names is said', async () => {
    const c = await Connector.make(server, SCHEMA, SELECTS)
    connector = c
    await c.open()
    await c.sql('ALTER TABLE t DROP COLUMN v')
    await c.caughtUp(['t'])
    expect(ids(c, 't')).toEqual(numbers(30_000, i => i % 3 === 0))
    await c.close()
    const wrong = await Connector.make(server, SCHEMA, SELECTS)
    connector = wrong
    await wrong.open()
    await wrong.sql('ALTER TABLE t DROP COLUMN flag')
    await expect(wrong.caughtUp(['t'])).rejects.toThrow(/^condition for public\.t: column .*flag does not exist/)
  })

  test('begin anew by the condition that is configured, where the one before fails on some row', async () => {
    const fails = overrides({ 'public.t': 'SELECT * FROM public.t WHERE 1 / (id - 20000) = 0' })
    const c = await Connector.make(server, SCHEMA, { ...fails, 'snapshot.fetch.size': 1000 })
    connector = c
    await c.open()
    await expect(c.caughtUp(['t'])).rejects.toThrow(/division by zero/)
    expect(c.progress('t')!.filter).toBe('1 / (id - 20000) = 0')
    await c.restart()
    await expect(c.caughtUp(['t'])).rejects.toThrow(/division by zero/)
    c.settings = { ...c.settings, ...overrides({ 'public.t': 'SELECT * FROM public.t WHERE flag = 0' }) }
    await c.restart()
    await c.caughtUp(['t'])
    const told = new Set(ids(c, 't'))
    expect(numbers(30_000, i => i % 3 === 0).filter(id => !told.has(id))).toEqual([])
  })

  test('are made of a table that comes later, and not for a signal, which has conditions of its own', async () => {
    const c = await Connector.make(
      server,
      'CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later SELECT generate_series(1, 9)',
      {
        ...SELECTS,
        ...overrides({ 'public.later': 'SELECT * FROM public.later WHERE id > 5' }),
        'table.include.list': ['public.t'],
      },
    )
    connector = c
    await c.open()
    await c.caughtUp(['t'])
    c.settings = { ...c.settings, 'table.include.list': [] }
    await c.restart()
    await c.caughtUp(['later'])
    expect(ids(c, 'later')).toEqual([6, 7, 8, 9])
    const asked = c.signal('later')
    while (ids(c, 'later').length < 13) {
      await c.poll()
      c.commit()
    }
    await asked
    expect(ids(c, 'later')).toEqual([1, 2, 3, 4, 5, 6, 6, 7, 7, 8, 8, 9, 9])
  })
})
