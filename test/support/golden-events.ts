import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { type JsonObject, type JsonValue, parseJson, stringifyJson } from '../../base/index.ts'

/** A change event as Connect's JsonConverter wrote it, with schemas. Numbers are exact: past 2^53 they are bigint. */
export interface ChangeEvent {
  readonly topic: string
  /** Names the block of the script that it came from; undefined where nobody computed it. */
  readonly phase?: string | undefined
  /** Values as text: a string itself, anything else as JSON. */
  readonly headers: readonly (readonly [string, string])[]
  readonly keySchema: JsonValue
  readonly key: JsonValue
  readonly valueSchema: JsonValue
  readonly value: JsonValue
}

export interface GoldenRun {
  readonly name: string
  /** Everything that was set. */
  readonly settings: Readonly<Record<string, string>>
  readonly events: readonly ChangeEvent[]
  readonly digests: readonly Digest[]
}

/** Of the events of one topic in one phase. */
export interface Digest {
  readonly phase: string
  readonly topic: string
  readonly count: number
  readonly sha256_sorted: string
  readonly sha256_in_order: string
}

/** One run of the real Debezium; `folder` is that of all of them. */
export function loadGoldenRun(folder: string, name: string): GoldenRun {
  const text = (file: string) => readMaybeZipped(join(folder, name, file))
  const { schemas } = parseJson(text('schemas.json')!) as { schemas: JsonObject }
  const schema = (id: JsonValue | undefined) => (typeof id === 'string' ? schemas[id]! : null)
  const events = text('events.jsonl')!
    .split('\n')
    .filter(line => line !== '')
    .map(line => {
      const { topic, phase, headers, ks, vs, key, value } = parseJson(line) as JsonObject
      return {
        topic: String(topic),
        phase: String(phase),
        headers: (headers as readonly JsonObject[]).map(h => [String(h.key), headerText(h.value!)] as const),
        keySchema: schema(ks),
        key: key ?? null,
        valueSchema: schema(vs),
        value: value ?? null,
      }
    })
  const digests = text('digests.json')
  return {
    name,
    settings: JSON.parse(text('connector.json')!) as Record<string, string>,
    events,
    digests: digests === undefined ? [] : (JSON.parse(digests) as Digest[]),
  }
}

export function readMaybeZipped(path: string): string | undefined {
  if (existsSync(path)) return readFileSync(path, 'utf8')
  return existsSync(`${path}.gz`) ? gunzipSync(readFileSync(`${path}.gz`)).toString() : undefined
}

export function headerText(value: JsonValue): string {
  return typeof value === 'string' ? value : stringifyJson(value)
}

export interface Phase {
  readonly name: string
  readonly sql: string
}

/** The blocks of a script, which begin with `-- PHASE: name`. */
export function scriptPhases(script: string): Phase[] {
  const parts = script.split(/^-- PHASE: (.*)$/m)
  const phases: Phase[] = []
  for (let i = 1; i + 1 < parts.length; i += 2) {
    const [name, sql] = [parts[i]!.trim(), parts[i + 1]!]
    if (sql.trim() !== '') phases.push({ name, sql })
  }
  return phases
}

const VOLATILE_TIMES = ['ts_ms', 'ts_us', 'ts_ns']
const VOLATILE_SOURCE = [...VOLATILE_TIMES, 'lsn', 'txId', 'sequence', 'xmin', 'origin_lsn', 'version']
/** Values that differ in every run, by topic without its prefix. */
const VOLATILE_COLUMNS: Readonly<Record<string, readonly string[]>> = {
  'public.defaults_table': ['now_ts', 'u'],
  'public.times': ['tsd'],
}

/** The event without what differs in every run (the list is in the data's README). */
export function stableEvent(event: ChangeEvent, prefix: string): ChangeEvent {
  const table = event.topic.slice(prefix.length + 1)
  const headers = event.headers.filter(([name]) => name !== '__debezium.context.runId')
  if (event.topic === `${prefix}.transaction`) return { ...event, headers, ...stableTransaction(event) }
  return { ...event, headers, value: stableValue(event.value, VOLATILE_COLUMNS[table] ?? []) }
}

function stableTransaction({ key, value }: ChangeEvent): Pick<ChangeEvent, 'key' | 'value'> {
  if (!isObject(value) || !isObject(key)) return { key, value }
  const collections = value.data_collections
  const sorted = Array.isArray(collections) ? sortedBy(collections as readonly JsonObject[], 'data_collection') : null
  return { key: without(key, ['id']), value: { ...without(value, ['id', 'ts_ms']), data_collections: sorted } }
}

function stableValue(value: JsonValue, columns: readonly string[]): JsonValue {
  if (!isObject(value)) return value
  const out: Record<string, JsonValue> = {}
  for (const [name, member] of Object.entries(value)) {
    if (VOLATILE_TIMES.includes(name)) continue
    if (name === 'source' && isObject(member)) out[name] = without(member, VOLATILE_SOURCE)
    else if (name === 'transaction' && isObject(member)) out[name] = without(member, ['id'])
    else if ((name === 'before' || name === 'after') && isObject(member)) out[name] = without(member, columns)
    else out[name] = member
  }
  return out
}

function without(object: JsonObject, names: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)))
}

function sortedBy(objects: readonly JsonObject[], name: string): JsonObject[] {
  return [...objects].sort((a, b) => (String(a[name]) < String(b[name]) ? -1 : 1))
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The event of a table without these columns, in rows and schema. */
export function withoutColumns(event: ChangeEvent, names: readonly string[]): ChangeEvent {
  const row = (value: JsonValue | undefined) => (isObject(value) ? without(value, names) : (value ?? null))
  const fieldsWithout = (schema: JsonObject) => ({
    ...schema,
    fields: (schema.fields as readonly JsonObject[]).filter(({ field }) => !names.includes(String(field))),
  })
  const { value, valueSchema } = event
  if (!isObject(value) || !isObject(valueSchema)) return event
  const fields = (valueSchema.fields as readonly JsonObject[]).map(field =>
    field.field === 'before' || field.field === 'after' ? fieldsWithout(field) : field,
  )
  return {
    ...event,
    value: { ...value, before: row(value.before), after: row(value.after) },
    valueSchema: { ...valueSchema, fields },
  }
}
