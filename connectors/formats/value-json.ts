import type { Field, Schema } from '../../runtime/api/index.ts'
import { stringifyJson } from '../../runtime/api/index.ts'

/**
 * One value as one JSON text. With a schema structs are positional and become objects; bytes inside a value become
 * base64, as Connect's JsonConverter writes them; top-level bytes are taken for UTF-8 text. Throws TypeError for what JSON
 * cannot say.
 */
export function valueToJson(value: unknown, schema: Schema | undefined): string {
  if (value instanceof Uint8Array) return JSON.stringify(asText(value))
  return stringifyJson(plain(value ?? null, schema))
}

function plain(value: unknown, schema: Schema | undefined): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) return asBuffer(value).toString('base64')
  if (value instanceof Map) return plainMap(value, schema)
  if (Array.isArray(value)) {
    if (schema?.type === 'STRUCT') return plainStruct(value, schema.fields ?? [])
    return value.map(element => plain(element, schema?.valueSchema))
  }
  const copy: Record<string, unknown> = Object.create(null)
  for (const [name, member] of Object.entries(value)) copy[name] = plain(member, undefined)
  return copy
}

function plainStruct(row: readonly unknown[], fields: readonly Field[]): unknown {
  const copy: Record<string, unknown> = Object.create(null)
  for (const [i, field] of fields.entries()) {
    if (row[i] !== undefined) copy[field.name] = plain(row[i], field.schema)
  }
  return copy
}

/** As Connect: an object where keys are strings, else an array of pairs. */
function plainMap(map: ReadonlyMap<unknown, unknown>, schema: Schema | undefined): unknown {
  const entries = [...map].map(([k, v]) => [plain(k, schema?.keySchema), plain(v, schema?.valueSchema)] as const)
  if (!entries.every(([k]) => typeof k === 'string')) return entries
  const copy: Record<string, unknown> = Object.create(null)
  for (const [name, member] of entries) copy[name as string] = member
  return copy
}

function asText(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('utf8')
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
