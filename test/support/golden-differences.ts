import type { JsonValue } from '../../base/index.ts'
import { type ChangeEvent, isObject, withoutColumns } from './golden-events.ts'

/** Where our events differ from Debezium's on purpose; docs/debezium-differences.md says the same in prose. */
export interface Difference {
  readonly reason: string
  /** Folders of the golden data that show it. */
  readonly runs: RegExp
  /** What we promise in place of what Debezium emitted. */
  adjust(events: readonly ChangeEvent[]): readonly ChangeEvent[]
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
]

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
    adjusted = adjust(before)
    if (adjusted.length === before.length && adjusted.every((event, i) => event === before[i]))
      throw new Error(`${run} does not show this difference: ${reason}`)
  }
  return adjusted
}
