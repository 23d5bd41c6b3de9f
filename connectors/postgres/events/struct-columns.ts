import { type Field, jsonOf, type Schema, stringText } from '../../../runtime/api/index.ts'
import type { ColumnCodec } from '../column-codec.ts'
import { type JsonBytes, Piece } from '../json-bytes.ts'
import { BINARY, NULL, TEXT, type Tuple, UNCHANGED } from '../tuple.ts'

/** A column of a table as a field of its rows or keys. */
export interface StructColumn {
  /** In the relation. */
  readonly index: number
  readonly field: string
  readonly codec: ColumnCodec
  /** May be null although its type is not: part of a key that not every row brings. */
  readonly nullable: boolean
}

interface Member {
  readonly index: number
  readonly codec: ColumnCodec
  /** The codec's, which come in many shapes: here they are found at once. */
  readonly writeText: ColumnCodec['writeText']
  readonly writeBinary: ColumnCodec['writeBinary']
  /** `,"name":` */
  readonly name: Piece
  readonly unavailable: Piece
  readonly absent: Piece
  required: boolean
}

const EMPTY = new Piece('{}')
const END = new Piece('}')
const NULL_TEXT = new Piece('null')

/** Some columns of a table as a struct: as JSON, or as values with their schema. */
export class StructColumns {
  readonly #name: string
  readonly #optional: boolean
  readonly #fields: readonly string[]
  readonly #members: readonly Member[]
  readonly #evolves: boolean
  /** Of the columns, in the relation. */
  readonly indexes: readonly number[]
  #codecSchemas: readonly Schema[] = []
  #schema: Schema

  constructor(name: string, optional: boolean, columns: readonly StructColumn[]) {
    this.#name = name
    this.#optional = optional
    this.#fields = columns.map(column => column.field)
    this.indexes = columns.map(column => column.index)
    this.#evolves = columns.some(({ codec }) => codec.evolves === true)
    this.#members = columns.map(({ index, field, codec, nullable }, i) => ({
      index,
      codec,
      writeText: codec.writeText,
      writeBinary: codec.writeBinary,
      name: new Piece(`${i === 0 ? '{' : ','}${stringText(field)}:`),
      unavailable: new Piece(jsonOf(codec.schema, codec.unavailable)),
      absent: new Piece(jsonOf(codec.schema, codec.absent)),
      required: !codec.schema.optional && !nullable,
    }))
    this.#schema = this.#newSchema()
  }

  /** Of the values that were made last: another object once a value has come that the one before could not say. */
  get schema(): Schema {
    return this.#schema
  }

  /**
   * The row as a JSON object. `keyOnly`: only columns of the replica identity were sent, the others are NULL in the tuple
   * whatever they are. `earlier`: where values are that did not change and were not sent again, if anywhere.
   */
  write(tuple: Tuple, keyOnly: boolean, earlier: Tuple | undefined, json: JsonBytes): void {
    const members = this.#members
    const { bytes, kinds, starts, ends } = tuple
    for (let m = 0; m < members.length; m++) {
      const member = members[m]!
      const i = member.index
      json.piece(member.name)
      const kind = kinds[i]!
      if (kind === TEXT) member.writeText(bytes, starts[i]!, ends[i]!, json)
      else if (kind === BINARY) member.writeBinary!(bytes, starts[i]!, ends[i]!, json)
      else if (kind === NULL) json.piece(this.#standsForNull(member, keyOnly) ? member.absent : NULL_TEXT)
      else writeUnchanged(member, earlier, json)
    }
    json.piece(members.length === 0 ? EMPTY : END)
  }

  /** The same as a struct of `schema`, which is to be asked for afterwards. */
  values(tuple: Tuple, keyOnly: boolean, earlier: Tuple | undefined): unknown[] {
    const values = this.#members.map(member => this.#value(member, tuple, keyOnly, earlier))
    if (this.#evolves && this.#members.some(({ codec }, i) => codec.schema !== this.#codecSchemas[i])) {
      this.#schema = this.#newSchema()
    }
    return values
  }

  #value(member: Member, tuple: Tuple, keyOnly: boolean, earlier: Tuple | undefined): unknown {
    const { codec, index } = member
    const kind = tuple.kinds[index]!
    if (kind === NULL) return this.#standsForNull(member, keyOnly) ? codec.absent : null
    if (kind !== UNCHANGED) return sentValue(codec, tuple, index)
    const known = earlier?.kinds[index]
    return known === TEXT || known === BINARY ? sentValue(codec, earlier!, index) : codec.unavailable
  }

  /** Whether something else is said: in a key-only row no one knows the value, and the column has no null; or it is masked. */
  #standsForNull(member: Member, keyOnly: boolean): boolean {
    if (member.codec.masksNull === true) return true
    if (!member.required || keyOnly) return member.required
    // The catalogue is ahead of the change: the column was not NOT NULL yet.
    member.required = false
    this.#schema = this.#newSchema()
    return false
  }

  #newSchema(): Schema {
    this.#codecSchemas = this.#members.map(({ codec }) => codec.schema)
    const fields: Field[] = this.#members.map(({ codec, required }, i) => ({
      name: this.#fields[i]!,
      schema: required || codec.schema.optional ? codec.schema : { ...codec.schema, optional: true },
    }))
    return { type: 'STRUCT', optional: this.#optional, name: this.#name, fields }
  }
}

function writeUnchanged(member: Member, earlier: Tuple | undefined, json: JsonBytes): void {
  const i = member.index
  const kind = earlier?.kinds[i]
  if (kind === TEXT) member.writeText(earlier!.bytes, earlier!.starts[i]!, earlier!.ends[i]!, json)
  else if (kind === BINARY) member.writeBinary!(earlier!.bytes, earlier!.starts[i]!, earlier!.ends[i]!, json)
  else json.piece(member.unavailable)
}

function sentValue(codec: ColumnCodec, { bytes, kinds, starts, ends }: Tuple, i: number): unknown {
  return kinds[i] === TEXT
    ? codec.valueOfText(bytes, starts[i]!, ends[i]!)
    : codec.valueOfBinary!(bytes, starts[i]!, ends[i]!)
}
