import { describe, expect, it } from 'vitest'
import { Connectors, VERSIONS } from './exactness-harness.ts'

const SCHEMA = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'before')"

describe.each(VERSIONS)('where the log has come to its disk reserve, PostgreSQL %i', version => {
  const connectors = new Connectors(version)
  const streaming = async (settings: Record<string, unknown>) => {
    const c = await connectors.make(SCHEMA, settings)
    await c.open()
    await c.caughtUp(['t'])
    return c
  }
  const slots = async (c: Awaited<ReturnType<typeof streaming>>) =>
    (await c.sql(`SELECT FROM pg_replication_slots WHERE slot_name = '${c.slot}'`)).rows.length

  it('the slot is kept, and said to hold WAL, unless something else is asked for', async () => {
    const c = await streaming({})
    c.waitForDisk()
    expect(c.warnings(/holds the database's WAL until there is room again/)).toHaveLength(1)
    await c.sql("INSERT INTO t VALUES (2, 'meanwhile')")
    await c.caughtUp()
    expect(c.rebuilt('t')).toEqual(await c.real('t'))
    expect(await slots(c)).toBe(1)
  })

  it('log.disk.full.policy: release drops the slot, and nothing goes on in silence: when_needed reads anew', async () => {
    const c = await streaming({ 'log.disk.full.policy': 'release' })
    c.waitForDisk()
    await expect(c.pollUntil(() => false)).rejects.toMatchObject({ code: 'RETRIABLE' })
    expect(await slots(c)).toBe(0)
    await c.sql("INSERT INTO t VALUES (2, 'meanwhile')")
    await expect(c.restart()).rejects.toMatchObject({ code: 'POSITION_LOST' })

    c.settings = { ...c.settings, 'snapshot.mode': 'when_needed' }
    await c.open()
    await c.caughtUp(['t'])
    expect(c.rebuilt('t')).toEqual(await c.real('t'))
    expect(await slots(c)).toBe(1)
  })
})
