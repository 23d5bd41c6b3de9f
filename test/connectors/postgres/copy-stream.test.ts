import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Clock, randomInt, SeededRandom, systemClock } from '../../../base/index.ts'
import { closeClient } from '../../../connectors/postgres/connection.ts'
import { CopyStream } from '../../../connectors/postgres/copy-stream.ts'
import { type PostgresServer, startPostgres } from '../../support/postgres.ts'
import { connectionsTo } from './server-harness.ts'

/** Mostly short rows, of which many come in one read, some of 5 kB, and a few that no lump holds. */
const WIDTH = `CASE WHEN i % 2003 = 0 THEN 300000 WHEN i % 97 = 0 THEN 5000 ELSE i % 120 END`
const ROWS = 8_000
const expected = Array.from({ length: ROWS }, (_, i) => {
  const n = i + 1
  return `${n}\t${'x'.repeat(n % 2003 === 0 ? 300_000 : n % 97 === 0 ? 5_000 : n % 120)}\n`
})

let server: PostgresServer

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'kts-copy-'))
  const key = join(folder, 'server.key')
  const certificate = join(folder, 'server.crt')
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost', '-days', '2']
  execFileSync('openssl', [...request, '-keyout', key, '-out', certificate], { stdio: 'pipe' })
  const files = { 'server.crt': readFileSync(certificate, 'utf8'), 'server.key': readFileSync(key, 'utf8') }
  rmSync(folder, { recursive: true })
  server = await startPostgres({ settings: { ssl: 'on' }, files })
}, 60_000)

afterAll(async () => server?.close())

describe.each([
  ['TCP', () => ({ 'database.sslmode': 'disable' }) as const],
  ['TLS', () => ({ 'database.sslmode': 'require' }) as const],
  ['a unix socket', () => ({ 'database.hostname': server.socketDir })],
])('rows copied over %s', (_, given) => {
  const connect = () => connectionsTo(server, 'postgres', given()).regular()
  const copy = (client: pg.Client, rows: number) => {
    const sql = `COPY (SELECT i, repeat('x', ${WIDTH}) FROM generate_series(1, ${rows}) i) TO STDOUT`
    return CopyStream.begin(client, sql, { clock: systemClock, both: false })
  }

  it.each([
    ['as they are asked for', 0],
    ['taken ahead now and then', 3],
    ['taken ahead all the time', 1],
  ])('are all there in order, %s', async (_, fillsOneIn) => {
    const random = new SeededRandom(11)
    const client = await connect()
    for (const rows of [ROWS, 0, 300]) {
      const stream = await copy(client, rows)
      const got: string[] = []
      for (;;) {
        if (fillsOneIn > 0 && randomInt(random, fillsOneIn) === 0) {
          stream.fill()
          for (let turn = randomInt(random, 5); turn > 0; turn--) await new Promise(resolve => setImmediate(resolve))
        }
        const lump = await stream.next(1000)
        if (lump === undefined) break
        for (let i = 0; i < lump.count; i++) got.push(lump.bytes.toString('latin1', lump.starts[i], lump.ends[i]))
      }
      expect(got.length).toBe(rows)
      expect(got.every((row, i) => row === expected[i])).toBe(true)
      // The connection is as it was.
      expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
    }
    await closeClient(client, systemClock)
  })

  it('come in lumps between which other work has its turn, also those that are here already', async () => {
    const client = await connect()
    const stream = await copy(client, ROWS)
    stream.fill()
    let turns = 0
    let lumps = 0
    let most = 0
    let done = false
    const turn = () => {
      turns++
      if (!done) setImmediate(turn)
    }
    setImmediate(turn)
    for (;;) {
      const lump = await stream.next(1000)
      if (lump === undefined) break
      if (lump.count === 0) continue
      lumps++
      const last = lump.count - 1
      if (last > 0) most = Math.max(most, lump.ends[last - 1]! - lump.starts[0]!)
    }
    done = true
    expect(turns).toBeGreaterThanOrEqual(lumps - 1)
    expect(most).toBeLessThanOrEqual(128 << 10)
    await closeClient(client, systemClock)
  })
})

/** The system's clock, with the timers that were set and neither rang nor were cancelled. */
function watchedClock() {
  const timers = new Set<number>()
  let number = 0
  const clock: Clock = {
    ...systemClock,
    timer(ms, wake) {
      const id = ++number
      timers.add(id)
      const timer = systemClock.timer(ms, () => {
        timers.delete(id)
        wake()
      })
      return {
        cancel: () => {
          timers.delete(id)
          timer.cancel()
        },
      }
    },
  }
  return { clock, timers }
}

it.each([
  ['ends', "SELECT repeat('x', 20000), pg_sleep(0.02) FROM generate_series(1, 5)", false],
  ['fails', 'SELECT 1 / (i - 4), pg_sleep(0.02) FROM generate_series(1, 5) i', false],
  ['is given up', "SELECT repeat('x', 20000), pg_sleep(0.02) FROM generate_series(1, 50)", true],
])('a COPY that %s leaves no timer behind, which would keep the process', async (_, sql, givesUp) => {
  const client = await connectionsTo(server, 'postgres', {}).regular()
  const { clock, timers } = watchedClock()
  const stream = await CopyStream.begin(client, `COPY (${sql}) TO STDOUT`, { clock, both: false })
  try {
    while ((await stream.next(1000)) !== undefined && !givesUp);
  } catch (error) {
    expect(String(error)).toContain('division by zero')
  }
  await stream.close()
  expect([...timers]).toEqual([])
  await closeClient(client, systemClock)
})
