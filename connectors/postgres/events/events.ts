import { type Clock, KtsError, type Logger, type Schema } from '../../../runtime/api/index.ts'
import type { CommittedTransaction, LogicalMessage } from '../changes.ts'
import type { ColumnCodec } from '../column-codec.ts'
import type { EventOptions } from '../event-options.ts'
import type { Lsn } from '../lsn.ts'
import type { Relation } from '../relation.ts'
import type { ColumnInfo, TableInfo, Types } from '../table-info.ts'
import type { ChangeSource } from './change-source.ts'
import { NameFilter } from './column-filter.ts'
import { ColumnRules } from './column-rules.ts'
import type { EventBatch } from './event-batch.ts'
import { EventContext } from './event-context.ts'
import { PackedForm } from './packed-form.ts'
import { RecordForm } from './record-form.ts'
import { HEARTBEAT_KEY, HEARTBEAT_VALUE, MESSAGE_KEY, messageValueSchema } from './schemas.ts'
import { SourceBlock } from './source-block.ts'
import { type EventRules, TableEvents } from './table-events.ts'
import { type CodecOf, TableShapes } from './table-shape.ts'
import { TransactionCounts } from './transaction-counts.ts'

const BYTEA: ColumnInfo = {
  name: 'content',
  typeOid: 17,
  typeModifier: -1,
  notNull: false,
  default: undefined,
  generated: undefined,
  identity: false,
}

interface LastCommit {
  readonly lsn: Lsn
  readonly time: number
}

export interface EventsParts {
  readonly options: EventOptions
  readonly database: string
  readonly task: number
  /** Another one for each start of the task. */
  readonly runId: string
  /** Of the connector. */
  readonly version: string
  readonly packsJson: (topic: string) => boolean
  readonly clock: Clock
  readonly log: Logger
  /** Undefined: the column is left out. */
  readonly codecOf: CodecOf
  readonly types: () => Types
  /** End and time (microseconds since 1970) of the transaction that an earlier run told last. */
  readonly lastCommit: LastCommit | undefined
}

/**
 * Makes Debezium's events of what a server tells: of rows by table, and of transactions, messages and heartbeats. Each
 * topic's come as JSON text or as records with schemas, whichever the topic takes.
 */
export class Events {
  readonly #options: EventOptions
  readonly #packsJson: (topic: string) => boolean
  readonly #clock: Clock
  readonly #codecOf: CodecOf
  readonly #shapes: TableShapes
  readonly #columnRules: ColumnRules
  readonly #context: EventContext
  readonly #rules: EventRules
  readonly #messages: NameFilter
  readonly #messageSource: SourceBlock
  readonly #topicOwners = new Map<string, { readonly oid: number; readonly name: string }>()
  readonly #topicsByOid = new Map<number, string>()
  #messageForm: { readonly codec: ColumnCodec; readonly schema: Schema } | undefined
  #lastCommit: LastCommit | undefined

