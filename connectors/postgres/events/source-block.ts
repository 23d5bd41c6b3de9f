import { stringText } from '../../../runtime/api/index.ts'
import type { ChangeSource } from './change-source.ts'
import { NumberTemplate } from './number-template.ts'

/** What the `source` of all events of a task has in common. */
export interface SourceNames {
  readonly version: string
  /** Logical name: `topic.prefix`. */
  readonly server: string
  readonly database: string
}

export const CONNECTOR = 'postgresql'

/** The `source` of one table's events, as a struct and as JSON. */
export class SourceBlock {
  readonly #names: SourceNames
  readonly #schema: string
  readonly #table: string
  readonly #before: string
  readonly #behind: readonly string[]
  #template: NumberTemplate | undefined
  // What decides which pieces the template has; the rest are its numbers.
  #snapshot: string | undefined
  #afterCommit = false
  #inTransaction = false
  #origin: string | undefined
  #hasTime = true
  // What the text was made of last: of a transaction's changes nothing but the LSN differs.
  #source: ChangeSource | undefined
  #now = 0

  /**
   * Schema and table are empty for what belongs to none. `before` and `behind` are JSON text around it, so that it is
   * copied together; between the pieces of `behind` stands the time that `json` is given.
   */
  constructor(names: SourceNames, schema: string, table: string, before = '', behind: readonly string[] = ['']) {
    this.#names = names
    this.#schema = schema
    this.#table = table
    this.#before = before
    this.#behind = behind
  }

  struct(source: ChangeSource): readonly unknown[] {
    const { commitTime, origin, lastCommitLsn } = source
    const { version, server, database } = this.#names
    const nanos = BigInt(commitTime) * 1000n
    return [
      version,
      CONNECTOR,
      server,
      Math.floor(commitTime / 1000),
      source.snapshot,
      database,
      JSON.stringify([lastCommitLsn === undefined ? null : String(lastCommitLsn), String(source.lsn)]),
      commitTime,
      safeNumber(nanos),
      this.#schema,
      this.#table,
      source.xid ?? null,
      source.lsn,
      null,
      origin?.name ?? null,
      origin?.lsn ?? null,
    ]
  }

  /** The object as JSON text with what is around it, valid until the next call. `now`: milliseconds since 1970. */
  json(source: ChangeSource, now: number): Buffer {
    // Rows of a snapshot share one.
    if (this.#template !== undefined && source === this.#source && now === this.#now) return this.#template.bytes
    const template =
      this.#template !== undefined && now === this.#now && isSameTransaction(source, this.#source!)
        ? this.#template
        : this.#templateFor(source, now)
    this.#source = source
    this.#now = now
    template.set(2, source.lsn)
    template.set(6, source.lsn)
    return template.bytes
  }

  /** With everything set but the LSN. */
  #templateFor(source: ChangeSource, now: number): NumberTemplate {
    const template = this.#shapedFor(source)
    const { commitTime } = source
    template.set(0, Math.floor(commitTime / 1000))
    template.set(1, source.lastCommitLsn)
    template.set(3, commitTime)
    template.set(4, commitTime)
    template.set(5, source.xid)
    template.set(7, source.origin?.lsn)
    for (let i = 1; i < this.#behind.length; i++) template.set(7 + i, now)
    return template
  }

  #shapedFor(source: ChangeSource): NumberTemplate {
    const afterCommit = source.lastCommitLsn !== undefined
    const inTransaction = source.xid !== undefined
    const hasTime = source.commitTime !== 0
    if (
      this.#template === undefined ||
      this.#snapshot !== source.snapshot ||
      this.#afterCommit !== afterCommit ||
      this.#inTransaction !== inTransaction ||
      this.#origin !== source.origin?.name ||
      this.#hasTime !== hasTime
    ) {
      this.#snapshot = source.snapshot
      this.#afterCommit = afterCommit
      this.#inTransaction = inTransaction
      this.#origin = source.origin?.name
      this.#hasTime = hasTime
      this.#template = this.#newTemplate()
    }
    return this.#template
  }

  #newTemplate(): NumberTemplate {
    const { version, server, database } = this.#names
    const origin = this.#origin === undefined ? 'null' : stringText(this.#origin)
    return new NumberTemplate([
      `${this.#before}{"version":${stringText(version)},"connector":"${CONNECTOR}","name":${stringText(server)},"ts_ms":`,
      `,"snapshot":"${this.#snapshot}","db":${stringText(database)},"sequence":"[${this.#afterCommit ? '\\"' : 'null'}`,
      `${this.#afterCommit ? '\\"' : ''},\\"`,
      '\\"]","ts_us":',
      ',"ts_ns":',
      `${this.#hasTime ? '000' : ''},"schema":${stringText(this.#schema)},"table":${stringText(this.#table)},"txId":${this.#inTransaction ? '' : 'null'}`,
      ',"lsn":',
      `,"xmin":null,"origin":${origin},"origin_lsn":${this.#origin === undefined ? 'null' : ''}`,
      `}${this.#behind[0]}`,
      ...this.#behind.slice(1),
    ])
  }
}

function isSameTransaction(one: ChangeSource, other: ChangeSource): boolean {
  return (
    one.commitTime === other.commitTime &&
    one.lastCommitLsn === other.lastCommitLsn &&
    one.xid === other.xid &&
    one.snapshot === other.snapshot &&
    one.origin === other.origin
  )
}

/** As INT64 of the data model: a number where that is exact. */
export function safeNumber(value: bigint): number | bigint {
  const small = Number(value)
  return Number.isSafeInteger(small) ? small : value
}
