import { describe, expect, it } from 'vitest'
import { type Connector, Connectors, VERSIONS } from './exactness-harness.ts'

const SCHEMA = `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'old' FROM generate_series(1, 20) i;
  CREATE TABLE plain (id int, v text); ALTER TABLE plain REPLICA IDENTITY FULL; INSERT INTO plain VALUES (1, 'old')`
const ALL = { 'publication.autocreate.mode': 'all_tables' }
const WHILE_UNLOGGED = `ALTER TABLE t SET UNLOGGED; UPDATE t SET v = 'unseen' WHERE id < 5; INSERT INTO t VALUES (21, 'unseen'); ALTER TABLE t SET LOGGED`
const READ_AGAIN = /^public\.t was rewritten by an ALTER TABLE, .* is read again/
const ANY = /rewritten|replaced/

describe.each(VERSIONS)('tables of PostgreSQL %i whose rows were written anew', version => {
  const connectors = new Connectors(version)
  const make = connectors.make.bind(connectors)

  /** The stream has told all of this, and the connector has looked at the tables behind it. */
  const looked = async (c: Connector) => {
    await c.caughtUp()
    const looks = () => c.logged.filter(({ message }) => /are new among the captured/.test(message)).length
    const before = looks()
    await c.sql(`CREATE TABLE mark_${before} ()`)
    await c.pollUntil(() => looks() > before)
    // What it has seen is judged when the stream has come by, at the next look.
    await c.sql(`CREATE TABLE mark_${before + 1} ()`)
    await c.pollUntil(() => looks() > before + 1)
    await c.caughtUp()
  }
  const told = (c: Connector) => c.logged.flatMap(({ message }) => (ANY.test(message) ? [message] : []))

  it.each(['stopped', 'running'])(
    'are read again when they were UNLOGGED for a while unseen, by a connector that was %s',
    async state => {
      const c = await make(SCHEMA, ALL)
      await c.open()
      await c.caughtUp(['t', 'plain'])
      if (state === 'stopped') {
        // Its first look is done, and durable.
        await looked(c)
        await c.kill()
      }
      await connectors.server.run(WHILE_UNLOGGED, c.database)
      // Behind it, so that the row of the table itself is a later one.
      await c.sql('GRANT SELECT ON t TO PUBLIC')
      if (state === 'stopped') {
        // A run that ends before it knows, and has noted a later beginning.
        await c.open()
        const place = c.position?.lsn
        await c.sql('INSERT INTO plain VALUES (2)')
        await c.pollUntil(() => c.position?.lsn !== place)
        await c.restart()
      }
      await c.pollUntil(() => c.warnings(READ_AGAIN).length > 0)
      await c.pollUntil(() => c.progress('t')?.done === true && c.rebuilt('t').length === 21)
      expect(c.rebuilt('t')).toEqual(await c.real('t'))
      await c.caughtUp()
      const events = c.events('t').length
      await c.restart()
      await looked(c)
      expect(c.warnings(READ_AGAIN)).toHaveLength(1)
      expect(c.events('t')).toHaveLength(events)
    },
  )

  it('are not read again for VACUUM FULL, CLUSTER, and TRUNCATE, and what other DDL rewrites is told of once', async () => {
    const c = await make(SCHEMA, ALL)
    await c.open()
    await c.caughtUp(['t', 'plain'])
    await looked(c)
    const reads = c.events('t').length
    const harmless = `VACUUM FULL t; CLUSTER t USING t_pkey; VACUUM FULL plain; BEGIN; TRUNCATE plain; INSERT INTO plain VALUES (2, 'new'); COMMIT`
    await connectors.server.run(harmless, c.database)
    await looked(c)
    await connectors.server.run('BEGIN; ALTER TABLE t ADD w int; UPDATE t SET w = id WHERE id > 5; COMMIT', c.database)
    await looked(c)
    await c.kill()
    await connectors.server.run('VACUUM FULL t; TRUNCATE plain', c.database)
    await c.open()
    await looked(c)
    expect(told(c)).toEqual([])
    const updates = c.events('t').slice(reads)
    expect(updates.map(({ op }) => op)).toEqual(Array(15).fill('u'))
    await c.sql('ALTER TABLE t ALTER id TYPE bigint')
    await c.pollUntil(() => told(c).length > 0)
    await looked(c)
    await c.restart()
    await looked(c)
    const warned = /^public\.t was rewritten by an ALTER TABLE: values .* execute-snapshot --tables public\.t$/
    expect(told(c)).toEqual([expect.stringMatching(warned)])
    expect(c.events('t').slice(reads)).toHaveLength(15)
  })

  it('are told of where they are partitions under a captured root', async () => {
    const c = await make(
      `CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
       CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20); INSERT INTO p VALUES (1, 'old'), (11, 'old')`,
      { 'publish.via.partition.root': true, 'publication.autocreate.mode': 'filtered' },
    )
    await c.open()
    await c.caughtUp(['p'])
    await c.pollUntil(() => [...c.checkpoints.values()].some(({ partition }) => partition.files !== undefined))
    await c.kill()
    await connectors.server.run(
      `ALTER TABLE p1 SET UNLOGGED; UPDATE p SET v = 'unseen' WHERE id = 1; ALTER TABLE p1 SET LOGGED; TRUNCATE p2;
       CREATE TABLE p3 (LIKE p INCLUDING ALL); VACUUM FULL p3; ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (20) TO (30)`,
      c.database,
    )
    await c.open()
    await c.pollUntil(() => told(c).length > 1)
    expect(told(c).sort()).toEqual([
      expect.stringMatching(/^public\.p1 was rewritten by an ALTER TABLE: .* --tables public\.p$/),
      expect.stringMatching(/^the rows of public\.p2 were replaced outside of the stream.* --tables public\.p$/),
    ])
    await c.sql('TRUNCATE p')
    await c.caughtUp()
    await c.restart()
    await c.caughtUp()
    expect(told(c)).toHaveLength(2)
  })
})
