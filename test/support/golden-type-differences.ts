import { isDeepStrictEqual } from 'node:util'
import type { JsonObject, JsonValue } from '../../base/index.ts'
import { adjustedField } from '../connectors/postgres/types-differences.ts'
import { typeOptions, type TypeOptions } from '../connectors/postgres/types-harness.ts'
import { type ChangeEvent, isObject, loadGoldenRun } from './golden-events.ts'
import { sharedData } from './shared-data.ts'

const INSERTS = /^inserts/

/** Columns that Debezium leaves out whatever it is set to, and the column in front of each. */
const LEFT_OUT: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  arrays2_table: [
    ['iva', 'tstza'],
    ['mna', 'iva'],
    ['pta', 'mna'],
  ],
}

interface Field {
  readonly before: { readonly schema: JsonObject | undefined; readonly values: readonly JsonValue[] }
  readonly after: { readonly schema: JsonObject | undefined; readonly values: readonly JsonValue[] }
}

/** The events of a types run with each column as types-differences.ts says that it is with us. */
export function withOurTypes(run: string, events: readonly ChangeEvent[]): readonly ChangeEvent[] {
  const { settings } = loadGoldenRun(sharedData('debezium-golden')!, run)
  const options = typeOptions(settings as unknown as Partial<TypeOptions>)
  const fields = new Map<string, Field>()
  const keys = new Map<string, number>()
  for (const topic of new Set(events.map(event => event.topic))) {
    const own = events.filter(event => event.topic === topic)
    const table = topic.slice(topic.lastIndexOf('.') + 1)
    const rows = (phase: RegExp) =>
      own.filter(event => phase.test(event.phase!)).flatMap(event => rowOf(event, 'after'))
    const inserted = rows(INSERTS)
    for (const phase of [/^snapshot$/, INSERTS])
      for (const [i, row] of rows(phase).entries()) keys.set(`${table} ${row.pk}`, i)
    const first = own.find(event => INSERTS.test(event.phase!))
    if (first === undefined) continue
    const names = Object.keys(inserted[0]!)
    for (const name of [...names, ...(LEFT_OUT[table] ?? []).map(([left]) => left)]) {
      const before = { schema: fieldSchema(first, name), values: inserted.map(row => row[name] ?? null) }
      fields.set(`${table}.${name}`, { before, after: adjustedField(`${table}.${name}`, options, before) })
    }
  }
  const includesUnknown = settings['include.unknown.datatypes'] === 'true'
  return events.map(event => adjusted(event, fields, keys, includesUnknown))
}

function adjusted(
  event: ChangeEvent,
  fields: ReadonlyMap<string, Field>,
  keys: ReadonlyMap<string, number>,
  includesUnknown: boolean,
): ChangeEvent {
  const { topic, value, valueSchema } = event
  if (!isObject(value) || !isObject(valueSchema)) return event
  const table = topic.slice(topic.lastIndexOf('.') + 1)
  const missing = includesUnknown ? (LEFT_OUT[table] ?? []) : []
  const row = (member: 'before' | 'after'): JsonValue => {
    const [found] = rowOf(event, member)
    if (found === undefined) return null
    const index = keys.get(`${table} ${found.pk}`)
    const changed = Object.entries(found).map(([name, old]): [string, JsonValue] => {
      const field = fields.get(`${table}.${name}`)
      // Of a deleted row only the key was sent.
      if (field === undefined || index === undefined || value.op === 'd') return [name, old]
      return [name, isDeepStrictEqual(old, field.before.values[index]) ? field.after.values[index]! : old]
    })
    return Object.fromEntries(
      inserted(changed, missing, name => [name, fields.get(`${table}.${name}`)!.after.values[index ?? 0] ?? null]),
    )
  }
  const rowSchema = (schema: JsonObject): JsonObject => {
    const members = (schema.fields as readonly JsonObject[]).map((field): [string, JsonValue] => {
      const name = String(field.field)
      const known = fields.get(`${table}.${name}`)
      return [name, known === undefined ? field : ourSchema(field, known)]
    })
    const all = inserted(members, missing, name => [name, named(fields.get(`${table}.${name}`)!.after.schema!, name)])
    return { ...schema, fields: all.map(([, field]) => field) }
  }
  const changedSchema = (valueSchema.fields as readonly JsonObject[]).map(field =>
    field.field === 'before' || field.field === 'after' ? rowSchema(field) : field,
  )
  const changed = {
    ...event,
    value: { ...value, before: row('before'), after: row('after') },
    valueSchema: { ...valueSchema, fields: changedSchema },
  }
  return isDeepStrictEqual(changed, event) ? event : changed
}

/** The schema that an adjusted field has; what an enum allows goes on as it went there. */
function ourSchema(field: JsonObject, { before, after }: Field): JsonObject {
  if (after.schema === undefined || isDeepStrictEqual(before.schema, after.schema)) return field
  const schema = named(after.schema, String(field.field))
  const [items, theirs] = [schema.items, field.items]
  if (!isObject(items) || !isObject(theirs) || !isObject(items.parameters) || !isObject(theirs.parameters))
    return schema
  return { ...schema, items: { ...items, parameters: theirs.parameters } }
}

/** Members in the order that JsonConverter writes them. */
function named(schema: JsonObject, field: string): JsonObject {
  return { ...ordered(schema), field }
}

function ordered(schema: JsonObject): JsonObject {
  const { type, items, fields, ...rest } = schema
  return {
    type: type!,
    ...(isObject(items) ? { items: ordered(items) } : {}),
    ...(fields === undefined ? {} : { fields }),
    ...rest,
  }
}

function inserted<T>(
  members: readonly (readonly [string, T])[],
  missing: readonly (readonly [string, string])[],
  make: (name: string) => readonly [string, T],
): (readonly [string, T])[] {
  const all = [...members]
  for (const [name, behind] of missing) all.splice(all.findIndex(([other]) => other === behind) + 1, 0, make(name))
  return all
}

function rowOf({ value }: ChangeEvent, member: 'before' | 'after'): JsonObject[] {
  const row = isObject(value) ? value[member] : undefined
  return isObject(row) ? [row] : []
}

/** Of a column, without its name. */
function fieldSchema({ valueSchema }: ChangeEvent, name: string): JsonObject | undefined {
  const rows = ((valueSchema as JsonObject).fields as readonly JsonObject[]).find(({ field }) => field === 'after')
  const found = (rows!.fields as readonly JsonObject[]).find(({ field }) => field === name)
  if (found === undefined) return undefined
  const { field: _, ...schema } = found
  return schema
}
