/**
 * Connect's data model (org.apache.kafka.connect.data). A schema object is made once per version and shared by every
 * record that has it, so encoders cache by identity. With a schema a struct is an array of values in field order; without
 * one it is a plain object.
 *
 * | type | value |
 * |---|---|
 * | INT8, INT16, INT32, FLOAT32, FLOAT64 | number |
 * | INT64 | number when safe, else bigint |
 * | BOOLEAN, STRING | boolean, string |
 * | BYTES | Uint8Array |
 * | ARRAY | array; MAP: Map; STRUCT: array in field order (`undefined` = absent, `null` = null) |
 *
 * Logical types are a type plus a name: Decimal (BYTES; `{unscaled: bigint, scale}`), Date, Time, Timestamp (integers).
 */
export type SchemaType =
  | 'INT8'
  | 'INT16'
  | 'INT32'
  | 'INT64'
  | 'FLOAT32'
  | 'FLOAT64'
  | 'BOOLEAN'
  | 'STRING'
  | 'BYTES'
  | 'ARRAY'
  | 'MAP'
  | 'STRUCT'

export interface Schema {
  readonly type: SchemaType
  readonly optional: boolean
  /** Name of the struct or of the logical type, e.g. `org.apache.kafka.connect.data.Timestamp`. */
  readonly name?: string
  readonly version?: number
  readonly doc?: string
  readonly default?: unknown
  readonly parameters?: Readonly<Record<string, string>>
  /** STRUCT only, in order. */
  readonly fields?: readonly Field[]
  /** MAP only. */
  readonly keySchema?: Schema
  /** ARRAY and MAP. */
  readonly valueSchema?: Schema
}

export interface Field {
  readonly name: string
  readonly schema: Schema
}

export interface Decimal {
  readonly unscaled: bigint
  readonly scale: number
}
