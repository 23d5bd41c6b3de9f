import { defineOptions, type OptionValues } from '../../runtime/api/index.ts'

export type SnapshotOptions = OptionValues<typeof SNAPSHOT_OPTIONS>

/** Names and meanings are Debezium's; where a default is not, the text says so. */
export const SNAPSHOT_OPTIONS = defineOptions({
  'snapshot.mode': {
    type: 'enum',
    values: ['always', 'initial', 'initial_only', 'no_data', 'when_needed'],
    ignoreCase: true,
    default: 'initial',
    importance: 'high',
    group: 'Snapshot',
    doc: 'Which rows are read before changes are: `initial` those of every captured table, once; `initial_only` the same, and then the connector is finished; `no_data` none, changes from now on; `when_needed` as `initial`, and again when the slot or its WAL was lost; `always` at every start.',
  },
  'snapshot.include.collection.list': {
    type: 'list',
    default: [],
    group: 'Snapshot',
    doc: 'Regular expressions, each of which must match a whole `schema.table`: only these of the captured tables are snapshotted. Empty: all of them.',
    examples: [['public.customers', 'sales\\..*']],
  },
  'snapshot.select.statement.overrides': {
    type: 'list',
    default: [],
    group: 'Snapshot',
    doc: 'Tables (`schema.table`) of which snapshots read some rows only: those of `snapshot.select.statement.overrides.<schema>.<table>`. Changes are told of all rows, and a snapshot that a signal asks for has conditions of its own.',
    examples: [['shop.orders']],
  },
  'snapshot.select.statement.overrides.<schema>.<table>': {
    type: 'family',
    pattern: 'snapshot\\.select\\.statement\\.overrides\\..+',
    member: { type: 'string', doc: '' },
    default: {},
    group: 'Snapshot',
    doc: "Which rows of such a table: `SELECT * FROM shop.orders WHERE created > now() - interval '1 year'`. It chooses rows by a condition, and nothing else: no join, limit or expression for a column, since rows are read in parts; an order has no effect.",
  },
  'snapshot.tables.order.by.row.count': {
    type: 'enum',
    values: ['disabled', 'ascending', 'descending'],
    ignoreCase: true,
    default: 'disabled',
    importance: 'low',
    group: 'Snapshot',
    doc: 'The order in which tables are snapshotted: that of `table.include.list` (`disabled`), or the smallest or the largest first, by the server’s estimate of their rows.',
  },
  'snapshot.max.threads': {
    type: 'integer',
    default: 1,
    min: 1,
    max: 64,
    group: 'Snapshot',
    doc: 'Connections that read at the same time, in parts of tables and in several tables. Rows come in the same order however many there are: what is read ahead waits in memory, 2 MiB per connection. One connection more has the next part ready.',
  },
  'snapshot.fetch.size': {
    type: 'integer',
    default: 131_072,
    min: 1,
    importance: 'low',
    group: 'Snapshot',
    doc: 'Rows in one part of a table, about: a killed snapshot goes on at the beginning of a part. (10240 in Debezium, where it is the size of a cursor.)',
  },
  'incremental.snapshot.chunk.size': {
    type: 'integer',
    default: 16_384,
    min: 1,
    importance: 'low',
    group: 'Snapshot',
    doc: 'Rows that a snapshot beside the stream reads and holds in memory at a time, about; fewer where they are large (8 MiB at most). (1024 in Debezium.)',
  },
  'signal.data.collection': {
    type: 'string',
    default: null,
    group: 'Signals',
    doc: 'Table whose inserted rows (`id`, `type`, `data`) are signals to the connector: `schema.table`. It must be captured.',
    examples: ['public.debezium_signal'],
  },
  'signal.enabled.channels': {
    type: 'list',
    default: ['source'],
    importance: 'low',
    group: 'Signals',
    doc: 'Where signals are taken from: `source` is the table of `signal.data.collection`. Those of the command line and of REST are always taken.',
    validate: channels =>
      channels.every(channel => channel === 'source')
        ? undefined
        : '`source` alone or nothing; instead of kafka, file and jmx there are `kts-connect signal` and REST',
  },
})
