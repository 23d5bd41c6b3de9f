import { type JsonObject, type JsonValue, stringifyJson } from '../base/index.ts'

/** JSON text that is the same for equal values, whatever the order of their members: what a key on disk must be. */
export function canonicalJson(value: JsonValue): string {
  return stringifyJson(sorted(value))
}

function sorted(value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(sorted)
  // A null prototype keeps a member called __proto__ a member.
  const out: Record<string, JsonValue> = Object.create(null)
  const object = value as JsonObject
  for (const name of Object.keys(object).sort()) out[name] = sorted(object[name]!)
  return out
}
