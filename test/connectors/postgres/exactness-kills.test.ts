import type pg from 'pg'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { EventBatch } from '../../../connectors/postgres/events/index.ts'
import { type Random, randomInt, SeededRandom } from '../../../runtime/api/index.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { Connector } from './exactness-harness.ts'

/** More of them with EXACTNESS_KILLS=500. */
const KILLS = Number(process.env.EXACTNESS_KILLS ?? 25)

const SCHEMA = `
CREATE TABLE ledger (id int PRIMARY KEY, writer int);
CREATE TABLE a (id int PRIMARY KEY, v int, big text); ALTER TABLE a ALTER big SET STORAGE EXTERNAL;
CREATE TABLE b (id int PRIMARY KEY, v int); CREATE TABLE c (id int PRIMARY KEY, v int);
CREATE TABLE k (id int, v int); ALTER TABLE k REPLICA IDENTITY FULL;
INSERT INTO a SELECT i, 0, repeat('x', 3000) FROM generate_series(1, 200) i;
INSERT INTO b SELECT i, 0 FROM generate_series(1, 300) i;
INSERT INTO c SELECT i, 0 FROM generate_series(1, 300) i;
INSERT INTO k SELECT i, 0 FROM generate_series(1, 50) i`

/** Transactions of every kind; each writes its numbers into the ledger, or, of a message alone, into `messages`. */
class Writers {
  readonly #random: Random
  readonly #clients: readonly pg.Client[]
  readonly #busy = new Map<pg.Client, Promise<void>>()
  #next = 0
  readonly messages: string[] = []

  constructor(random: Random, clients: readonly pg.Client[]) {
    this.#random = random
    this.#clients = clients
  }

  /** Begins a transaction on each session that is at rest. */
  write(): void {
    for (const [writer, client] of this.#clients.entries()) {
      if (this.#busy.has(client)) continue
      this.#busy.set(
        client,
        this.#write(client, writer).finally(() => this.#busy.delete(client)),
      )
    }
  }

  async rest(): Promise<void> {
    await Promise.all(this.#busy.values())
  }

  async #write(client: pg.Client, writer: number): Promise<void> {
    const ledger = () => `INSERT INTO ledger VALUES (${++this.#next}, ${writer});`
    // One at a time may lock rows of the others.
    const steps = Array.from({ length: 1 + randomInt(this.#random, 4) }, () => this.#step())
    const body = steps.map(step => `${ledger()} ${step};`).join(' ')
    try {
      await client.query(`BEGIN; ${body} ${ledger()} COMMIT`)
    } catch {
      await client.query('ROLLBACK')
    }
    if (randomInt(this.#random, 5) === 0) {
      const text = `${writer}-${++this.#next}`
      await client.query(`SELECT pg_logical_emit_message(false, 'app', '${text}')`)
      this.messages.push(text)
    }
  }

  #step(): string {
    const id = 1 + randomInt(this.#random, 300)
    const base = 10_000 + (id % 3) * 2000
    const steps = [
      `UPDATE a SET v = v + 1 WHERE id = ${id}`,
      `UPDATE a SET big = repeat('y', 2500 + ${id}) WHERE id = ${id}`,
      `UPDATE b SET v = v + 1 WHERE id BETWEEN ${id} AND ${id + 10}`,
      `DELETE FROM b WHERE id = ${id}`,
      `INSERT INTO b VALUES (${id}, -1) ON CONFLICT DO NOTHING`,
      `UPDATE c SET id = ${1000 + id} WHERE id = ${id}`,
      `UPDATE k SET v = v + 1 WHERE id = ${1 + (id % 50)}`,
      `SAVEPOINT s; UPDATE b SET v = v - 1 WHERE id < 20; ROLLBACK TO s`,
      `SELECT pg_logical_emit_message(true, 'app', '')`,
      `DELETE FROM c WHERE id BETWEEN ${base} AND ${base + 1999}; INSERT INTO c SELECT ${base} + i, 0 FROM generate_series(1, ${randomInt(this.#random, 8) === 0 ? 1500 : 5}) i ON CONFLICT DO NOTHING`,
      randomInt(this.#random, 10) === 0 ? 'TRUNCATE b, k' : 'SELECT 1',
    ]
    return steps[randomInt(this.#random, steps.length)]!
  }
}

describe.each([15, 17] as const)('a connector of PostgreSQL %i', version => {
  let connector: Connector
  afterEach(async () => {
    vi.restoreAllMocks()
    await connector.close()
  })

  it('that is killed at any point tells every change once, in the order of commits, and every table comes back', {
    timeout: 600_000,
  }, async () => {
    // Batches of a few events end in the midst of everything.
    for (const name of ['full', 'halfFull'] as const) {
      vi.spyOn(EventBatch.prototype, name, 'get').mockImplementation(function (this: EventBatch) {
        return this.count >= most
      })
    }
    let most = 20
    const random = new SeededRandom(version + KILLS)
    const server = await sharedPostgres(version)
    connector = await Connector.make(server, SCHEMA, {
      'snapshot.fetch.size': 40,
      'incremental.snapshot.chunk.size': 40,
      'snapshot.max.threads': 2,
      'publication.autocreate.mode': 'filtered',
    })
    // Larger transactions are sent while they run.
    await connector.sql(`ALTER DATABASE ${connector.database} SET logical_decoding_work_mem = '64kB'`)
    const clients = await Promise.all([1, 2, 3].map(() => connector.connect()))
    const writers = new Writers(random, clients)
    await connector.open()
    // Killed before its first checkpoint it begins anew: messages of before come to nobody, rows come as they are then.
    let before: number | undefined
    for (let kills = 0; kills < KILLS; kills++) {
      const polls = randomInt(random, 40)
      for (let i = 0; i < polls; i++) {
        most = 1 + randomInt(random, 200)
        writers.write()
        await connector.poll()
        if (randomInt(random, 3) > 0) connector.commit()
        if (connector.checkpoints.size > 0) before ??= writers.messages.length
      }
      await connector.restart()
      if (kills % 6 === 5) void connector.signal(['a', 'b', 'k'][randomInt(random, 3)]!)
    }
    most = 10_000
    await writers.rest()
    await connector.caughtUp(['ledger', 'a', 'b', 'c', 'k'], 120_000)
    for (const client of clients) await client.end()
    const { committed } = connector
    const ledger = committed.filter(e => e.table === 'ledger')
    const created = ledger.filter(e => e.op === 'c').map(e => Number(e.after!.id))
    const all = await connector.real('ledger')
    expect(new Set(created).size).toBe(created.length)
    expect(connector.rebuilt('ledger')).toEqual(all)
    const lsns = ledger.filter(e => e.op === 'c').map(e => `${e.source.sequence}`)
    const commits = lsns.map(text => Number((JSON.parse(text) as string[])[0] ?? 0))
    expect(commits).toEqual([...commits].sort((x, y) => x - y))
    const told = committed.filter(e => e.op === 'm' && e.message !== '').map(e => e.message)
    expect(new Set(told).size).toBe(told.length)
    expect(writers.messages.slice(before).filter(text => !told.includes(text))).toEqual([])
    for (const table of ['b', 'c']) expect(connector.rebuilt(table)).toEqual(await connector.real(table))
    // A large value that did not change is not told.
    const withoutBig = (rows: readonly string[]) => rows.map(row => row.replace(/,"big":.*/, '')).sort()
    expect(withoutBig(connector.rebuilt('a'))).toEqual(withoutBig(await connector.real('a')))
    expect(connector.rebuilt('k')).toEqual(await connector.real('k'))
  })
})
