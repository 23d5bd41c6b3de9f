import { encodeHeaders } from '../../../runtime/api/index.ts'
import type { OldRow } from '../changes.ts'
import { JsonBytes, Piece } from '../json-bytes.ts'
import type { Tuple } from '../tuple.ts'
import type { ChangeSource } from './change-source.ts'
import type { EventBatch, PackedLane } from './event-batch.ts'
import type { EventContext } from './event-context.ts'
import type { EventForm, Moved, Operation } from './event-form.ts'
import { NumberTemplate } from './number-template.ts'
import { SourceBlock } from './source-block.ts'
import type { TableShape } from './table-shape.ts'

const BEFORE = new Piece('{"before":')
const NO_BEFORE = new Piece('{"before":null,"after":')
const AFTER = new Piece(',"after":')
const NULL = new Piece('null')
const TRANSACTION = ',"transaction":'

/** Events of a table as JSON text, written without an object per row. */
export class PackedForm implements EventForm {
  readonly #context: EventContext
  readonly #shape: TableShape
  /** What follows the row: `source`, no transaction, `op` and the time of processing. */
  readonly #tails: Readonly<Record<Operation, SourceBlock>>
  /** The same in two, around the place in a transaction. */
  readonly #source: SourceBlock
  readonly #ends: Readonly<Record<Operation, NumberTemplate>>
  #into: EventBatch | undefined
  #lane: PackedLane | undefined

  constructor(context: EventContext, shape: TableShape) {
    this.#context = context
    this.#shape = shape
    const source = (...behind: string[]) =>
      new SourceBlock(context.names, shape.schema, shape.table, ',"source":', behind)
    this.#source = source(TRANSACTION)
    this.#ends = ofEach(operation => new NumberTemplate(endOf(operation, '')))
    this.#tails = ofEach(operation => source(...endOf(operation, `${TRANSACTION}null`)))
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
    const streamed = source.snapshot === 'false'
    const place = streamed ? this.#context.place(this.#shape.collection, into) : null
    const { json } = into
    const ownHeaders = moved !== undefined
    const headers = ownHeaders ? this.#headersWith(moved) : this.#context.headerBlock
    const headersAt = ownHeaders ? json.length : into.sharedHeaders(headers)
    if (ownHeaders) json.raw(headers)

    const keyStart = json.length
    const hasKey = key !== undefined && operation !== 't'
    if (hasKey) {
      if (after !== undefined) key.write(after, false, earlier, json)
      else if (before !== undefined) key.write(before.tuple, before.kind === 'key', undefined, json)
    }
    const valueStart = json.length
    if (before === undefined) json.piece(NO_BEFORE)
    else {
      json.piece(BEFORE)
      row.write(before.tuple, before.kind === 'key', undefined, json)
      json.piece(AFTER)
    }
    if (after === undefined) json.piece(NULL)
    else row.write(after, false, earlier, json)
    const now = into.now(this.#context.clock)
    if (place === null) json.raw(this.#tails[operation].json(source, now))
    else {
      json.raw(this.#source.json(source, now))
      json.ascii(`{"id":"${place[0]}","total_order":${place[1]},"data_collection_order":${place[2]}}`)
      json.raw(this.#end(operation, now))
    }
    const lane = this.#laneOf(into)
    lane.add(hasKey ? keyStart : -1, valueStart, valueStart, json.length, headersAt, headersAt + headers.length)
  }

  addTombstone(into: EventBatch): void {
    this.#laneOf(into).addTombstone()
  }

  #end(operation: Operation, now: number): Buffer {
    const end = this.#ends[operation]
    end.set(0, now)
    end.set(1, now)
    end.set(2, now)
    return end.bytes
  }

  #headersWith({ header, row, earlier }: Moved): Buffer {
    const key = new JsonBytes(256)
    this.#shape.key!.write(row, false, earlier, key)
    const value = key.bytes.subarray(0, key.length)
    return encodeHeaders([{ key: header, value }, ...this.#context.packedHeaders])
  }

  #laneOf(into: EventBatch): PackedLane {
    if (this.#into !== into || this.#lane === undefined) {
      this.#into = into
      this.#lane = into.packed(this.#shape.topic, this.#shape.orderKey)
    }
    return this.#lane
  }
}

function ofEach<T>(make: (operation: Operation) => T): Readonly<Record<Operation, T>> {
  return { c: make('c'), r: make('r'), u: make('u'), d: make('d'), t: make('t') }
}

/** The text around the three numbers that say when the event was made. */
function endOf(operation: Operation, before: string): string[] {
  return [`${before},"op":"${operation}","ts_ms":`, ',"ts_us":', '000,"ts_ns":', '000000}']
}
