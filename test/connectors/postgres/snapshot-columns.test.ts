import { describe, expect, it } from 'vitest'
import { type Connector, Connectors, type Event, VERSIONS } from './exactness-harness.ts'

describe.each(VERSIONS)('what snapshots read of tables of PostgreSQL %i', version => {
  const connectors = new Connectors(version)
  const make = connectors.make.bind(connectors)

  const rowsOf = (events: readonly Event[]) => events.map(({ after }) => after)
  const readBeside = (c: Connector, table: string) =>
    c.events(table).filter(event => event.op === 'r' && event.source.snapshot === 'incremental')
  /** Asks for the table, and polls until so many rows have come. */
  const read = async (c: Connector, table: string, rows: number) => {
    const before = readBeside(c, table).length
    const asked = c.signal(table)
    await c.pollUntil(() => readBeside(c, table).length >= before + rows)
    await c.caughtUp()
    await asked
    return readBeside(c, table).slice(before)
  }
  const numbered = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => ({ id: from + i, v: 'v' }))

  it.runIf(version >= 15)('are the columns and rows that a publication made by hand tells of', async () => {
    const c = await make(
      `CREATE TABLE t (id int PRIMARY KEY, secret text, v text); INSERT INTO t SELECT i, 'secret', 'v' FROM generate_series(1, 20) i;
       CREATE TABLE whole (id int PRIMARY KEY, v text); INSERT INTO whole SELECT i, 'v' FROM generate_series(1, 3) i;
       CREATE TABLE p (id int PRIMARY KEY, secret text, v text) PARTITION BY RANGE (id);
       CREATE TABLE p1 (v text, id int PRIMARY KEY, secret text);
       ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (100); INSERT INTO p SELECT i, 'secret', 'v' FROM generate_series(1, 9) i;
       CREATE PUBLICATION hand FOR TABLE t (id, v) WHERE (id > 5), whole, p (id, v) WHERE (id > 5 AND secret IS NOT NULL) WITH (publish_via_partition_root = true, publish = 'insert')`,
      {
        'publication.name': 'hand',
        'publication.autocreate.mode': 'disabled',
        'publish.via.partition.root': true,
      },
    )
    await c.open()
    await c.caughtUp(['t', 'whole', 'p'])
    expect(rowsOf(c.events('t'))).toEqual(numbered(6, 20))
    expect(rowsOf(c.events('p'))).toEqual(numbered(6, 9))
    expect(rowsOf(c.events('whole'))).toEqual(numbered(1, 3))

    await c.sql(`INSERT INTO t VALUES (0, 'secret', 'v'), (21, 'secret', 'v')`)
    expect(rowsOf(await read(c, 't', 16))).toEqual(numbered(6, 21))
    expect(rowsOf(c.events('t').filter(event => event.op === 'c'))).toEqual(numbered(21, 21))
    expect(rowsOf(await read(c, 'p', 4))).toEqual(numbered(6, 9))

    await c.sql(`ALTER PUBLICATION hand SET TABLE t (id, v) WHERE (id > 10), whole, p`)
    expect(rowsOf(await read(c, 't', 11))).toEqual(numbered(11, 21))
  })

  it.runIf(version >= 15)('are all rows of a table whose schema is published as a whole', async () => {
    const c = await make(
      `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, 9) i;
       CREATE PUBLICATION hand FOR TABLES IN SCHEMA public, TABLE t WHERE (id > 5)`,
      { 'publication.name': 'hand', 'publication.autocreate.mode': 'disabled' },
    )
    await c.open()
    await c.caughtUp(['t'])
    await c.sql(`INSERT INTO t VALUES (0, 'v')`)
    await c.caughtUp()
    expect(rowsOf(c.events('t'))).toEqual([...numbered(1, 9), ...numbered(0, 0)])
  })

  it.each([
    ['column.exclude.list', ['public.t.(id|poison)']],
    ['column.include.list', ['public.t.v']],
  ])('are no columns that %s leaves out, but for those of the key', async (list, names) => {
    // Its values cannot be written by the server.
    const c = await make(
      `CREATE TYPE poison;
       CREATE FUNCTION poison_in(cstring) RETURNS poison LANGUAGE internal IMMUTABLE STRICT AS 'textin';
       CREATE FUNCTION poison_out(poison) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'shell_out';
       CREATE TYPE poison (INPUT = poison_in, OUTPUT = poison_out, LIKE = text);
       CREATE TABLE t (poison poison, id int PRIMARY KEY, v text); INSERT INTO t SELECT 'x', i, 'v' || i FROM generate_series(1, 5) i`,
      { [list]: names },
    )
    const all = [1, 2, 3, 4, 5].map(i => ({ v: `v${i}` }))
    await c.open()
    await c.caughtUp(['t'])
    expect(rowsOf(c.events('t'))).toEqual(all)
    expect(rowsOf(await read(c, 't', 5))).toEqual(all)
  })
})
