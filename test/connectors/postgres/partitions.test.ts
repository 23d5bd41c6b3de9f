import { describe, expect, it } from 'vitest'
import { type Connector, Connectors, VERSIONS } from './exactness-harness.ts'

const VIA_ROOT = { 'publish.via.partition.root': true, 'publication.autocreate.mode': 'filtered' }
const ROOT = `CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
  CREATE TABLE old (id int PRIMARY KEY); INSERT INTO p VALUES (1); INSERT INTO old VALUES (11)`

describe.each(VERSIONS)('what is said of tables of PostgreSQL %i whose rows were outside of the stream', version => {
  const connectors = new Connectors(version)
  const make = connectors.make.bind(connectors)

  const warned = async (c: Connector, pattern: RegExp, times: number) => {
    await c.pollUntil(() => c.warnings(pattern).length >= times)
    return c.warnings(pattern)
  }

  it('a partition that was attached with rows while the connector was stopped is told of at its next start, and not later', async () => {
    const c = await make(ROOT, VIA_ROOT)
    await c.open()
    await c.caughtUp(['p', 'old'])
    // What is named in a publication cannot leave the stream so.
    await expect(c.sql('ALTER TABLE old SET UNLOGGED')).rejects.toThrow(/part of a publication/)
    await c.kill()
    await c.sql('ALTER TABLE p ATTACH PARTITION old FOR VALUES FROM (10) TO (20)')
    await c.open()
    const attached = /^old was attached to public\.p: .* --tables public\.p$/
    expect(await warned(c, attached, 1)).toHaveLength(1)
    await c.caughtUp()
    await c.restart()
    await c.sql('ALTER TABLE p1 SET UNLOGGED')
    // Looked for behind the other.
    expect(await warned(c, /^p1 is UNLOGGED: .* --tables public\.p /, 1)).toHaveLength(1)
    expect(c.warnings(attached)).toHaveLength(1)
  })

  it('a table that was UNLOGGED for a while is read again when it is back', async () => {
    const c = await make('CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)', {
      'publication.autocreate.mode': 'all_tables',
    })
    await c.open()
    await c.caughtUp(['t'])
    await c.sql('ALTER TABLE t SET UNLOGGED')
    await c.pollUntil(() => c.progress('t') === undefined)
    await c.sql('INSERT INTO t VALUES (2); ALTER TABLE t SET LOGGED')
    await c.caughtUp(['t'])
    expect(c.rebuilt('t')).toEqual(await c.real('t'))
  })
})
