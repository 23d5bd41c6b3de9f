import {
  type ConnectRecord,
  defineOptions,
  defineTransform,
  type Header,
  type Schema,
  type Transform,
} from '../../api/index.ts'
import type { ChangeShape, RowAdditions, Typed } from './change.ts'
import { DroppedFields } from './dropped-fields.ts'
import { type FieldReference, readFieldReference } from './field-reference.ts'
import { EXTRACT_OPTIONS, type ExtractOptions, legacyProblems } from './options.ts'
import { PlainShape } from './plain-shape.ts'
import { SchemaShape } from './schema-shape.ts'

const JAVA_NAME = 'io.debezium.transforms.ExtractNewRecordState'

/** Change events become rows. */
export const extractNewRecordState = defineTransform({
  kind: 'transform',
  name: 'ExtractNewRecordState',
  aliases: [],
  doc: "Takes the row out of a change event of Debezium's form: what stands after the change, of a delete what stood before or nothing. Truncates are dropped; what is no change event (a row already, a message, a transaction's begin and end) passes as it is. Works with schemas and on plain JSON.",
  options: EXTRACT_OPTIONS,
  structured: true,
  problems: options => legacyProblems(options),
  open: options => openExtract(options),
})

/** Under its Java name it has the defaults of the Java class. */
export const debeziumExtractNewRecordState = defineTransform({
  kind: 'transform',
  name: JAVA_NAME,
  aliases: ['io.debezium.transforms.UnwrapFromEnvelope'],
  doc: 'As ExtractNewRecordState, with `replace.null.with.default: true`.',
  options: defineOptions({
    ...EXTRACT_OPTIONS,
    'replace.null.with.default': { ...EXTRACT_OPTIONS['replace.null.with.default'], default: true },
  }),
  structured: true,
  problems: options => legacyProblems(options),
  open: options => openExtract(options),
})

function openExtract(options: ExtractOptions): Transform {
  const extract = new Extract(options)
  return record => (extract.apply(record) ? record : undefined)
}

const TOMBSTONE_OPERATION: Schema = { type: 'STRING', optional: false }

class Extract {
  readonly #mode: ExtractOptions['delete.tombstone.handling.mode']
  readonly #routeBy: string
  readonly #headers: readonly FieldReference[]
  readonly #dropped: DroppedFields | undefined
  readonly #additions: RowAdditions
  readonly #plain: PlainShape
  readonly #shapes = new WeakMap<Schema, SchemaShape | 'no change'>()

  constructor(options: ExtractOptions) {
    this.#mode = options['delete.tombstone.handling.mode']
    this.#routeBy = options['route.by.field']
    this.#headers = options['add.headers'].map(written => readFieldReference(written, options['add.headers.prefix']))
    const header = options['drop.fields.header.name']?.trim() ?? ''
    const fromKey = options['drop.fields.from.key']
    const keepCompatible = options['drop.fields.keep.schema.compatible']
    this.#dropped = header === '' ? undefined : new DroppedFields({ header, fromKey, keepCompatible })
    this.#additions = {
      marksDeletes: this.#mode === 'rewrite' || this.#mode === 'rewrite-with-tombstone',
      references: options['add.fields'].map(written => readFieldReference(written, options['add.fields.prefix'])),
      replaceNullWithDefault: options['replace.null.with.default'],
    }
    this.#plain = new PlainShape(this.#additions)
  }

  /** Changes the record in place; false when it does not go on. */
  apply(record: ConnectRecord): boolean {
    if (record.value === null || record.value === undefined) return this.#tombstone(record)
    const shape = this.#shapeOf(record)
    if (shape === undefined) return true
    const event = record.value
    const side = shape.row(event, 'after') === null ? 'before' : 'after'
    const row = shape.row(event, side)
    const deletes = side === 'before'
    if (deletes && ((row === null && shape.operation(event) !== 'd') || this.#mode === 'drop')) return false
    const topic = this.#routeBy === '' || row === null ? undefined : shape.route(row, side, this.#routeBy)
    const headers = this.#headersOf(event, shape)
    const { value, schema } = deletes ? this.#deleted(event, row, shape) : shape.flatten(event, 'after')
    if (topic !== undefined && topic.trim() !== '') record.topic = topic
    // Headers of several records may be one list.
    if (headers.length > 0) record.headers = [...(record.headers ?? []), ...headers]
    record.value = value
    record.valueSchema = schema
    this.#dropped?.apply(record)
    return true
  }

  #tombstone(record: ConnectRecord): boolean {
    if (this.#mode !== 'rewrite-with-tombstone') return false
    const added = this.#headers.filter(({ parent, field }) => parent === undefined && field === 'op')
    if (added.length > 0) {
      const headers = added.map(({ target }) => ({ key: target, value: 'd', schema: TOMBSTONE_OPERATION }))
      record.headers = [...(record.headers ?? []), ...headers]
    }
    return true
  }

  #deleted(event: unknown, row: unknown, shape: ChangeShape): Typed {
    if (this.#additions.marksDeletes && row !== null) return shape.flatten(event, 'before')
    return this.#mode === 'delete-to-tombstone' ? { value: null, schema: undefined } : shape.emptyRow()
  }

  #headersOf(event: unknown, shape: ChangeShape): readonly Header[] {
    return this.#headers.flatMap(reference => {
      const found = shape.read(event, reference)
      return found === undefined ? [] : [{ key: reference.target, ...found }]
    })
  }

  #shapeOf({ value, valueSchema }: ConnectRecord): ChangeShape | undefined {
    if (valueSchema === undefined) return PlainShape.isChange(value) ? this.#plain : undefined
    let shape = this.#shapes.get(valueSchema)
    if (shape === undefined) {
      shape = SchemaShape.of(valueSchema, this.#additions) ?? 'no change'
      this.#shapes.set(valueSchema, shape)
    }
    return shape === 'no change' ? undefined : shape
  }
}
