import { type JsonObject, type JsonValue, parseJson, stringifyJson } from '../../base/index.ts'
import { type ChangeEvent, isObject, withoutColumns } from './golden-events.ts'
import { withOurTypes } from './golden-type-differences.ts'

/** Where our events differ from Debezium's on purpose; docs/debezium-differences.md says the same in prose. */
export interface Difference {
  readonly reason: string
  /** Folders of the golden data that show it. */
  readonly runs: RegExp
  /** What we promise in place of what Debezium emitted. */
  adjust(events: readonly ChangeEvent[], run: string): readonly ChangeEvent[]
}

export const DIFFERENCES: readonly Difference[] = [
  {
    reason: 'a date has one value in snapshot and stream: that of the proleptic Gregorian calendar',
    runs: /^pg15-types-(?!keep-null)/,
    adjust: events =>
      [
        'date_special_table.d',
        'not_null_table.cdate',
        'time_table.date',
        'time_table.date_pinf',
        'time_table.date_ninf',
      ]
        .map(name => name.split('.') as [string, string])
        .reduce((all, [table, column]) => copyColumn(all, table, column, { from: INSERTS, to: 'snapshot' }), events),
  },
  {
    reason: 'a date has one value in snapshot and stream, here of a table that this run captures',
    runs: /^pg15-types-keep-null/,
    adjust: events => copyColumn(events, 'not_null_table', 'cdate', { from: INSERTS, to: 'snapshot' }),
  },
  {
    reason: 'an array of arrays is nested; what Debezium writes of one differs in every run (see the list of types)',
    runs: /^pg15-types-(?!keep-null)/,
    adjust: events => copyColumn(events, 'arrays2_table', 'text2d', { from: INSERTS, to: 'snapshot' }),
  },
  {
    reason: "an hstore as a map has its keys in the server's order, not in that of Java's hashes",
    runs: /^pg15-types-string-micro-base64/,
    adjust: events =>
      events.map(event => (/\.(hstore_\w+|arrays2_table)$/.test(event.topic) ? hstoreOrder(event) : event)),
  },
  {
    reason: 'a column of type name has its value in the stream, too',
    runs: /^pg15-types-(default|double)/,
    adjust: events => copyColumn(events, 'misc_table', 'nm', { from: 'snapshot', to: INSERTS }),
  },
  {
    reason: 'a generated column that the server does not send in the stream is not in the snapshot either',
    runs: /^pg15-(types|semantics)/,
    adjust: events =>
      events.map(event => {
        if (event.phase !== 'snapshot') return event
        if (event.topic.endsWith('.defaults_table')) return withoutColumns(event, ['gen'])
        return event.topic.endsWith('.gen_col') ? withoutColumns(event, ['b']) : event
      }),
  },
  {
    reason: 'types have the forms of types-differences.ts, where each is told',
    runs: /^pg15-types/,
    adjust: (events, run) => withOurTypes(run, events),
  },
  {
    reason: 'a streamed change says that it is not of a snapshot, whatever the converter does with a NULL',
    runs: /^pg15-types-keep-null/,
    adjust: events =>
      events.map(event => {
        if (!isObject(event.value) || !isObject(event.value.source) || event.value.source.snapshot !== null)
          return event
        return { ...event, value: { ...event.value, source: { ...event.value.source, snapshot: 'false' } } }
      }),
  },
  {
    reason: "a transaction's end counts logical messages by their topic, not by the identity of a Java object",
    runs: /^pg15-semantics-txmeta/,
    adjust: events =>
      events.map(event => {
        const text = stringifyJson(event.value)
        const ours = text.replaceAll(/"io\.debezium[\w.$]+LogicalDecodingMessageId@\w+"/g, '"golden.message"')
        return ours === text ? event : { ...event, value: parseJson(ours) }
      }),
  },
  {
    reason: 'a table with REPLICA IDENTITY USING INDEX is keyed by that index: its columns are what deletes bring',
    runs: /^pg15-semantics/,
    adjust: keyedByEmail,
  },
  {
    reason: 'a partitioned table is in the snapshot once: as its partitions, or as its root when that is published',
    runs: /^pg15-semantics-(default|txmeta)/,
    adjust: events => events.filter(({ topic, phase }) => topic !== 'golden.public.parts' || phase !== 'snapshot'),
  },
  {
    reason: 'a partitioned table is in the snapshot once: as its root where that is published',
    runs: /^pg15-semantics-alt/,
    adjust: events => events.filter(({ topic, phase }) => !/\.parts_\w+$/.test(topic) || phase !== 'snapshot'),
  },
]

