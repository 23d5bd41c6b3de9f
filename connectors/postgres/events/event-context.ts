import {
  type Clock,
  type ConnectRecord,
  encodeHeaders,
  type Header,
  jsonOf,
  type PackedHeader,
  type Schema,
} from '../../../runtime/api/index.ts'
import type { EventBatch } from './event-batch.ts'
import { STRING, TRANSACTION_KEY, TRANSACTION_VALUE } from './schemas.ts'
import { CONNECTOR, type SourceNames } from './source-block.ts'
import type { TransactionCounts } from './transaction-counts.ts'

/** An event as it is before anyone asks for a form. */
export interface PlainEvent {
  readonly topic: string
  readonly key: readonly unknown[]
  readonly keySchema: Schema
  readonly value: readonly unknown[]
  readonly valueSchema: Schema
}

/** What all events of a task share. */
export class EventContext {
  readonly names: SourceNames
  readonly clock: Clock
  /** Those of Debezium, on every event of a row. */
  readonly headers: readonly Header[]
  readonly packedHeaders: readonly PackedHeader[]
  readonly headerBlock: Buffer
  /** The transaction that is told now, where its metadata are asked for. */
  transaction: TransactionCounts | undefined
  readonly #transactionTopic: string
  readonly #packsJson: (topic: string) => boolean

  constructor(parts: {
    names: SourceNames
    task: number
    runId: string
    clock: Clock
    transactionTopic: string
    packsJson: (topic: string) => boolean
  }) {
    this.names = parts.names
    this.clock = parts.clock
    this.#transactionTopic = parts.transactionTopic
    this.#packsJson = parts.packsJson
    const texts = [
      ['__debezium.context.connectorLogicalName', parts.names.server],
      ['__debezium.context.taskId', String(parts.task)],
      ['__debezium.context.connectorName', CONNECTOR],
      ['__debezium.context.runId', parts.runId],
    ] as const
    this.headers = texts.map(([key, value]) => ({ key, value, schema: STRING }))
    this.packedHeaders = texts.map(([key, value]) => ({ key, value: Buffer.from(value) }))
    this.headerBlock = encodeHeaders(this.packedHeaders)
  }

  /**
   * The place of one more event of a table (or of the messages) in the open transaction, `event.block` of the data model;
   * null where none is asked for. The first one begins the transaction, so that those without events leave no trace.
   */
  place(collection: string, into: EventBatch): readonly [id: string, total: number, inCollection: number] | null {
    if (this.transaction === undefined) return null
    if (this.transaction.total === 0) this.#transactionEvent(this.transaction, 'BEGIN', into)
    return this.transaction.next(collection)
  }

  endTransaction(into: EventBatch): void {
    if (this.transaction !== undefined && this.transaction.total > 0) {
      this.#transactionEvent(this.transaction, 'END', into)
    }
    this.transaction = undefined
  }

  /** Adds an event that is too rare for a way of its own, in the form that its topic takes. */
  add({ topic, key, keySchema, value, valueSchema }: PlainEvent, into: EventBatch): void {
    if (!this.#packsJson(topic)) {
      const record: ConnectRecord = {
        topic,
        partition: undefined,
        key,
        keySchema,
        value,
        valueSchema,
        headers: undefined,
        timestamp: undefined,
      }
      into.records(topic, undefined).add(record, jsonOf(valueSchema, value).length)
      return
    }
    const { json } = into
    const keyStart = json.length
    json.text(jsonOf(keySchema, key))
    const valueStart = json.length
    json.text(jsonOf(valueSchema, value))
    into.packed(topic, undefined).add(keyStart, valueStart, valueStart, json.length, -1, -1)
  }

  #transactionEvent(counts: TransactionCounts, status: 'BEGIN' | 'END', into: EventBatch): void {
    const end = status === 'END'
    this.add(
      {
        topic: this.#transactionTopic,
        key: [counts.id],
        keySchema: TRANSACTION_KEY,
        value: [
          status,
          counts.id,
          end ? counts.total : null,
          end ? counts.collections() : null,
          Math.floor(counts.commitTime / 1000),
        ],
        valueSchema: TRANSACTION_VALUE,
      },
      into,
    )
  }
}