  constructor(parts: EventsParts) {
    const { options, database, version, clock } = parts
    this.#options = options
    this.#packsJson = parts.packsJson
    this.#clock = clock
    this.#codecOf = parts.codecOf
    this.#lastCommit = parts.lastCommit
    this.#columnRules = new ColumnRules(options, parts.types, parts.log)
    this.#shapes = new TableShapes(options, parts.codecOf, this.#columnRules, parts.log)
    const names = { version, server: options['topic.prefix'], database }
    this.#context = new EventContext({
      names,
      task: parts.task,
      runId: parts.runId,
      clock,
      transactionTopic: this.#shapes.topics.transaction,
      packsJson: parts.packsJson,
    })
    this.#rules = {
      skipped: new Set(options['skipped.operations']),
      tombstones: options['tombstones.on.delete'],
      skipsUnchanged: options['skip.messages.without.change'],
    }
    this.#messages = new NameFilter(options['message.prefix.include.list'], options['message.prefix.exclude.list'])
    this.#messageSource = new SourceBlock(names, '', '')
  }

  /**
   * A table as it is defined now: to be asked for anew when its definition changes. Throws CONFIG_INVALID when another
   * table has the same topic, or when two of its columns have the same field.
   */
  table(relation: Relation, info: TableInfo | undefined): TableEvents {
    const shape = this.#shapes.of(relation, info)
    this.#claim(shape.topic, relation)
    const form = this.#packsJson(shape.topic)
      ? new PackedForm(this.#context, shape)
      : new RecordForm(this.#context, shape)
    return new TableEvents(shape, form, this.#rules)
  }

  /** To be asked once all tables that are captured now were asked for. */
  warnOfUnusedMasks(): void {
    this.#columnRules.warnOfUnused()
  }

  /**
   * Begins a transaction of the stream. One that an earlier run told in part is told again from its beginning, into a
   * batch that is thrown away: its events are counted. BEGIN is told in front of the first event, so that a transaction
   * without any leaves no trace.
   */
  begin(transaction: CommittedTransaction): void {
    if (this.#options['provide.transaction.metadata']) this.#context.transaction = new TransactionCounts(transaction)
  }

  commit(transaction: CommittedTransaction, endLsn: Lsn, into: EventBatch): void {
    this.#lastCommit = { lsn: endLsn, time: transaction.commitTime }
    this.#context.endTransaction(into)
  }

  truncate(tables: readonly TableEvents[], source: ChangeSource, into: EventBatch): void {
    for (const table of tables) table.truncate(source, into)
  }

  /** `transaction`: the one it belongs to; undefined for a message that is told when it is decoded. */
  message(message: LogicalMessage, transaction: CommittedTransaction | undefined, into: EventBatch): void {
    const { prefix, lsn, content } = message
    if (!this.#messages.includes(prefix)) return
    const topic = this.#shapes.topics.message
    const now = this.#clock.now()
    const source: ChangeSource = {
      snapshot: 'false',
      lsn,
      lastCommitLsn: this.#lastCommit?.lsn,
      xid: transaction?.xid,
      commitTime: transaction?.commitTime ?? this.#lastCommit?.time ?? now * 1000,
      origin: transaction?.origin,
    }
    const place = transaction === undefined ? null : this.#context.place(topic, into)
    this.#messageForm ??= this.#newMessageForm()
    const { codec, schema } = this.#messageForm
    this.#context.add(
      {
        topic,
        key: [prefix],
        keySchema: MESSAGE_KEY,
        value: [
          'm',
          now,
          this.#messageSource.struct(source),
          place,
          [prefix, codec.valueOfBinary!(content, 0, content.length)],
        ],
        valueSchema: schema,
      },
      into,
    )
  }

  heartbeat(into: EventBatch): void {
    this.#context.add(
      {
        topic: this.#shapes.topics.heartbeat,
        key: [this.#options['topic.prefix']],
        keySchema: HEARTBEAT_KEY,
        value: [this.#clock.now()],
        valueSchema: HEARTBEAT_VALUE,
      },
      into,
    )
  }

  /** The content is as a bytea column would be. */
  #newMessageForm(): { readonly codec: ColumnCodec; readonly schema: Schema } {
    const codec = this.#codecOf(BYTEA)
    if (codec?.valueOfBinary === undefined) throw new TypeError('bytea has no binary form')
    return { codec, schema: messageValueSchema(codec.schema) }
  }

  #claim(topic: string, relation: Relation): void {
    const { oid, schema, table } = relation
    const name = `${schema}.${table}`
    const { topics } = this.#shapes
    if ([topics.transaction, topics.message, topics.heartbeat].includes(topic)) {
      throw new KtsError(
        'CONFIG_INVALID',
        `table ${name} falls on topic ${topic}, which holds events of another kind; choose another topic.delimiter, or leave the table out with table.exclude.list`,
      )
    }
    const owner = this.#topicOwners.get(topic)
    if (owner !== undefined && owner.oid !== oid && owner.name !== name) {
      throw new KtsError(
        'CONFIG_INVALID',
        `tables ${owner.name} and ${name} both fall on topic ${topic}; leave one out with table.exclude.list, capture it with a connector of another topic.prefix, or rename it`,
      )
    }
    const earlier = this.#topicsByOid.get(oid)
    if (earlier !== undefined && earlier !== topic && this.#topicOwners.get(earlier)?.oid === oid) {
      this.#topicOwners.delete(earlier)
    }
    this.#topicOwners.set(topic, { oid, name })
    this.#topicsByOid.set(oid, topic)
  }
}
