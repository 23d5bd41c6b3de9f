import type { ConnectRecord, Header, Schema } from '../../../runtime/api/index.ts'
import type { OldRow } from '../changes.ts'
import type { Tuple } from '../tuple.ts'
import type { ChangeSource } from './change-source.ts'
import type { EventBatch } from './event-batch.ts'
import type { EventContext } from './event-context.ts'
import type { EventForm, Moved, Operation } from './event-form.ts'
import { envelopeSchema } from './schemas.ts'
import { SourceBlock, safeNumber } from './source-block.ts'
import type { TableShape } from './table-shape.ts'

// Of a record beside its row, in the log: source, headers, names.
const ENVELOPE_BYTES = 700

/** Events of a table as records with Connect's schemas. */
export class RecordForm implements EventForm {
  readonly #context: EventContext
  readonly #shape: TableShape
  readonly #source: SourceBlock
  #rowSchema: Schema
  #schema: Schema
  #last: ConnectRecord | undefined

  constructor(context: EventContext, shape: TableShape) {
    this.#context = context
    this.#shape = shape
    this.#source = new SourceBlock(context.names, shape.schema, shape.table)
    this.#rowSchema = shape.row.schema
    this.#schema = envelopeSchema(shape.envelopeName, this.#rowSchema)
  }

  add(
    operation: Operation,
    before: OldRow | undefined,
    after: Tuple | undefined,
    earlier: Tuple | undefined,
    moved: Moved | undefined,
    source: ChangeSource,
    into: EventBatch,
  ): void {
    const { key, row } = this.#shape
    const place = source.snapshot === 'false' ? this.#context.place(this.#shape.collection, into) : null
    const headers = moved === undefined ? [...this.#context.headers] : this.#headersWith(moved)
    const keyOf = operation === 't' ? undefined : (after ?? before?.tuple)
    const keyOnly = after === undefined && before?.kind === 'key'
    const keyValue = key === undefined || keyOf === undefined ? null : key.values(keyOf, keyOnly, earlier)
    const keySchema = keyValue === null ? undefined : key?.schema
    const old = before === undefined ? null : row.values(before.tuple, before.kind === 'key', undefined)
    const current = after === undefined ? null : row.values(after, false, earlier)
    const now = into.now(this.#context.clock)
    const record: ConnectRecord = {
      topic: this.#shape.topic,
      partition: undefined,
      key: keyValue,
      keySchema,
      value: [
        old,
        current,
        this.#source.struct(source),
        place,
        operation,
        now,
        now * 1000,
        safeNumber(BigInt(now) * 1_000_000n),
      ],
      valueSchema: this.#envelope(),
      headers,
      timestamp: undefined,
    }
    this.#last = record
    into
      .records(this.#shape.topic, this.#shape.orderKey)
      .add(record, ENVELOPE_BYTES + sizeOf(before?.tuple) + sizeOf(after))
  }

  addTombstone(into: EventBatch): void {
    const last = this.#last!
    const tombstone = { ...last, value: null, valueSchema: undefined, headers: [...(last.headers ?? [])] }
    into.records(this.#shape.topic, this.#shape.orderKey).add(tombstone, ENVELOPE_BYTES >> 1)
  }

  /** One object for each version of the row. */
  #envelope(): Schema {
    if (this.#shape.row.schema !== this.#rowSchema) {
      this.#rowSchema = this.#shape.row.schema
      this.#schema = envelopeSchema(this.#shape.envelopeName, this.#rowSchema)
    }
    return this.#schema
  }

  #headersWith({ header, row, earlier }: Moved): Header[] {
    const key = this.#shape.key!
    const value = key.values(row, false, earlier)
    return [{ key: header, value, schema: key.schema }, ...this.#context.headers]
  }
}

function sizeOf(tuple: Tuple | undefined): number {
  if (tuple === undefined) return 0
  let size = 0
  for (let i = 0; i < tuple.count; i++) size += tuple.ends[i]! - tuple.starts[i]!
  return size
}
