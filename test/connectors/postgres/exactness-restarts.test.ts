import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { CopyStream } from '../../../connectors/postgres/copy-stream.ts'
import { Connectors, VERSIONS } from './exactness-harness.ts'

describe.each(VERSIONS)('what a connector of PostgreSQL %i knows over a restart', version => {
  const connectors = new Connectors(version)
  const make = connectors.make.bind(connectors)

  const pause = () => new Promise(resolve => setTimeout(resolve, 20))

  it('is which commit came last: events of changes and of messages name it as without the restart', async () => {
    const c = await make('CREATE TABLE t (id int PRIMARY KEY)')
    const message = (text: string) => c.sql(`SELECT pg_logical_emit_message(false, 'app', '${text}')`)
    const sequences = () =>
      c.committed.flatMap(({ source, op }) => (op === 'r' ? [] : [JSON.parse(`${source.sequence}`)[0]]))
    await c.open()
    await c.caughtUp(['t'])
    await c.sql('INSERT INTO t VALUES (1)')
    await c.caughtUp()
    // The place goes on behind the last commit, without another one.
    await message('before')
    await c.sql('CREATE TABLE other (id int PRIMARY KEY)')
    await c.pollUntil(() => c.committed.some(event => event.message === 'before'))
    const known = sequences().at(-1)
    expect(known).toMatch(/^\d+$/)
    await c.restart()
    await message('behind')
    await c.pollUntil(() => c.committed.some(event => event.message === 'behind'))
    expect(sequences().at(-1)).toBe(known)
    await c.sql('INSERT INTO t VALUES (2)')
    await c.caughtUp()
    expect(Number(sequences().at(-1))).toBeGreaterThanOrEqual(Number(known))
  })

  it('is where it began, before it reads the slot: the next start would take a slot that was read for another one', async () => {
    const c = await make('CREATE TABLE t (id int PRIMARY KEY)')
    await c.open()
    await c.sql('INSERT INTO t VALUES (1)')
    // Nothing is committed, as with a long transaction.boundary.interval.ms.
    for (let i = 0; i < 20; i++) await c.poll()
    await c.restart()
    await c.caughtUp(['t'])
    expect(c.rebuilt('t')).toEqual(await c.real('t'))
  })

  it('is that a table had another name while the initial snapshot read it, so that its changes of that time are not lost', async () => {
    const c = await make(
      `CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'old' FROM generate_series(1, 10) i;
       CREATE TABLE b (id int PRIMARY KEY, v text); INSERT INTO b VALUES (1, 'old')`,
      {
        'table.include.list': ['public\\.[ab]'],
        'publication.autocreate.mode': 'all_tables',
        'snapshot.max.threads': 1,
      },
    )
    const begin = CopyStream.begin.bind(CopyStream)
    let goOn = () => {}
    const mayGoOn = new Promise<void>(resolve => {
      goOn = resolve
    })
    const asked: string[] = []
    vi.spyOn(CopyStream, 'begin').mockImplementation(async (client, sql, parts) => {
      asked.push(sql)
      if (/"?b"? WHERE/.test(sql)) await mayGoOn
      return begin(client, sql, parts)
    })
    await c.open()
    await c.poll()
    // Read to its end, which is written down when a row of the next one has come.
    const polled = c.poll()
    while (asked.length < 2) await pause()
    await c.sql('ALTER TABLE a RENAME TO elsewhere')
    while (!c.logged.some(({ message }) => /no longer among the captured/.test(message))) await pause()
    goOn()
    await polled
    await c.caughtUp(['b'])
    await c.sql(`UPDATE elsewhere SET v = 'new'`)
    await c.caughtUp()
    await c.kill()
    await c.sql('ALTER TABLE elsewhere RENAME TO a')
    await c.open()
    await c.caughtUp(['a', 'b'])
    expect(c.rebuilt('a')).toEqual(await c.real('a'))
    expect(c.events('b')).toHaveLength(1)
  })

  it('is that an earlier run told what others do not see yet: it is not taken back by rows that are read', async () => {
    const c = await make(`CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'old')`)
    onTestFinished(async () => {
      await connectors.server.query('ALTER SYSTEM RESET synchronous_standby_names')
      await connectors.server.query('SELECT pg_reload_conf()')
    })
    await c.sql(`ALTER DATABASE ${c.database} SET synchronous_commit = local`)
    await c.open()
    await c.caughtUp(['t'])
    const writer = await c.connect()
    await writer.query('SET synchronous_commit = on')
    await connectors.server.query("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await connectors.server.query('SELECT pg_reload_conf()')
    let isOver = false
    let updates = 0
    // The first ones may come before the setting holds.
    const waiting = (async () => {
      while (!isOver) await writer.query(`UPDATE t SET v = 'new ${++updates}'`)
    })()
    const told = () => c.events('t').filter(event => event.op === 'u').length
    const deadline = Date.now() + 20_000
    for (let same = 0, last = -1; same < 3 && Date.now() < deadline; last = told()) {
      await c.poll()
      c.commit()
      same = told() > 0 && told() === last && (await c.real('t'))[0] !== c.rebuilt('t')[0] ? same + 1 : 0
    }
    expect(c.rebuilt('t')).not.toEqual(await c.real('t'))
    await c.restart()
    await c.poll()
    const asked = c.signal('t')
    for (let i = 0; i < 4; i++) {
      await c.poll()
      c.commit()
    }
    isOver = true
    await connectors.server.query('ALTER SYSTEM RESET synchronous_standby_names')
    await connectors.server.query('SELECT pg_reload_conf()')
    await waiting
    await writer.end()
    await c.pollUntil(() => c.events('t').filter(event => event.op === 'r').length > 1)
    await asked
    await c.caughtUp()
    expect(c.rebuilt('t')).toEqual(await c.real('t'))
    const versions = c.events('t').map(event => Number(/\d+$/.exec(String(event.after?.v))?.[0] ?? 0))
    expect(versions).toEqual(versions.toSorted((a, b) => a - b))
  })
})
