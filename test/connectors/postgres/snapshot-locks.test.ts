import { describe, expect, it } from 'vitest'
import { Connectors, VERSIONS } from './exactness-harness.ts'

describe.each(VERSIONS)('the initial snapshot of PostgreSQL %i', version => {
  const connectors = new Connectors(version)
  const make = connectors.make.bind(connectors)

  it('does not keep DDL waiting for as long as nobody takes its rows', async () => {
    const c = await make(
      `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, repeat('v', 200) FROM generate_series(1, 12000) i`,
      { 'snapshot.max.threads': 1 },
    )
    await c.open()
    const isHeld = async () =>
      (await c.sql(`SELECT FROM pg_locks WHERE relation = 't'::regclass AND mode = 'AccessShareLock'`)).rowCount! > 0
    // In the midst of a part: its transaction is open.
    while (!(await isHeld())) await c.poll()
    const other = await c.connect()
    await other.query(`SET lock_timeout = '20s'; BEGIN; LOCK TABLE t; INSERT INTO t VALUES (0, 'later'); COMMIT`)
    await other.end()
    await c.caughtUp(['t'])
    expect(c.rebuilt('t')).toEqual(await c.real('t'))
    expect(c.events('t').filter(({ op }) => op === 'r')).toHaveLength(12_000)
    expect(c.events('t').filter(({ op }) => op === 'c')).toHaveLength(1)
  })

  it('locks no partition but the one that it reads', async () => {
    const c = await make(
      `CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE sub PARTITION OF p FOR VALUES FROM (0) TO (20) PARTITION BY RANGE (id);
       CREATE TABLE p1 PARTITION OF sub FOR VALUES FROM (0) TO (10); CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (20) TO (30); INSERT INTO p VALUES (1), (21)`,
      { 'publish.via.partition.root': true, 'publication.autocreate.mode': 'filtered' },
    )
    await c.open()
    const other = await c.connect()
    await other.query(`SET lock_timeout = '5s'; BEGIN; LOCK TABLE p; COMMIT`)
    await other.end()
    await c.caughtUp(['p'])
    expect(c.rebuilt('p')).toEqual(await c.real('p'))
  })
})
