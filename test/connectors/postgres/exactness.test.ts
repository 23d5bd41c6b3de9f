import { describe, expect, it, vi } from 'vitest'
import { AttachedPartitions } from '../../../connectors/postgres/attached-partitions.ts'
import { EventBatch } from '../../../connectors/postgres/events/index.ts'
import { recordingLogger } from '../../support/recording-logger.ts'
import { Connectors, VERSIONS } from './exactness-harness.ts'

describe.each(VERSIONS)('what a connector tells of PostgreSQL %i', version => {
  const connectors = new Connectors(version)
  const make = connectors.make.bind(connectors)

  it('every table is read again when the place was lost, also when that is cut short', async () => {
    const c = await make(
      `CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'old' FROM generate_series(1, 10) i;
       CREATE TABLE b (id int PRIMARY KEY, v text); INSERT INTO b SELECT i, 'old' FROM generate_series(1, 10) i`,
      { 'snapshot.mode': 'when_needed', 'snapshot.max.threads': 1 },
    )
    await c.open()
    await c.caughtUp(['a', 'b'])
    await c.kill()
    await c.sql(`SELECT pg_drop_replication_slot('${c.slot}')`)
    await c.sql(`UPDATE a SET v = 'new'; UPDATE b SET v = 'new'`)
    await c.open()
    for (let i = 0; i < 50; i++) {
      await c.poll()
      if (c.commit() && c.committed.some(e => e.table === 'a' && e.after?.v === 'new')) break
    }
    await c.restart()
    await c.caughtUp(['a', 'b'])
    expect(c.rebuilt('a')).toEqual(await c.real('a'))
    expect(c.rebuilt('b')).toEqual(await c.real('b'))
  })

  it('a table that was filled under a name outside of the lists is read when it gets one inside', async () => {
    const c = await make(`CREATE TABLE orders (id int PRIMARY KEY, v text); INSERT INTO orders VALUES (1, 'old')`, {
      'table.include.list': ['public\\.orders'],
      'publication.autocreate.mode': 'all_tables',
    })
    await c.open()
    await c.caughtUp(['orders'])
    await c.sql(`CREATE TABLE orders_new (id int PRIMARY KEY, v text)`)
    await c.sql(`INSERT INTO orders_new SELECT i, 'new' FROM generate_series(1, 5) i`)
    await c.sql(`BEGIN; DROP TABLE orders; ALTER TABLE orders_new RENAME TO orders; COMMIT`)
    await c.restart()
    await c.caughtUp(['orders'])
    while (c.rebuilt('orders').length < 5) {
      await c.poll()
      c.commit()
    }
    expect(c.rebuilt('orders')).toEqual(await c.real('orders'))
  })

  it.each([
    [
      'made, filled and named so in one transaction',
      'BEGIN; CREATE TABLE tmp (id int PRIMARY KEY, v text); INSERT INTO tmp VALUES (1); ALTER TABLE tmp RENAME TO late; COMMIT',
    ],
    [
      'was unlogged when it was filled',
      'CREATE UNLOGGED TABLE late (id int PRIMARY KEY, v text); INSERT INTO late VALUES (1); ALTER TABLE late SET LOGGED',
    ],
    [
      'was filled in another schema',
      'CREATE SCHEMA s; CREATE TABLE s.late (id int PRIMARY KEY, v text); INSERT INTO s.late VALUES (1); ALTER TABLE s.late SET SCHEMA public',
    ],
  ])('a new table that %s is read', async (_, script) => {
    const c = await make(`CREATE TABLE early (id int PRIMARY KEY)`, {
      'table.include.list': ['public\\.early', 'public\\.late'],
      'publication.autocreate.mode': 'all_tables',
    })
    await c.open()
    await c.caughtUp(['early'])
    await connectors.server.run(script, c.database)
    await c.restart()
    await c.caughtUp(['late'])
    expect(c.rebuilt('late')).toEqual(await c.real('late'))
  })

  it('a new table whose rows all came in the stream is not read', async () => {
    const c = await make(`CREATE TABLE early (id int PRIMARY KEY)`, {
      'table.include.list': ['public\\..*'],
      'publication.autocreate.mode': 'all_tables',
    })
    await c.open()
    await c.caughtUp(['early'])
    await c.sql(`CREATE TABLE late (id int PRIMARY KEY, v text)`)
    await c.sql(`INSERT INTO late VALUES (1, 'x')`)
    await c.restart()
    await c.caughtUp(['late'])
    expect(c.events('late').map(e => e.op)).toEqual(['c'])
  })

  it('a table that was left out for a while is read when it comes back', async () => {
    const c = await make(
      `CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, v text); INSERT INTO b VALUES (1, 'old')`,
      { 'publication.autocreate.mode': 'all_tables' },
    )
    await c.open()
    await c.caughtUp(['a', 'b'])
    await c.kill()
    c.settings = { ...c.settings, 'table.exclude.list': ['public\\.b'] }
    await c.open()
    await c.sql(`UPDATE b SET v = 'new'; INSERT INTO b VALUES (2, 'new')`)
    await c.caughtUp()
    await c.kill()
    c.settings = { ...c.settings, 'table.exclude.list': [] }
    await c.open()
    await c.caughtUp(['b'])
    expect(c.rebuilt('b')).toEqual(await c.real('b'))
  })

  it('a row that a transaction wrote before its table was published, and committed after it was read, is told', async () => {
    const c = await make(`CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, v text)`, {
      'table.include.list': ['public\\.a'],
      'publication.autocreate.mode': 'filtered',
    })
    await c.open()
    await c.caughtUp(['a'])
    await c.kill()
    const writer = await c.connect()
    await writer.query(`BEGIN; INSERT INTO b VALUES (1, 'in flight')`)
    c.settings = { ...c.settings, 'table.include.list': ['public\\.a', 'public\\.b'] }
    await c.open()
    for (let i = 0; i < 6; i++) {
      await c.poll()
      c.commit()
    }
    await writer.query('COMMIT')
    await writer.end()
    await c.caughtUp(['b'])
    expect(c.rebuilt('b')).toEqual(await c.real('b'))
    await c.sql(`INSERT INTO b VALUES (2, 'later')`)
    await c.caughtUp()
    expect(c.rebuilt('b')).toEqual(await c.real('b'))
  })

  it('a column that can only be read as text is met in the midst of a transaction of a binary stream: nothing is lost or told twice', async () => {
    const c = await make(`CREATE TABLE a (id int PRIMARY KEY, v text)`, { 'publication.autocreate.mode': 'all_tables' })
    await c.open()
    await c.caughtUp(['a'])
    // Streams are text where the position does not say otherwise.
    for (const [name, checkpoint] of c.checkpoints) {
      const { position } = checkpoint
      if (position?.binary === false)
        c.checkpoints.set(name, { ...checkpoint, position: { ...position, binary: true } })
    }
    await c.restart()
    await connectors.server.run(
      `CREATE TYPE odd; CREATE FUNCTION odd_in(cstring) RETURNS odd LANGUAGE internal IMMUTABLE STRICT AS 'textin';
       CREATE FUNCTION odd_out(odd) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
       CREATE FUNCTION odd_send(odd) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'textsend';
       CREATE TYPE odd (INPUT = odd_in, OUTPUT = odd_out, SEND = odd_send, LIKE = text);
       CREATE TABLE b (id int PRIMARY KEY, v odd);
       BEGIN; INSERT INTO a VALUES (1, 'x'); INSERT INTO b VALUES (1, 'y'), (2, 'z'); INSERT INTO a VALUES (2, 'x'); COMMIT`,
      c.database,
    )
    await expect(c.caughtUp()).rejects.toMatchObject({ code: 'RETRIABLE' })
    await c.restart()
    await c.caughtUp(['b'])
    expect(c.committed.filter(e => e.op === 'c').map(e => [e.table, e.after?.id])).toEqual([
      ['a', 1],
      ['b', 1],
      ['b', 2],
      ['a', 2],
    ])
    expect(c.rebuilt('b')).toEqual(await c.real('b'))
  })

  it('rows of a table without a key come in front of every change behind the place that they are read at', async () => {
    const c = await make(
      `CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE k (id int, v int); ALTER TABLE k REPLICA IDENTITY FULL;
       INSERT INTO k SELECT i, 0 FROM generate_series(1, 20) i`,
      { 'table.include.list': ['public\\.a'], 'publication.autocreate.mode': 'all_tables' },
    )
    await c.open()
    await c.caughtUp(['a'])
    await c.kill()
    c.settings = { ...c.settings, 'table.include.list': ['public\\.a', 'public\\.k'] }
    await c.open()
    const writer = await c.connect()
    let writes = true
    const writing = (async () => {
      for (let i = 0; writes; i++) await writer.query(`UPDATE k SET v = v + 1 WHERE id = ${1 + (i % 20)}`)
    })()
    const slow = async () => {
      while (c.progress('k')?.done !== true) {
        await c.poll()
        c.commit()
      }
    }
    await slow()
    writes = false
    await writing
    await writer.end()
    await c.caughtUp(['k'])
    expect(c.rebuilt('k')).toEqual(await c.real('k'))
    const last = new Map<unknown, number>()
    for (const { after } of c.events('k')) {
      const { id, v } = after as { id: number; v: number }
      expect(v).toBeGreaterThanOrEqual(last.get(id) ?? 0)
      last.set(id, v)
    }
  })

  it('a slot that is moved on behind the checks of the start is refused', async () => {
    const c = await make(`CREATE TABLE a (id int PRIMARY KEY)`)
    await c.open()
    await c.caughtUp(['a'])
    await c.restart()
    await c.sql(`INSERT INTO a VALUES (1)`)
    await c.sql(`SELECT pg_replication_slot_advance('${c.slot}', pg_current_wal_lsn())`)
    await expect(c.caughtUp()).rejects.toMatchObject({ code: 'POSITION_LOST' })
  })

  it('a table that has a name outside of the lists for a while is read when it comes back', async () => {
    const c = await make(`CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a VALUES (1, 'old'), (2, 'old')`, {
      'table.include.list': ['public\\.a'],
      'publication.autocreate.mode': 'all_tables',
    })
    await c.open()
    await c.caughtUp(['a'])
    await c.sql(`ALTER TABLE a RENAME TO elsewhere`)
    await c.sql(`UPDATE elsewhere SET v = 'new' WHERE id = 1`)
    await c.sql(`ALTER TABLE elsewhere RENAME TO a`)
    await c.caughtUp()
    await c.restart()
    await c.caughtUp(['a'])
    expect(c.rebuilt('a')).toEqual(await c.real('a'))
  })

  // pgoutput has it from 15 on.
  it.runIf(version >= 15)(
    'a prepared transaction that waits over restarts is told once, at its commit, and nothing around it is lost',
    async () => {
      const c = await make(`CREATE TABLE a (id int PRIMARY KEY)`, { 'publication.autocreate.mode': 'all_tables' })
      await c.sql(`SELECT pg_create_logical_replication_slot('${c.slot}', 'pgoutput', false, true)`)
      await c.open()
      await c.caughtUp(['a'])
      const name = `p_${c.database}`
      await connectors.server.run(`BEGIN; INSERT INTO a VALUES (1), (2); PREPARE TRANSACTION '${name}'`, c.database)
      await c.sql(`INSERT INTO a VALUES (3)`)
      for (let i = 0; i < 3; i++) {
        await c.poll()
        c.commit()
        await c.restart()
        await c.sql(`INSERT INTO a VALUES (${4 + i})`)
      }
      while (c.events('a').length < 4) {
        await c.poll()
        c.commit()
      }
      await c.restart()
      await c.sql(`COMMIT PREPARED '${name}'`)
      await c.sql(`INSERT INTO a VALUES (7)`)
      await c.caughtUp()
      await c.restart()
      await c.caughtUp()
      expect(c.events('a').map(e => e.after?.id)).toEqual([3, 4, 5, 6, 1, 2, 7])
    },
  )

  it('a table that is attached as a partition, dropped and made again, or swapped with another comes back whole', async () => {
    const c = await make(
      `CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
       INSERT INTO p VALUES (1, 'old'); CREATE TABLE x (id int PRIMARY KEY, v text); INSERT INTO x VALUES (1, 'x');
       CREATE TABLE y (id int PRIMARY KEY, v text); INSERT INTO y VALUES (1, 'y')`,
      { 'table.include.list': ['public\\.p[12]', 'public\\.[xy]'], 'publication.autocreate.mode': 'filtered' },
    )
    await c.open()
    await c.caughtUp(['p1', 'x', 'y'])
    await connectors.server.run(
      `CREATE TABLE p2 (id int PRIMARY KEY, v text); INSERT INTO p2 VALUES (11, 'before');
       ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20); INSERT INTO p VALUES (12, 'behind');
       DROP TABLE x; ALTER TABLE y RENAME TO x; CREATE TABLE y (id int PRIMARY KEY, v text); INSERT INTO y VALUES (2, 'new y')`,
      c.database,
    )
    await c.restart()
    await c.caughtUp(['p1', 'p2', 'y'])
    expect(c.rebuilt('p2')).toEqual(await c.real('p2'))
    expect(c.rebuilt('y').filter(row => row.includes('new'))).toEqual(await c.real('y'))
    await c.sql(`INSERT INTO x VALUES (5, 'later'); INSERT INTO y VALUES (6, 'later')`)
    await c.restart()
    await c.caughtUp(['y'])
    expect(c.events('x').at(-1)!.after).toEqual({ id: 5, v: 'later' })
    expect(c.events('y').at(-1)!.after).toEqual({ id: 6, v: 'later' })
  })

  it.each([
    ['a table leaves the publication', 'ALTER PUBLICATION mine DROP TABLE b'],
    ['a table joins the publication', 'ALTER PUBLICATION mine ADD TABLE d'],
    ['the publication leaves out inserts', "ALTER PUBLICATION mine SET (publish = 'update')"],
    ['a table is dropped', 'DROP TABLE b'],
    ['a table gets another column and name', 'ALTER TABLE a ADD w int DEFAULT 7; ALTER TABLE b RENAME TO e'],
  ])('a transaction that was told in half goes on where it was when %s meanwhile', async (_, change) => {
    vi.spyOn(EventBatch.prototype, 'halfFull', 'get').mockImplementation(function (this: EventBatch) {
      return this.count >= 4
    })
    const c = await make(
      `CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE d (id int PRIMARY KEY);
       CREATE PUBLICATION mine FOR TABLE a, b`,
      { 'publication.name': 'mine', 'publication.autocreate.mode': 'disabled' },
    )
    await c.open()
    await c.caughtUp(['a', 'b'])
    const rows = Array.from(
      { length: 10 },
      (_, i) => `INSERT INTO b VALUES (${i}); INSERT INTO d VALUES (${i}); INSERT INTO a VALUES (${i});`,
    )
    await c.sql(`BEGIN; ${rows.join(' ')} COMMIT`)
    while (c.committed.filter(e => e.op === 'c').length < 7) {
      await c.poll()
      c.commit()
    }
    await c.kill()
    expect(c.position?.changes).toBeTypeOf('number')
    await connectors.server.run(change, c.database)
    await c.open()
    await c.caughtUp()
    const told = (table: string) => c.events(table).flatMap(e => (e.op === 'c' ? [e.after!.id] : []))
    expect(told('a')).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(told('b')).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(told('d')).toEqual([])
  })

  it('a partition with rows of its own that is attached to a captured root is told of, a new one is not', async () => {
    const c = await make(
      `CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE old (id int PRIMARY KEY); INSERT INTO old VALUES (11)`,
    )
    const client = await c.connect()
    const { rows } = await client.query(
      'SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS since, $1::regclass::oid AS root',
      ['p'],
    )
    const logger = recordingLogger()
    const attached = new AttachedPartitions(logger, rows[0].since)
    await connectors.server.run(
      `CREATE TABLE new PARTITION OF p FOR VALUES FROM (0) TO (10); ALTER TABLE p ATTACH PARTITION old FOR VALUES FROM (10) TO (20)`,
      c.database,
    )
    for (let i = 0; i < 2; i++) await attached.look(client, [rows[0].root])
    expect(logger.lines.map(line => line.message)).toEqual([
      expect.stringMatching(/^old was attached to public\.p: .* --tables public\.p$/),
    ])
    await client.end()
  })
})
