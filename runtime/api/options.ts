/**
 * Options, declared once as plain data after Connect's ConfigDef. Types, parsing, defaults, JSON Schema, docs and REST
 * `validate` all come from the declaration.
 */
export type OptionSpecs = Readonly<Record<string, OptionSpec>>

export type OptionSpec =
  | StringSpec
  | EnumSpec
  | IntegerSpec
  | NumberSpec
  | BooleanSpec
  | DurationSpec
  | BytesSpec
  | ListSpec
  | PathSpec
  | SecretSpec
  | FamilySpec

interface Common<T> {
  /** One or two sentences. First the effect, then units or format where the type does not say them. */
  readonly doc: string
  /** Absent: required. `null`: optional, the value is undefined. */
  readonly default?: T | null
  readonly importance?: 'high' | 'medium' | 'low'
  readonly group?: string
  /** Other spellings of the same option: short names (`compression` for `s3.compression.type`), old names. */
  readonly aliases?: readonly string[]
  /** Answers what is wrong, in words that complete "expected …", or undefined. */
  readonly validate?: (value: T) => string | undefined
  /** Values for editors and docs. */
  readonly examples?: readonly T[]
}

export interface StringSpec extends Common<string> {
  readonly type: 'string'
  /** True for an option that holds `%`- or `$`-patterns of its own, so `${…}` is not resolved in it. */
  readonly literal?: boolean
  /** True for a URL or a folder: `./x` and `../x` are resolved against the YAML file, anything else stays as it is. */
  readonly resolve?: boolean
}
export interface EnumSpec<V extends string = string> extends Common<V> {
  readonly type: 'enum'
  readonly values: readonly V[]
  /** True where Debezium takes any case; the value is the declared spelling. */
  readonly ignoreCase?: boolean
}
export interface IntegerSpec extends Common<number> {
  readonly type: 'integer'
  readonly min?: number
  readonly max?: number
}
export interface NumberSpec extends Common<number> {
  readonly type: 'number'
  readonly min?: number
  readonly max?: number
}
export interface BooleanSpec extends Common<boolean> {
  readonly type: 'boolean'
}
/** Milliseconds; a bare number, or `10m`, `7d`, `500ms`. Names end in `.ms`. -1 (or `none`) where `unset` allows it. */
export interface DurationSpec extends Common<number> {
  readonly type: 'duration'
  readonly min?: number
  readonly max?: number
  /** Permits -1, Kafka's "off". */
  readonly unset?: boolean
}
/** Bytes; a bare number, or `64MiB`, `1GB`. */
export interface BytesSpec extends Common<number> {
  readonly type: 'bytes'
  readonly min?: number
  readonly max?: number
  readonly unset?: boolean
}
/** A YAML list, or Connect's comma-separated string. */
export interface ListSpec extends Common<readonly string[]> {
  readonly type: 'list'
  readonly nonEmpty?: boolean
  /** Elements are paths or globs, resolved against the YAML file. */
  readonly paths?: boolean
}
/** A file or folder; relative ones are resolved against the YAML file. */
export interface PathSpec extends Common<string> {
  readonly type: 'path'
}
/** Never printed. */
export interface SecretSpec extends Common<string> {
  readonly type: 'secret'
}

/**
 * Options whose names hold a part of their own, as Debezium's `column.mask.with.<length>.chars`: declared under what docs
 * call them, given under any name that fits. What stands behind `.salt.` in such a name is a secret and never printed.
 */
export interface FamilySpec extends Common<Readonly<Record<string, string | readonly string[]>>> {
  readonly type: 'family'
  /** Of the names: the source of a regular expression for a whole one. */
  readonly pattern: string
  /** What each of them is. */
  readonly member: ListSpec | StringSpec
}

type BaseValue<O> = O extends { readonly type: 'family'; readonly member: { readonly type: infer M } }
  ? Readonly<Record<string, M extends 'list' ? readonly string[] : string>>
  : O extends EnumSpec<infer V>
    ? V
    : O extends { readonly type: 'integer' | 'number' | 'duration' | 'bytes' }
      ? number
      : O extends { readonly type: 'boolean' }
        ? boolean
        : O extends { readonly type: 'list' }
          ? readonly string[]
          : string

/** The parsed values: `undefined` only where the default is null. */
export type OptionValues<S extends OptionSpecs> = {
  readonly [K in keyof S]: S[K] extends { readonly default: null } ? BaseValue<S[K]> | undefined : BaseValue<S[K]>
}

/** What is wrong with options of which each is fine by itself. */
export interface OptionProblem {
  /** Declared name of the option that the problem is told at. */
  readonly option: string
  /** `expected X, got Y`. Repeats no value: any of them may have come from a reference to a secret. */
  readonly message: string
}

/** Keeps the literal types of a declaration, so that OptionValues can be inferred from it. */
export function defineOptions<const S extends OptionSpecs>(specs: S): S {
  return specs
}
