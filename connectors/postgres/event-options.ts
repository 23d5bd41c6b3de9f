import { defineOptions, type OptionProblem, type OptionValues } from '../../runtime/api/index.ts'
import { COLUMN_OPTIONS, columnProblems, isPattern, patternsProblem } from './column-options.ts'

export type EventOptions = OptionValues<typeof EVENT_OPTIONS>

/** What a change looks like in the log; names and defaults are Debezium's. */
export const EVENT_OPTIONS = defineOptions({
  'topic.prefix': {
    type: 'string',
    importance: 'high',
    doc: 'Begins the name of every topic of this connector (`<prefix>.<schema>.<table>`) and names the server in each event. Changing it later makes new topics.',
    examples: ['shop'],
    validate: value =>
      /^[A-Za-z0-9._-]+$/.test(value) ? undefined : 'letters, digits, `.`, `_` and `-` alone, as in a topic name',
  },
  'topic.delimiter': {
    type: 'string',
    default: '.',
    importance: 'low',
    doc: 'Stands between prefix, schema and table in the name of a topic.',
    validate: value => (/^[A-Za-z0-9._-]+$/.test(value) ? undefined : 'letters, digits, `.`, `_` and `-` alone'),
  },
  'tombstones.on.delete': {
    type: 'boolean',
    default: true,
    doc: 'Writes a record with the key alone behind each delete, so that a compacted topic forgets the row.',
  },
  'skipped.operations': {
    type: 'list',
    default: ['t'],
    doc: 'Changes that are left out: `c` inserts, `u` updates, `d` deletes, `t` truncates; `none` leaves out nothing.',
    examples: [['none'], ['t', 'd']],
    validate: skippedOperationsProblem,
  },
  'skip.messages.without.change': {
    type: 'boolean',
    default: false,
    doc: 'Leaves out an update that changed none of the columns that are in the rows. Tables need REPLICA IDENTITY FULL: without it nobody knows what was there before.',
  },
  'provide.transaction.metadata': {
    type: 'boolean',
    default: false,
    doc: 'Gives each change its place in its transaction (`transaction`), and a topic with the begin and end of every transaction that changed something.',
  },
  'topic.transaction': {
    type: 'string',
    default: 'transaction',
    importance: 'low',
    doc: 'Last part of the name of the topic of transactions, `<prefix>.transaction`.',
  },
  'schema.name.adjustment.mode': {
    type: 'enum',
    values: ['none', 'avro', 'avro_unicode'],
    default: 'none',
    importance: 'low',
    doc: 'How names of schemas are made fit for Avro: `avro` writes `_` for what it does not allow, `avro_unicode` writes `_uXXXX`, also for `_` itself.',
  },
  'field.name.adjustment.mode': {
    type: 'enum',
    values: ['none', 'avro', 'avro_unicode'],
    default: 'none',
    importance: 'low',
    doc: 'The same for names of columns. Two columns of a table that become one name are refused.',
  },
  'message.key.columns': {
    type: 'string',
    default: null,
    doc: 'Other columns than the primary key as key of the events of some tables: `<regular expression for schema.table>:<column>,<column>;…`. Deletes need them in the REPLICA IDENTITY of the table.',
    examples: ['public.orders:customer_id,id;audit[.].*:event_id'],
    validate: keyColumnsProblem,
  },
  'column.include.list': {
    type: 'list',
    default: [],
    doc: 'Regular expressions for `schema.table.column`, each for the whole name, in any case: only these columns are in the rows. Columns of the key stay in the key.',
    examples: [['public[.]users[.](id|name)']],
    validate: patternsProblem,
  },
  'column.exclude.list': {
    type: 'list',
    default: [],
    doc: 'As `column.include.list`, for columns to leave out. Only one of the two may be given.',
    examples: [['public[.]users[.]password_.*']],
    validate: patternsProblem,
  },
  ...COLUMN_OPTIONS,
  'message.prefix.include.list': {
    type: 'list',
    default: [],
    importance: 'low',
    doc: 'Regular expressions for prefixes of logical messages (`pg_logical_emit_message`): only these are written to `<prefix>.message`.',
    validate: patternsProblem,
  },
  'message.prefix.exclude.list': {
    type: 'list',
    default: [],
    importance: 'low',
    doc: 'As `message.prefix.include.list`, for messages to leave out. Only one of the two may be given.',
    validate: patternsProblem,
  },
  'heartbeat.interval.ms': {
    type: 'duration',
    default: 0,
    min: 0,
    importance: 'low',
    doc: 'How often a heartbeat is written to `<topic.heartbeat.prefix>.<topic.prefix>`; 0 writes none. The slot moves on without them: see `slot.heartbeat.interval.ms`.',
  },
  'topic.heartbeat.prefix': {
    type: 'string',
    default: '__debezium-heartbeat',
    importance: 'low',
    doc: 'Begins the name of the topic of heartbeats.',
  },
  'topic.heartbeat.name': {
    type: 'string',
    default: null,
    importance: 'low',
    doc: 'The whole name of the topic of heartbeats, which several connectors may share.',
  },
})

/** Which of these options do not fit together. */
export function eventProblems(options: EventOptions): OptionProblem[] {
  const both = (['column', 'message.prefix'] as const).flatMap(what => {
    const [include, exclude] = [`${what}.include.list`, `${what}.exclude.list`] as const
    if (options[include].length === 0 || options[exclude].length === 0) return []
    return [{ option: exclude, message: `expected only one of ${include} and ${exclude}, got both` }]
  })
  return [...both, ...columnProblems(options)]
}

const OPERATIONS: readonly string[] = ['c', 'u', 'd', 't', 'none']

function skippedOperationsProblem(operations: readonly string[]): string | undefined {
  if (!operations.every(operation => OPERATIONS.includes(operation))) return `some of ${OPERATIONS.join(', ')}`
  return operations.includes('none') && operations.length > 1 ? '`none` to stand alone' : undefined
}

function keyColumnsProblem(text: string): string | undefined {
  const form = '`<regular expression for schema.table>:<column>,<column>` with `;` between tables'
  for (const entry of text.split(';').filter(part => part.trim() !== '')) {
    const colon = entry.lastIndexOf(':')
    if (colon < 1 || entry.slice(colon + 1).trim() === '' || !isPattern(entry.slice(0, colon))) return form
  }
  return undefined
}
