import { type JsonValue, parseJson } from '../../api/index.ts'

/** One JSON object, every object in it without a prototype; or in words what was expected. Numbers are not rounded. */
export function parseJsonLine(text: string): Record<string, unknown> | string {
  try {
    const value = parseJson(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return `expected a JSON object, got ${nameOf(value)}`
    }
    return withoutPrototype(value) as Record<string, unknown>
  } catch (error) {
    // Only the kind: V8's message quotes the line, which stands in `message` already.
    return error instanceof RangeError
      ? 'expected JSON, got nesting too deep to read'
      : 'expected JSON, got something else'
  }
}

function withoutPrototype(value: JsonValue): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    for (const element of value as readonly JsonValue[]) withoutPrototype(element)
    return value
  }
  const members = value as Readonly<Record<string, JsonValue>>
  for (const key of Object.keys(members)) withoutPrototype(members[key]!)
  return Object.setPrototypeOf(value, null) as unknown
}

function nameOf(value: JsonValue): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`
}
