import type { Logger } from '../../../runtime/api/index.ts'
import type { ColumnCodec } from '../column-codec.ts'
import { hashOfName } from '../column-options.ts'
import type { EventOptions } from '../event-options.ts'
import type { Relation } from '../relation.ts'
import type { ColumnInfo, Types } from '../table-info.ts'
import { type SourceType, sourceType } from '../types/source-type.ts'
import { NameFilter } from './column-filter.ts'
import { constantCodec, hashOf, truncated, withParameters, withSchema, withValue } from './masked-codec.ts'

type Apply = (codec: ColumnCodec, type: SourceType) => ColumnCodec

interface Rule {
  /** As it was given, for the columns that are meant. */
  readonly pattern: string
  readonly columns: NameFilter
  readonly apply: Apply
  /** True: hides what is in the column. */
  readonly masks: boolean
  /** Some column is meant. */
  isUsed: boolean
}

/**
 * What the options do to columns of rows: masks, hashes and truncation, of which a column has the first that is there for
 * it, in this order, and parameters that tell its type.
 */
export class ColumnRules {
  readonly #rules: readonly Rule[]
  readonly #propagated: NameFilter | undefined
  readonly #propagatedTypes: NameFilter | undefined
  readonly #types: () => Types
  readonly #log: Logger
  readonly #told = new Set<string>()

  constructor(options: EventOptions, types: () => Types, log: Logger) {
    this.#types = types
    this.#log = log
    this.#rules = [
      ...rulesOf(options['column.mask.with.<length>.chars'], name => mask(lengthIn(name))),
      ...rulesOf(options['column.mask.hash.v2.<algorithm>.with.salt.<salt>'], name => hash(name, 2)),
      ...rulesOf(options['column.mask.hash.<algorithm>.with.salt.<salt>'], name => hash(name, 1)),
      ...rulesOf(options['column.truncate.to.<length>.chars'], name => truncate(lengthIn(name)), false),
    ]
    this.#propagated = filterOf(options['column.propagate.source.type'])
    this.#propagatedTypes = filterOf(options['datatype.propagate.source.type'])
  }

  /** The codec of the column in rows. `inKey`: it is told in keys as well, as it is. */
  apply(codec: ColumnCodec, { schema, table }: Relation, column: ColumnInfo, inKey: boolean): ColumnCodec {
    const name = `${schema}.${table}.${column.name}`
    const rules = this.#rules.filter(({ columns }) => columns.includes(name))
    for (const each of rules) each.isUsed = true
    const [rule] = rules
    const isPropagated = (type: string) =>
      this.#propagated?.includes(name) === true ||
      this.#propagatedTypes?.includes(`${schema}.${table}.${type}`) === true
    if (rule === undefined && this.#propagated === undefined && this.#propagatedTypes === undefined) return codec
    const type = sourceType(column, this.#types())
    const ruled = rule?.apply(codec, type) ?? codec
    if (rule?.masks === true) this.#warnOf(name, codec, inKey)
    return isPropagated(type.name) ? withParameters(ruled, parametersOf(type, column)) : ruled
  }

  /** Of masks that no column has had so far: where one is misspelt, what it should hide is told. */
  warnOfUnused(): void {
    for (const { pattern, masks, isUsed } of this.#rules) {
      if (masks && !isUsed)
        this.#warn(
          `column.mask: no column in the rows of captured tables matches ${pattern} (schema.table.column): it masks nothing`,
        )
    }
  }

  #warnOf(name: string, codec: ColumnCodec, inKey: boolean): void {
    if (codec.schema.type !== 'STRING')
      this.#warn(
        `${name} is to be masked, but is no text: its values are told as they are; leave it out with column.exclude.list`,
      )
    if (inKey)
      this.#warn(
        `${name} is masked in rows, but is part of the key, where it is told as it is; message.key.columns chooses another key`,
      )
  }

  #warn(message: string): void {
    if (this.#told.has(message)) return
    this.#told.add(message)
    this.#log.warn({}, message)
  }
}

function rulesOf(
  options: Readonly<Record<string, readonly string[]>>,
  applyOf: (name: string) => Apply,
  masks = true,
): Rule[] {
  return Object.entries(options).flatMap(([name, patterns]) => {
    const apply = applyOf(name)
    return patterns.map(pattern => ({ pattern, columns: new NameFilter([pattern], []), apply, masks, isUsed: false }))
  })
}

/** Undefined where nothing is named: an empty list of a filter lets everything through. */
function filterOf(patterns: readonly string[]): NameFilter | undefined {
  return patterns.length === 0 ? undefined : new NameFilter(patterns, [])
}

function lengthIn(name: string): number {
  return Number(/\d+/.exec(name)![0])
}

function mask(length: number): Apply {
  const text = '*'.repeat(length)
  return (codec, type) =>
    codec.schema.type === 'STRING' ? constantCodec(marked(codec, type), text) : marked(codec, type)
}

function hash(name: string, version: 1 | 2): Apply {
  const { algorithm, salt } = hashOfName(name)
  const of = hashOf(algorithm!, salt, version)
  return (codec, type) => {
    if (codec.schema.type !== 'STRING') return marked(codec, type)
    const { length = 0 } = type
    const fits = type.isCharacter && length > 0
    return withValue<string>(marked(codec, type), text => (fits ? truncated(of(text), length) : of(text)))
  }
}

/** As Debezium marks it. What is masked is no JSON and no UUID any more. */
function marked(codec: ColumnCodec, { isCharacter }: SourceType): ColumnCodec {
  return withSchema(codec, schema => {
    const masked = { masked: 'true' }
    if (isCharacter || schema.type !== 'STRING') return { ...schema, parameters: { ...schema.parameters, ...masked } }
    const { name, version, ...rest } = schema
    return { ...rest, parameters: masked }
  })
}

function truncate(length: number): Apply {
  return (codec, type) => {
    if (type.length !== undefined && type.length <= length) return codec
    const cut = withParameters(codec, { truncateLength: String(length) })
    const { schema } = codec
    if (schema.type === 'STRING') return withValue<string>(cut, text => truncated(text, length))
    const isPlain = schema.type === 'BYTES' && schema.name === undefined
    return isPlain ? withValue<Uint8Array>(cut, bytes => bytes.subarray(0, length)) : cut
  }
}

function parametersOf({ name, length, scale }: SourceType, column: ColumnInfo): Record<string, string> {
  return {
    '__debezium.source.column.type': name.toUpperCase(),
    ...(length === undefined ? {} : { '__debezium.source.column.length': String(length) }),
    '__debezium.source.column.scale': String(scale),
    '__debezium.source.column.name': column.name,
  }
}
