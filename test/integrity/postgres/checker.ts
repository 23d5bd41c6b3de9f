import { join } from 'node:path'
import { type JsonObject, type JsonValue, parseJson } from '../../../base/index.ts'
import { lsnOf } from '../../support/postgres-lsn.ts'
import type { PostgresServer } from '../../support/postgres.ts'
import type { PlainRecord } from '../log/plain-log.ts'
import type { Findings } from '../suite.ts'
import { RebuiltTable } from './rebuilt-table.ts'
import { LEDGER, LOAD_TABLES, type LoadTable, SIGNALS } from './tables.ts'
import { TopicReader } from './topic-reader.ts'

const EXAMPLES_MAX = 20

interface SeenTransaction {
  /** Changes by their number in it. */
  readonly orders: Set<number>
  /** Which the transaction topic gives, once its end has come. */
  count: number | undefined
}

/**
 * Reads the topics as a stranger would and holds them against the database: tables rebuilt from events, each change of each
 * transaction once, commits in their order.
 */
export class TopicsChecker {
  readonly #server: PostgresServer
  readonly #database: string
  readonly #readers: ReadonlyMap<string, TopicReader>
  readonly #tables: ReadonlyMap<string, { readonly table: LoadTable; readonly rebuilt: RebuiltTable }>
  readonly #transactions = new Map<string, SeenTransaction>()
  /** By topic: where the last streamed change stood. */
  readonly #last = new Map<string, { commit: bigint; lsn: bigint }>()
  readonly #ledger = new Set<string>()
  /** Those of the ledger that came as a change, which they may do once. */
  readonly #created = new Set<string>()
  readonly #highest = new Map<number, number>()
  readonly #counts = { records: 0, altered: 0, reordered: 0, duplicates: 0 }
  readonly #examples: string[] = []
  /** Of the worker that began last: rows that it read, transactions of which it told changes, and where each topic ended before it. */
  #worker = { rows: 0, transactions: new Set<string>(), from: new Map<string, number>() }

  constructor(
    server: PostgresServer,
    database: string,
    data: string,
    prefix: string,
    tables: readonly LoadTable[] = LOAD_TABLES,
  ) {
    this.#server = server
    this.#database = database
    this.#tables = new Map(tables.map(table => [table.name, { table, rebuilt: new RebuiltTable(table) }]))
    // The ledger first: what it shows has come in the others by the time they are read.
    const names = [LEDGER, ...tables.map(({ name }) => name).filter(name => name !== LEDGER)].map(
      name => `public.${name}`,
    )
    names.push(`public.${SIGNALS}`, 'transaction')
    this.#readers = new Map(names.map(name => [name, new TopicReader(join(data, `${prefix}.${name}-0`))]))
  }

