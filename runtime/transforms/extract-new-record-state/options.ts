import { defineOptions, type OptionProblem, type OptionValues } from '../../api/index.ts'
import { problemOfReferences } from './field-reference.ts'

const HANDLING = 'delete.tombstone.handling.mode'

export const EXTRACT_OPTIONS = defineOptions({
  [HANDLING]: {
    type: 'enum',
    values: ['drop', 'tombstone', 'rewrite-with-tombstone', 'rewrite', 'delete-to-tombstone'],
    ignoreCase: true,
    default: 'tombstone',
    doc: 'What becomes of a delete and of the tombstone behind it. `drop`: neither goes on. `tombstone`: the delete becomes a null value, the tombstone is dropped; `delete-to-tombstone` the same without the schema of the value. `rewrite`: the delete becomes the last known row, every row gets `__deleted` (`true` or `false`), the tombstone is dropped; `rewrite-with-tombstone` keeps it.',
    importance: 'high',
  },
  'add.fields': {
    type: 'list',
    default: [],
    doc: 'Fields of the event that are added to the row: `op`, `ts_ms`, `table` and others of `source` by their bare names, any with its struct (`source.lsn`, `transaction.id`, `before.id`), renamed with a colon (`op:operation`). What an event does not have is left out.',
    validate: problemOfReferences,
    examples: [['op', 'source.ts_ms', 'source.lsn:position']],
  },
  'add.fields.prefix': {
    type: 'string',
    default: '__',
    doc: 'Stands before the names of `add.fields`; a struct follows it (`__source_lsn`).',
  },
  'add.headers': {
    type: 'list',
    default: [],
    doc: 'Fields of the event that become headers of the record, written as those of `add.fields`.',
    validate: problemOfReferences,
  },
  'add.headers.prefix': { type: 'string', default: '__', doc: 'Stands before the names of `add.headers`.' },
  'route.by.field': {
    type: 'string',
    default: '',
    doc: 'The topic is what this column of text holds (of a delete: held); where it is null the topic stays.',
  },
  'drop.fields.header.name': {
    type: 'string',
    default: null,
    doc: 'Takes out the fields that the header of this name lists.',
  },
  'drop.fields.from.key': { type: 'boolean', default: false, doc: '…out of the key as well.' },
  'drop.fields.keep.schema.compatible': {
    type: 'boolean',
    default: true,
    doc: 'Only optional fields are taken out, which a reader of the schema can miss. Without a schema all are.',
  },
  'replace.null.with.default': {
    type: 'boolean',
    default: false,
    doc: "A null in a column becomes the column's default, so that it cannot be told from one. Only with schemas. On under the name of Debezium's class.",
  },
  'drop.tombstones': {
    type: 'boolean',
    default: null,
    doc: `Of Debezium 2; taken where it says what \`${HANDLING}\` does.`,
    importance: 'low',
  },
  'delete.handling.mode': {
    type: 'enum',
    values: ['drop', 'rewrite', 'none'],
    ignoreCase: true,
    default: null,
    doc: `Of Debezium 2; taken where it says what \`${HANDLING}\` does.`,
    importance: 'low',
  },
})

export type ExtractOptions = OptionValues<typeof EXTRACT_OPTIONS>

/** Debezium 3 no longer looks at these two, and deletes then come in another form than they ask for. */
export function legacyProblems(options: ExtractOptions): readonly OptionProblem[] {
  const { 'drop.tombstones': dropTombstones, 'delete.handling.mode': deletes } = options
  if (dropTombstones === undefined && deletes === undefined) return []
  const meant = meaningOf(deletes ?? 'drop', dropTombstones ?? true)
  if (meant.includes(options[HANDLING])) return []
  const option = deletes === undefined ? 'drop.tombstones' : 'delete.handling.mode'
  return [{ option, message: `expected ${HANDLING}: ${meant[0]} in place of Debezium 2's options` }]
}

function meaningOf(deletes: 'drop' | 'rewrite' | 'none', dropTombstones: boolean): readonly string[] {
  if (deletes === 'rewrite') return [dropTombstones ? 'rewrite' : 'rewrite-with-tombstone']
  if (deletes === 'none' || !dropTombstones) return ['tombstone', 'delete-to-tombstone']
  return ['drop']
}
