import { existsSync, readdirSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { parseLsn } from '../../../connectors/postgres/lsn.ts'
import type { PostgresVersion } from '../../support/postgres-binaries.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { Recorder, readTo, Source, shown } from './stream-tools.ts'

const sources: Source[] = []
afterEach(async () => {
  for (const source of sources.splice(0)) await source.close()
})

const SCHEMA = `
  CREATE TABLE t (id int PRIMARY KEY, a text, big text);
  ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
  CREATE TABLE f (id int, b text); ALTER TABLE f REPLICA IDENTITY FULL`

async function make(version: PostgresVersion, schema = SCHEMA, twoPhase = false): Promise<Source> {
  const source = await Source.make(await sharedPostgres(version), schema, twoPhase)
  sources.push(source)
  return source
}

/** Interleaved transactions that are streamed with little memory: savepoints rolled back, a whole rollback, DDL inside. */
async function interleaved(source: Source): Promise<void> {
  const pgModule = (await import('pg')).default
  const client = async () => {
    const made = new pgModule.Client(source.server.url(source.database))
    await made.connect()
    return made
  }
  const [a, b, c] = [await client(), await client(), await client()]
  const rows = (from: number) =>
    `INSERT INTO t SELECT g, 'row ' || g, repeat('y', 30) FROM generate_series(${from}, ${from + 1499}) g`
  try {
    await a.query(`BEGIN; ${rows(10_000)}; SAVEPOINT one; ${rows(20_000)}`)
    await b.query(`BEGIN; ${rows(30_000)}`)
    await source.sql(`INSERT INTO t VALUES (1, 'between', NULL)`)
    await a.query(`ROLLBACK TO one; UPDATE t SET a = 'changed' WHERE id BETWEEN 10100 AND 10120`)
    await a.query(`SAVEPOINT ddl; ALTER TABLE f ADD COLUMN lost int; INSERT INTO f VALUES (1, 'x', 2)`)
    await a.query(
      `INSERT INTO f SELECT g, 'lost', g FROM generate_series(1, 2000) g; ROLLBACK TO ddl; INSERT INTO f VALUES (2, 'kept')`,
    )
    await c.query(`BEGIN; ${rows(40_000)}; ${rows(50_000)}`)
    await source.sql(`SELECT pg_logical_emit_message(false, 'alone', 'now')`)
    await c.query('ROLLBACK')
    await b.query(`DELETE FROM t WHERE id = 30005; SELECT pg_logical_emit_message(true, 'kts', 'in it')`)
    await b.query('COMMIT')
    await a.query(
      `SAVEPOINT deep; SAVEPOINT deeper; ${rows(60_000)}; RELEASE deeper; ROLLBACK TO deep; ${rows(70_000)}`,
    )
    await a.query('COMMIT')
    await source.sql('ALTER TABLE f ADD COLUMN later int')
    await source.sql(`INSERT INTO f VALUES (3, 'three', 33); TRUNCATE f`)
  } finally {
    for (const each of [a, b, c]) await each.end()
  }
}

describe.each([14, 15, 17] as const)('the stream of PostgreSQL %i', version => {
  it('tells every kind of change, in commit order, with keys, old rows and unchanged large values', async () => {
    const source = await make(version)
    await source.sql(`INSERT INTO t VALUES (1, 'ä', repeat('x', 9000)), (2, NULL, '')`)
    await source.sql(`UPDATE t SET a = 'b' WHERE id = 1`)
    await source.sql(`UPDATE t SET id = 3 WHERE id = 2`)
    await source.sql(`DELETE FROM t WHERE id = 3`)
    await source.sql(`INSERT INTO f VALUES (1, 'one'); UPDATE f SET b = 'two'; DELETE FROM f`)
    await source.sql(`BEGIN; SELECT pg_logical_emit_message(true, 'p', 'in'); COMMIT`)
    await source.sql(`SELECT pg_logical_emit_message(false, 'p', 'alone')`)
    await source.sql(`TRUNCATE t, f RESTART IDENTITY CASCADE`)
    const recorder = new Recorder()
    await readTo(await source.open(), recorder, await source.now())
    expect(recorder.lines).toEqual([
      'begin',
      'insert t/idabig 1|ä|9000 bytes',
      'insert t/idabig 2|-|',
      'commit',
      'begin',
      'update t/idabig 1|b|?',
      'commit',
      'begin',
      'update t/idabig key 2|-|- 3|-|',
      'commit',
      'begin',
      'delete t/idabig key 3|-|-',
      'commit',
      'begin',
      'insert f/idb 1|one',
      'update f/idb full 1|one 1|two',
      'delete f/idb full 1|two',
      'commit',
      'begin',
      'message in p in',
      'commit',
      'message alone p alone',
      'begin',
      'truncate f/idb t/idabig cascade restart',
      'commit',
    ])
    expect(recorder.ends).toEqual([...recorder.ends].sort((x, y) => x - y))
  })

  it('tells the same whether transactions are streamed or not, however full the handler is; no scratch file stays', async () => {
    const source = await make(version)
    await source.slot(`${source.database}_s`)
    await source.slot(`${source.database}_b`)
    await interleaved(source)
    const end = await source.now()
    const [whole, streamed, binary] = [new Recorder(), new Recorder(), new Recorder()]
    await readTo(await source.open(), whole, end)
    streamed.room = 3
    const small = { workMem: '64kB' }
    await readTo(await source.open({ ...small, slot: `${source.database}_s` }), streamed, end)
    expect(readdirSync(source.scratch)).toEqual([])
    await readTo(await source.open({ ...small, slot: `${source.database}_b`, binary: true }), binary, end)
    // 1 + (1,500 + 21 + 1 + 1,500) + (1,500 + 2) + 2 rows and messages, one alone, and the brackets of five transactions.
    expect(whole.lines.filter(line => line.startsWith('insert t/idabig')).length).toBe(1 + 4500)
    expect(whole.lines).not.toContainEqual(expect.stringContaining('lost'))
    // Only when a message outside of transactions is decoded depends on the memory; its place among commits does not.
    expect(streamed.lines).toEqual(whole.lines)
    expect(binary.lines.map(line => line.split(' ')[0])).toEqual(whole.lines.map(line => line.split(' ')[0]))
    expect(binary.lines[1]).toMatch(/^insert t\/idabig x0000/)
  })

  it('confirms what it is told to, and no more than it was told', async () => {
    const source = await make(version)
    await source.sql(`INSERT INTO t VALUES (1, 'a', 'b')`)
    const recorder = new Recorder()
    const stream = await source.open()
    await readTo(stream, recorder, await source.now())
    expect(await source.confirmed()).not.toBe(shown(recorder.ends[0]!))
    stream.confirm(recorder.ends[0]!)
    await stream.close()
    expect(await source.confirmed()).toBe(shown(recorder.ends[0]!))
    // What was confirmed does not come again, and the position moves with a database that does nothing for us.
    await source.sql('CREATE TEMP TABLE x (a int)')
    const again = new Recorder()
    const next = await source.open()
    await readTo(next, again, await source.now())
    expect(again.lines).toEqual([])
  })

  it('lets go of WAL without changes for us long before the status interval, while more is written', async () => {
    const source = await make(version)
    await source.sql('CREATE PUBLICATION nothing')
    const stream = await source.open({
      publications: ['nothing'],
      statusIntervalMs: 600_000,
      settings: '-c wal_sender_timeout=600s',
    })
    const begin = await source.now()
    const confirmed = async () => parseLsn(await source.confirmed())
    for (let i = 0; (await confirmed()) < begin + (32 << 20); i++) {
      expect(i).toBeLessThan(1000)
      await source.sql(`INSERT INTO f SELECT g, repeat('z', 1000) FROM generate_series(1, 1000) g`)
      await stream.read(new Recorder(), 10, AbortSignal.timeout(30_000))
      stream.confirm(stream.toldUpTo)
    }
  }, 60_000)

  it('keeps the connection through a pause that is longer than the wal_sender_timeout', async () => {
    const source = await make(version)
    await source.sql(`INSERT INTO t SELECT g, 'x', repeat('z', 100) FROM generate_series(1, 100000) g`)
    const recorder = new Recorder()
    recorder.room = 10
    const stream = await source.open()
    while (!recorder.full) await stream.read(recorder, 1000, AbortSignal.timeout(30_000))
    await new Promise(resolve => setTimeout(resolve, 5000))
    recorder.room = Number.POSITIVE_INFINITY
    await readTo(stream, recorder, await source.now())
    expect(recorder.lines.length).toBe(100_002)
  }, 60_000)
})

describe.each([15, 17] as const)('two-phase on PostgreSQL %i', version => {
  it('tells a prepared transaction at its commit, and holds the slot until then, through a restart', async () => {
    const source = await make(version, SCHEMA, true)
    await source.sql(`BEGIN; INSERT INTO t VALUES (1, 'prepared', ''); PREPARE TRANSACTION '${source.database}_a'`)
    await source.sql(`BEGIN; INSERT INTO t VALUES (2, 'gone', ''); PREPARE TRANSACTION '${source.database}_b'`)
    await source.sql(
      `BEGIN; INSERT INTO t SELECT g, 'large', '' FROM generate_series(100, 2099) g; PREPARE TRANSACTION '${source.database}_c'`,
    )
    await source.sql(`INSERT INTO t VALUES (3, 'plain', '')`)
    const prepared = await source.now()
    const options = { twoPhase: true, workMem: '64kB' }
    const first = new Recorder()
    const stream = await source.open(options)
    while (first.ends.length === 0) await stream.read(first, 500, AbortSignal.timeout(10_000))
    expect(first.lines).toEqual(['begin', 'insert t/idabig 3|plain|', 'commit'])
    expect(stream.toldUpTo).toBeLessThan(first.ends[0]!)
    stream.confirm(first.ends[0]!)
    await stream.close()
    expect(await source.confirmed()).not.toBe(shown(first.ends[0]!))

    const second = new Recorder()
    const again = await source.open({ ...options, startLsn: first.ends[0]! })
    again.confirm(first.ends[0]!)
    await again.read(second, 1000, AbortSignal.timeout(10_000))
    await source.sql(`COMMIT PREPARED '${source.database}_a'`)
    await source.sql(`ROLLBACK PREPARED '${source.database}_b'`)
    await source.sql(`COMMIT PREPARED '${source.database}_c'`)
    await readTo(again, second, await source.now())
    expect(second.lines.slice(0, 4)).toEqual(['begin', 'insert t/idabig 1|prepared|', 'commit', 'begin'])
    expect(second.lines.length).toBe(3 + 2002)
    expect(again.toldUpTo).toBeGreaterThan(prepared)
    expect(readdirSync(source.scratch)).toEqual([])
    await again.close()
    expect(existsSync(source.scratch)).toBe(true)
  }, 30_000)
})
