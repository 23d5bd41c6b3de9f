import pg from 'pg'
import { type Random, randomInt } from '../../../base/index.ts'
import { ACCOUNTS, DOCUMENTS, LEDGER, MOVES, SHAPED, WHOLE } from './tables.ts'

/** Deadlock, a lock that others hold for long, and what a restart of the server does to a statement. */
const EXPECTED = /^(40P01|40001|55P03|57P0[123]|08\d{3}|ECONN|EPIPE)/
/** A table whose definition changes is locked out while a snapshot reads it. */
const LOCK_TIMEOUT_MS = 500

/** Types that column `extra` of table `shaped` takes in turn, with a value in each. */
const EXTRA: readonly (readonly [type: string, value: string])[] = [
  ['text', "'extra ' || id"],
  ['bigint', '9007199254740993 + id'],
  ['numeric(20,4)', 'id / 4.0'],
  ['uuid', 'md5(id::text)::uuid'],
]

/** One session that writes transactions, each with a number of its own in the ledger. */
export class Writer {
  readonly #id: number
  readonly #url: string
  readonly #random: Random
  #client: pg.Client | undefined
  #next = 0
  /** Rows of committed transactions. */
  written = 0

  constructor(id: number, url: string, random: Random) {
    this.#id = id
    this.#url = url
    this.#random = random
  }

  /** One transaction, committed or rolled back; one that the server ends is given up. */
  transaction(): Promise<void> {
    return this.#write(this.#statements(), this.#chance(0.1))
  }

  /** One of more changes than a poll tells. */
  large(): Promise<void> {
    return this.#write([`UPDATE accounts SET balance = balance + ${1 + this.#id}`], false)
  }

  async #write(some: readonly string[], rollsBack: boolean): Promise<void> {
    const n = this.#next++
    const statements = [this.#ledger(n), ...some]
    try {
      const client = await this.#connected()
      let rows = 0
      await client.query('BEGIN')
      for (const sql of statements) rows += (await client.query(sql)).rowCount ?? 0
      if (this.#chance(0.2)) rows += await this.#withSavepoint(client)
      await client.query(rollsBack ? 'ROLLBACK' : 'COMMIT')
      if (!rollsBack) this.written += rows
    } catch (error) {
      await this.#gaveUp(error)
    }
  }

  /** The last number of a pause: whoever has read it has read everything. */
  async mark(): Promise<void> {
    for (;;) {
      try {
        const client = await this.#connected()
        await client.query(this.#ledger(this.#next++))
        this.written++
        return
      } catch (error) {
        // A session that a restart has ended; the next one is new.
        await this.#gaveUp(error)
      }
    }
  }

  async close(): Promise<void> {
    await this.#client?.end().catch(() => {})
    this.#client = undefined
  }

  #ledger(n: number): string {
    return `INSERT INTO ${LEDGER} VALUES (${this.#id}, ${n})`
  }

  async #connected(): Promise<pg.Client> {
    if (this.#client !== undefined) return this.#client
    const client = new pg.Client({ connectionString: this.#url, lock_timeout: LOCK_TIMEOUT_MS })
    client.on('error', () => {})
    await client.connect()
    this.#client = client
    return client
  }

  async #gaveUp(error: unknown): Promise<void> {
    const code = String((error as { code?: string }).code ?? '')
    const lost = error instanceof Error && /terminat|closed|not queryable|connection error|ended/i.test(error.message)
    if (!EXPECTED.test(code) && !lost) throw error
    if (/^(40|55)/.test(code)) await this.#client?.query('ROLLBACK').catch(() => {})
    else await this.close()
  }

  /** Something that is taken back, and something behind it that stays. */
  async #withSavepoint(client: pg.Client): Promise<number> {
    await client.query('SAVEPOINT s')
    await client.query(this.#one())
    await client.query('ROLLBACK TO s')
    return (await client.query(this.#one())).rowCount ?? 0
  }

  #statements(): string[] {
    const kind = this.#random.next()
    // A large one, which the server sends before it knows whether it commits.
    if (kind < 0.01) return [`UPDATE accounts SET balance = balance + ${this.#id} WHERE id % 7 = ${this.#below(7)}`]
    if (kind < 0.03) return [`DELETE FROM keyless WHERE n % 5 = ${this.#below(5)}`]
    if (kind < 0.04) return ['TRUNCATE emptied']
    if (kind < 0.06) return this.#newShape()
    return Array.from({ length: 1 + this.#below(12) }, () => this.#one())
  }

  /** DDL, and behind it every row as it is then: what a definition gives to rows that are there, no event tells. */
  #newShape(): string[] {
    if (this.#chance(0.3)) return [`ALTER TABLE shaped ALTER v TYPE ${this.#chance(0.5) ? 'int' : 'bigint'}`]
    const [type, value] = EXTRA[this.#below(EXTRA.length)]!
    return [
      'UPDATE shaped SET v = v + 1',
      `ALTER TABLE shaped DROP COLUMN extra, ADD COLUMN extra ${type}`,
      `UPDATE shaped SET extra = ${value}`,
    ]
  }

  #one(): string {
    const text = `'${this.#random.bytes(6).toString('hex')}'`
    const body = `repeat(${text}, ${1 + this.#below(800)})`
    const choices = [
      () => `UPDATE accounts SET balance = balance + 0.5, note = ${text} WHERE id = ${this.#upTo(ACCOUNTS)}`,
      () => `DELETE FROM accounts WHERE id = ${this.#upTo(ACCOUNTS)}`,
      () => `INSERT INTO accounts VALUES (${this.#upTo(ACCOUNTS)}, 1, NULL) ON CONFLICT (id) DO NOTHING`,
      () => `UPDATE documents SET version = version + 1 WHERE id = ${this.#upTo(DOCUMENTS)}`,
      () => `UPDATE documents SET body = ${body} WHERE id = ${this.#upTo(DOCUMENTS)}`,
      () => `DELETE FROM documents WHERE id = ${this.#upTo(DOCUMENTS)}`,
      () => `INSERT INTO documents VALUES (${this.#upTo(DOCUMENTS)}, 0, ${body}) ON CONFLICT (id) DO NOTHING`,
      // A new key, for a while or for good.
      () => `UPDATE moves SET b = ${text}, v = v + 1 WHERE a = ${this.#upTo(MOVES)}`,
      () => `UPDATE whole SET v = v + 1 WHERE id = ${this.#upTo(WHOLE)}`,
      () => `UPDATE whole SET id = id + ${10 * WHOLE} WHERE id = ${this.#upTo(WHOLE)}`,
      () => `INSERT INTO keyless SELECT ${this.#below(50)}, ${text} FROM generate_series(1, ${1 + this.#below(3)})`,
      () => `UPDATE keyless SET v = ${text} WHERE ctid = (SELECT ctid FROM keyless LIMIT 1)`,
      () => `INSERT INTO blind VALUES (${this.#below(50)}, ${text})`,
      // Rows of one page, of one LSN.
      () => `COPY blind (n) FROM PROGRAM 'seq ${1 + this.#below(20)}'`,
      () => `UPDATE shaped SET v = v + 1 WHERE id = ${this.#upTo(SHAPED)}`,
      () => `INSERT INTO emptied VALUES (${this.#below(200)}, ${text}) ON CONFLICT (id) DO UPDATE SET v = ${text}`,
    ]
    return choices[this.#below(choices.length)]!()
  }

  #chance(share: number): boolean {
    return this.#random.next() < share
  }

  #below(n: number): number {
    return randomInt(this.#random, n)
  }

  #upTo(n: number): number {
    return 1 + randomInt(this.#random, n)
  }
}
