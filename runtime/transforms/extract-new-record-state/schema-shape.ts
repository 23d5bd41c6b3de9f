import { type Field, RecordError, type Schema } from '../../api/index.ts'
import { type ChangeShape, DELETED, NAME, type RowAdditions, type Side, type Typed } from './change.ts'
import type { FieldReference } from './field-reference.ts'

type Struct = readonly unknown[]

interface Located {
  readonly schema: Schema
  read(event: Struct): unknown
}

interface RowShape {
  /** As it stands in the envelope. */
  readonly schema: Schema
  /** With what is added; not optional. */
  readonly flat: Schema
}

const OPTIONAL_STRING: Schema = { type: 'STRING', optional: true }

/** Events of one envelope schema; structs are positional, so every place is looked up once. */
export class SchemaShape implements ChangeShape {
  readonly #envelope: Schema
  readonly #additions: RowAdditions
  readonly #added: readonly { readonly name: string; readonly from: Located }[]
  readonly #operation: number
  readonly #sides: Readonly<Record<Side, number>>
  readonly #headers = new Map<FieldReference, Located | undefined>()
  readonly #rows: Readonly<Record<Side, RowShape>>

  /** Undefined for what is no change event: Debezium knows its own by the name of the schema. */
  static of(schema: Schema, additions: RowAdditions): SchemaShape | undefined {
    if (schema.name?.endsWith('.Envelope') !== true || schema.type !== 'STRUCT') return undefined
    const isRow = (name: string) => fieldOf(schema, name)?.schema.type === 'STRUCT'
    return isRow('before') && isRow('after') ? new SchemaShape(schema, additions) : undefined
  }

  private constructor(envelope: Schema, additions: RowAdditions) {
    this.#envelope = envelope
    this.#additions = additions
    this.#operation = indexOf(envelope, 'op')
    this.#sides = { before: indexOf(envelope, 'before'), after: indexOf(envelope, 'after') }
    this.#added = additions.references.flatMap(reference => {
      const from = this.#locate(reference)
      return from === undefined ? [] : [{ name: reference.target, from }]
    })
    const after = this.#rowShape(fieldOf(envelope, 'after')!.schema)
    const before = fieldOf(envelope, 'before')!.schema
    // Debezium gives both sides one schema object, and the flat rows must have one as well.
    this.#rows = { after, before: before === after.schema ? after : this.#rowShape(before) }
  }

  operation(event: unknown): unknown {
    return (event as Struct)[this.#operation]
  }

  row(event: unknown, side: Side): unknown {
    return (event as Struct)[this.#sides[side]] ?? null
  }

  emptyRow(): Typed {
    return { value: null, schema: this.#rows.after.schema }
  }

  flatten(event: unknown, side: Side): Typed {
    const row = this.row(event, side) as Struct
    const { schema, flat } = this.#rows[side]
    const fields = schema.fields!
    const { marksDeletes, replaceNullWithDefault } = this.#additions
    const value: unknown[] = []
    for (let i = 0; i < fields.length; i++) {
      const column = row[i]
      value.push(replaceNullWithDefault ? (column ?? fields[i]!.schema.default ?? column) : column)
    }
    if (marksDeletes) value.push(side === 'before' ? 'true' : 'false')
    for (const { name, from } of this.#added) {
      const added = from.read(event as Struct)
      if (from.schema.type === 'STRUCT' && added !== null) {
        const remedy = `name its members (${name}: add.fields: source.lsn), or use add.headers`
        throw new RecordError(`${NAME}: add.fields: Struct schemas do not match. A struct cannot be added; ${remedy}`)
      }
      value.push(added)
    }
    return { value, schema: flat }
  }

  route(row: unknown, side: Side, column: string): string | undefined {
    const { schema } = this.#rows[side]
    const index = indexOf(schema, column)
    if (index < 0) throw new RecordError(`${NAME}: route.by.field: ${column} is not a valid field name`)
    if (schema.fields![index]!.schema.type !== 'STRING') {
      throw new RecordError(`${NAME}: route.by.field: Field '${column}' is not of type STRING`)
    }
    return ((row as Struct)[index] as string | null | undefined) ?? undefined
  }

  read(event: unknown, reference: FieldReference): Typed | undefined {
    let located = this.#headers.get(reference)
    if (located === undefined && !this.#headers.has(reference)) {
      located = this.#locate(reference)
      this.#headers.set(reference, located)
    }
    return located === undefined ? undefined : { value: located.read(event as Struct), schema: located.schema }
  }

  /** In its struct, else in the envelope, where another transform may have put it. */
  #locate({ parent, field }: FieldReference): Located | undefined {
    const outer = parent === undefined ? -1 : indexOf(this.#envelope, parent)
    const struct = outer < 0 ? undefined : this.#envelope.fields![outer]!.schema
    const inner = struct === undefined ? -1 : indexOf(struct, field)
    if (inner >= 0) {
      const read = (event: Struct) => (event[outer] as Struct | null | undefined)?.[inner] ?? null
      return { schema: optionalCopy(struct!.fields![inner]!.schema), read }
    }
    const own = indexOf(this.#envelope, field)
    if (own < 0) return undefined
    return { schema: optionalCopy(this.#envelope.fields![own]!.schema), read: event => event[own] ?? null }
  }

  #rowShape(schema: Schema): RowShape {
    const added: Field[] = this.#added.map(({ name, from }) => ({ name, schema: from.schema }))
    if (this.#additions.marksDeletes) added.unshift({ name: DELETED, schema: OPTIONAL_STRING })
    const fields = [...schema.fields!]
    for (const field of added) {
      if (fields.some(({ name }) => name === field.name)) throw takenName(field.name)
      fields.push(field)
    }
    return { schema, flat: { ...basicsOf(schema), optional: false, fields } }
  }
}

export function takenName(name: string): RecordError {
  const remedy = 'give it another name (op:operation) or another add.fields.prefix'
  return new RecordError(`${NAME}: add.fields: expected a name that the row does not have, got ${name}; ${remedy}`)
}

function basicsOf({ type, name, version, doc, parameters }: Schema): Omit<Schema, 'optional'> {
  return {
    type,
    ...(name === undefined ? {} : { name }),
    ...(version === undefined ? {} : { version }),
    ...(doc === undefined ? {} : { doc }),
    ...(parameters === undefined ? {} : { parameters }),
  }
}

/** Without its default: what is added may be missing. */
function optionalCopy(schema: Schema): Schema {
  const { fields, keySchema, valueSchema } = schema
  return {
    ...basicsOf(schema),
    optional: true,
    ...(fields === undefined ? {} : { fields }),
    ...(keySchema === undefined ? {} : { keySchema }),
    ...(valueSchema === undefined ? {} : { valueSchema }),
  }
}

function indexOf(schema: Schema, name: string): number {
  return schema.fields?.findIndex(field => field.name === name) ?? -1
}

function fieldOf(schema: Schema, name: string): Field | undefined {
  return schema.fields?.find(field => field.name === name)
}
