import { describe, expect, it } from 'vitest'
import { Connectors, VERSIONS } from './exactness-harness.ts'

describe.each(VERSIONS)('a table of PostgreSQL %i that is read beside the stream', version => {
  const connectors = new Connectors(version)

  it.each([
    ['skip.messages.without.change', { 'skip.messages.without.change': true }],
    ['skipped.operations', { 'skipped.operations': ['u'] }],
  ])('has every row, also those whose change meanwhile is left out: %s', async (_, settings) => {
    const c = await connectors.make(
      `CREATE TABLE t (id int PRIMARY KEY, v text); ALTER TABLE t REPLICA IDENTITY FULL;
       INSERT INTO t SELECT i, repeat('v', 100) FROM generate_series(1, 4000) i`,
      { ...settings, 'snapshot.mode': 'no_data' },
    )
    await c.open()
    await c.caughtUp()
    const isRead = () => c.logged.some(({ message }) => message === 'snapshot beside the stream is finished')
    const asked = c.signal('t')
    const writing = (async () => {
      while (!isRead()) await c.sql('UPDATE t SET v = v')
    })()
    await c.pollUntil(isRead)
    await Promise.all([asked, writing])
    await c.caughtUp()
    expect(c.rebuilt('t')).toEqual(await c.real('t'))
  })
})