/** Shorter keys first, then by bytes. */
function hstoreOrder(event: ChangeEvent): ChangeEvent {
  const ordered = (value: JsonValue): JsonValue => {
    if (Array.isArray(value)) return (value as readonly JsonValue[]).map(ordered)
    if (!isObject(value)) return value
    const size = (key: string) => Buffer.byteLength(key)
    const keys = Object.keys(value).sort((a, b) => size(a) - size(b) || Buffer.compare(Buffer.from(a), Buffer.from(b)))
    return Object.fromEntries(keys.map(key => [key, value[key]!]))
  }
  const after = afterOf(event.value)
  if (after === undefined || !isObject(event.value)) return event
  const row = Object.fromEntries(
    Object.entries(after).map(([name, value]) => [name, /^hs/.test(name) ? ordered(value) : value]),
  )
  return { ...event, value: { ...event.value, after: row } }
}

/** Events of ri_index, whose identity is the index of `email` and whose primary key is `id`. */
function keyedByEmail(events: readonly ChangeEvent[]): readonly ChangeEvent[] {
  const own = events.filter(({ topic }) => topic === 'golden.public.ri_index')
  let deleted: JsonValue = null
  const keys = new Map<ChangeEvent, JsonValue>()
  for (const event of own) {
    const value = isObject(event.value) ? event.value : undefined
    if (value?.op === 'd') deleted = { email: (value.before as JsonObject).email! }
    keys.set(event, isObject(value?.after) ? { email: value.after.email! } : deleted)
  }
  const neighbour = (event: ChangeEvent, step: 1 | -1): JsonValue => {
    let at = own.indexOf(event)
    while (own[at] !== undefined && stringifyJson(keys.get(own[at]!)) === stringifyJson(keys.get(event))) at += step
    return keys.get(own[at]!) ?? null
  }
  return events.map(event => {
    const key = keys.get(event)
    if (key === undefined || !isObject(event.keySchema)) return event
    const [field] = event.keySchema.fields as readonly JsonObject[]
    const headers = event.headers.map(([name, text]): readonly [string, string] => {
      if (name === '__debezium.newkey') return [name, stringifyJson(neighbour(event, 1))]
      return [name, name === '__debezium.oldkey' ? stringifyJson(neighbour(event, -1)) : text]
    })
    const keySchema = { ...event.keySchema, fields: [{ ...field, type: 'string', field: 'email' }] }
    return { ...event, headers, key, keySchema }
  })
}

const INSERTS = 'inserts (the statements of 02-data.sql again, every table)'

/** The values that a column has in the rows of one phase, in those of another: both hold the same rows in one order. */
function copyColumn(
  events: readonly ChangeEvent[],
  table: string,
  column: string,
  { from, to }: { from: string; to: string },
): readonly ChangeEvent[] {
  const topic = `golden.public.${table}`
  const rows = (phase: string) =>
    events.filter(event => event.topic === topic && event.phase === phase && isObject(event.value))
  const values = rows(from).map(({ value }) => afterOf(value)?.[column])
  const targets = rows(to)
  return events.map(event => {
    const value = values[targets.indexOf(event)]
    const after = afterOf(event.value)
    if (value === undefined || after === undefined || value === after[column] || !isObject(event.value)) return event
    return { ...event, value: { ...event.value, after: { ...after, [column]: value } } }
  })
}

function afterOf(value: JsonValue) {
  const after = isObject(value) ? value.after : undefined
  return isObject(after) ? after : undefined
}

/** What ours is held against. Throws for a difference that changes nothing: it is not one, and hides what comes later. */
export function withDifferences(run: string, events: readonly ChangeEvent[]): readonly ChangeEvent[] {
  let adjusted = events
  for (const { reason, runs, adjust } of DIFFERENCES) {
    if (!runs.test(run)) continue
    const before = adjusted
    adjusted = adjust(before, run)
    if (adjusted.length === before.length && adjusted.every((event, i) => event === before[i]))
      throw new Error(`${run} does not show this difference: ${reason}`)
  }
  return adjusted
}
