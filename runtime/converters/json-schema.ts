import { type ConnectJson, type Field, RecordError, type Schema, type SchemaType, stringText } from '../api/index.ts'
import { JsonReader } from './json-reader.ts'

/** Connect's names of types in JSON (JsonSchema.java). */
const NAMES: Readonly<Record<SchemaType, string>> = {
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FLOAT32: 'float',
  FLOAT64: 'double',
  BOOLEAN: 'boolean',
  STRING: 'string',
  BYTES: 'bytes',
  ARRAY: 'array',
  MAP: 'map',
  STRUCT: 'struct',
}

const TYPES: ReadonlyMap<unknown, SchemaType> = new Map(
  Object.entries(NAMES).map(([type, name]) => [name, type as SchemaType]),
)

type JsonMap = Readonly<Record<string, unknown>>

/** A schema as Connect's JsonConverter writes it, member by member in its order. `json` writes the defaults. */
export function schemaText(schema: Schema, json: ConnectJson, field?: string): string {
  const members = [`"type":"${NAMES[schema.type]}"`]
  const nested = (of: Schema | undefined) => (of === undefined ? 'null' : schemaText(of, json))
  if (schema.type === 'ARRAY') members.push(`"items":${nested(schema.valueSchema)}`)
  if (schema.type === 'MAP')
    members.push(`"keys":${nested(schema.keySchema)}`, `"values":${nested(schema.valueSchema)}`)
  if (schema.type === 'STRUCT') {
    const fields = (schema.fields ?? []).map(({ name, schema: of }) => schemaText(of, json, name))
    members.push(`"fields":[${fields.join(',')}]`)
  }
  members.push(`"optional":${schema.optional}`)
  if (schema.name !== undefined) members.push(`"name":${stringText(schema.name)}`)
  if (schema.version !== undefined) members.push(`"version":${schema.version}`)
  if (schema.doc !== undefined) members.push(`"doc":${stringText(schema.doc)}`)
  if (schema.parameters !== undefined) {
    const parameters = Object.entries(schema.parameters).map(
      ([name, text]) => `${stringText(name)}:${stringText(text)}`,
    )
    members.push(`"parameters":{${parameters.join(',')}}`)
  }
  if ((schema.default ?? null) !== null) members.push(`"default":${json.text(schema, schema.default)}`)
  if (field !== undefined) members.push(`"field":${stringText(field)}`)
  return `{${members.join(',')}}`
}

/**
 * The schema that a parsed JSON text describes; `exact`: parsed by parseJsonExact. Throws RecordError for one that is none,
 * InexactNumber where it must be parsed exactly.
 */
export function readSchema(json: unknown, exact: boolean): Schema {
  const type = isMap(json) ? TYPES.get(json.type) : undefined
  if (!isMap(json) || type === undefined) {
    const got = isMap(json) && typeof json.type === 'string' ? JSON.stringify(json.type) : 'none'
    throw new RecordError(`expected a schema with a type (${[...TYPES.keys()].join(', ')}), got ${got}`)
  }
  const schema: Schema = {
    type,
    optional: json.optional === true,
    ...(typeof json.name === 'string' && { name: json.name }),
    ...(Number.isInteger(json.version) && { version: json.version as number }),
    ...(typeof json.doc === 'string' && { doc: json.doc }),
    ...(isMap(json.parameters) && { parameters: readParameters(json.parameters) }),
    ...(type === 'STRUCT' && { fields: readFields(json.fields, exact) }),
    ...(type === 'MAP' && { keySchema: readPart(json.keys, 'keys of a map', exact) }),
    ...(type === 'MAP' && { valueSchema: readPart(json.values, 'values of a map', exact) }),
    ...(type === 'ARRAY' && { valueSchema: readPart(json.items, 'items of an array', exact) }),
  }
  const given = json.default ?? null
  if (given === null) return schema
  const reader = new JsonReader(schema, false)
  reader.exact = exact
  return { ...schema, default: reader.read(given) }
}

function readParameters(parameters: JsonMap): Readonly<Record<string, string>> {
  const entries = Object.entries(parameters)
  if (entries.every((entry): entry is [string, string] => typeof entry[1] === 'string'))
    return Object.fromEntries(entries)
  throw new RecordError('expected schema parameters that are text, got others')
}

function readFields(fields: unknown, exact: boolean): readonly Field[] {
  if (!Array.isArray(fields)) throw new RecordError('expected a list of fields in the schema of a struct, got none')
  return fields.map(field => {
    const name: unknown = isMap(field) ? field.field : undefined
    if (typeof name !== 'string')
      throw new RecordError('expected a name ("field") with each field of a struct, got none')
    return { name, schema: readSchema(field, exact) }
  })
}

function readPart(json: unknown, what: string, exact: boolean): Schema {
  if (json === undefined || json === null) throw new RecordError(`expected a schema for the ${what}, got none`)
  return readSchema(json, exact)
}

function isMap(json: unknown): json is JsonMap {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}