  async check(): Promise<Findings> {
    this.#read()
    const missing = await this.#missingInLedger()
    const findings = { ...this.#counts, lost: missing.length, half: 0, examples: [...this.#examples, ...missing] }
    // While something is still to come the tables are of different times.
    if (missing.length > 0) return { ...findings, examples: findings.examples.slice(0, EXAMPLES_MAX) }
    const half = this.#incomplete()
    const differences = await this.#differences()
    const examples = [...findings.examples, ...half, ...differences].slice(0, EXAMPLES_MAX)
    return { ...findings, altered: findings.altered + differences.length, half: half.length, examples }
  }

  /** A worker is about to begin: `worker` tells of this one. */
  begin(): void {
    this.#read()
    const from = new Map([...this.#readers].map(([topic, reader]) => [topic, reader.next]))
    this.#worker = { rows: 0, transactions: new Set(), from }
  }

  /**
   * What the topics have of the worker that is dead now: rows that its snapshots read, transactions of the database of which
   * it told a part, and records that it had not committed, which count as told.
   */
  worker(): { readonly rows: number; readonly cut: number; readonly open: number } {
    this.#read()
    const { transactions, from } = this.#worker
    let { rows } = this.#worker
    let open = 0
    const [touched, ended] = [new Set(transactions), new Set<string>()]
    for (const [topic, reader] of this.#readers) {
      for (const { offset, value } of reader.undecided) {
        if (offset < (from.get(topic) ?? 0) || value === null) continue
        open++
        const event = parseJson(value.toString()) as JsonObject
        if (topic === 'transaction') {
          if (event.status === 'END') ended.add(String(event.id))
        } else if (event.op === 'r') rows++
        else touched.add(String((event.transaction as JsonObject | null)?.id))
      }
    }
    const cut = [...touched].filter(id => !ended.has(id) && this.#transactions.get(id)?.count === undefined).length
    return { rows, cut, open }
  }

  #read(): void {
    for (const [topic, reader] of this.#readers) for (const record of reader.read()) this.#take(topic, record)
  }

  #take(topic: string, record: PlainRecord): void {
    if (record.value === null) return
    const value = parseJson(record.value.toString()) as JsonObject
    if (topic === 'transaction') {
      if (value.status === 'END') this.#transaction(String(value.id)).count = Number(value.event_count)
      return
    }
    const { op, source, before, after } = value
    const place = `${topic} at offset ${record.offset}`
    if (op === 'r') this.#worker.rows++
    else this.#takeStreamed(topic, place, value.transaction, source as JsonObject)
    const name = topic.slice('public.'.length)
    this.#tables.get(name)?.rebuilt.take(String(op), before, after, (source as JsonObject).snapshot)
    if (name !== LEDGER) return
    const { writer, n } = after as JsonObject
    if (op === 'c') this.#takeLedger(place, Number(writer), Number(n))
    // What was there before, in whatever order.
    else this.#ledger.add(`${writer}/${n}`)
  }

  #takeStreamed(topic: string, place: string, transaction: JsonValue | undefined, source: JsonObject): void {
    this.#counts.records++
    const { id, total_order: order } = (transaction ?? {}) as JsonObject
    const { orders } = this.#transaction(String(id))
    if (orders.has(Number(order))) this.#note('duplicates', `${place}: change ${order} of transaction ${id}`)
    orders.add(Number(order))
    this.#worker.transactions.add(String(id))
    const [commitText] = JSON.parse(String(source.sequence)) as (string | null)[]
    const lsn = BigInt(String(source.lsn))
    const last = this.#last.get(topic)
    // The first commit of a slot has none before it: it is held against the change that came last.
    const commit = BigInt(commitText ?? last?.commit ?? 0)
    if (last !== undefined && (commit < last.commit || (commit === last.commit && lsn < last.lsn)))
      this.#note('reordered', `${place}: ${commit}/${lsn} behind ${last.commit}/${last.lsn}`)
    this.#last.set(topic, { commit, lsn })
  }

  #takeLedger(place: string, writer: number, n: number): void {
    const name = `${writer}/${n}`
    if (this.#created.has(name)) this.#note('duplicates', `${place}: transaction ${name}`)
    this.#created.add(name)
    this.#ledger.add(name)
    const highest = this.#highest.get(writer) ?? -1
    if (n < highest) this.#note('reordered', `${place}: transaction ${name} behind ${highest}`)
    this.#highest.set(writer, Math.max(highest, n))
  }

  #transaction(id: string): SeenTransaction {
    const seen = this.#transactions.get(id) ?? { orders: new Set(), count: undefined }
    this.#transactions.set(id, seen)
    return seen
  }

  async #missingInLedger(): Promise<string[]> {
    const { rows } = await this.#server.query(`SELECT writer || '/' || n AS name FROM ${LEDGER}`, this.#database)
    const names = rows.map(({ name }) => String(name))
    return names.filter(name => !this.#ledger.has(name)).map(name => `transaction ${name} has not come`)
  }

  /** Transactions of which another number of changes came than their end says. */
  #incomplete(): string[] {
    return [...this.#transactions]
      .filter(([, { count, orders }]) => count !== orders.size)
      .map(([id, { count, orders }]) => `transaction ${id} has ${count} changes, and ${orders.size} came`)
  }

  async #differences(): Promise<string[]> {
    const lines: string[] = []
    for (const { table, rebuilt } of this.#tables.values()) {
      const { name, columns, texts } = table
      const list = columns.map(column => `${texts?.[column] ?? `${column}::text`} AS ${column}`)
      const { rows } = await this.#server.query(`SELECT ${list.join()} FROM ${name}`, this.#database)
      const differences = rebuilt.differences(rows.map(row => columns.map(column => row[column] as string | null)))
      // Perhaps a million: more than arguments of one call.
      for (const line of [...differences, ...rebuilt.oddities]) lines.push(line)
    }
    return lines
  }

  #note(what: 'altered' | 'reordered' | 'duplicates', example: string): void {
    this.#counts[what]++
    if (this.#examples.length < EXAMPLES_MAX) this.#examples.push(`${what}: ${example}`)
  }
}

/** How far the slot is confirmed, in bytes of WAL behind what the server has written. */
export async function slotLag(server: PostgresServer, slot: string): Promise<number> {
  const { rows } = await server.query(
    `SELECT pg_current_wal_flush_lsn() AS now, confirmed_flush_lsn AS confirmed FROM pg_replication_slots WHERE slot_name = '${slot}'`,
  )
  if (rows[0]?.confirmed == null) return Number.POSITIVE_INFINITY
  return lsnOf(rows[0].now) - lsnOf(rows[0].confirmed)
}
