import { defineOptions, type OptionValues } from '../../runtime/api/index.ts'
import { identityRulesProblem } from './replica-identity-rules.ts'

const SLOT = 'slot'
const TABLES = 'tables'

/** The server's rule for names of slots. */
function validSlotName(name: string): string | undefined {
  return /^[a-z0-9_]{1,63}$/.test(name) ? undefined : 'a slot name of 1 to 63 lower case letters, digits and _'
}

function validPublicationName(name: string): string | undefined {
  const size = Buffer.byteLength(name)
  return size >= 1 && size <= 63 && !name.includes('\0') ? undefined : 'a publication name of 1 to 63 bytes'
}

/** Names, meanings and defaults are Debezium's, but for those of the slot's heartbeat and of a full disk, which are ours. */
export const SLOT_OPTIONS = defineOptions({
  'slot.name': {
    type: 'string',
    default: 'debezium',
    importance: 'high',
    group: SLOT,
    validate: validSlotName,
    doc: 'Replication slot that keeps the place in the write-ahead log; made when there is none. One connector has it for itself, across all databases of the server.',
    examples: ['kts_orders'],
  },
  'slot.failover': {
    type: 'boolean',
    default: false,
    group: SLOT,
    doc: 'Makes the slot one that standbys keep a copy of, also where it is there without, so that capture goes on after a failover. PostgreSQL 17 and later; the standbys need sync_replication_slots.',
  },
  'slot.drop.on.stop': {
    type: 'boolean',
    default: false,
    importance: 'low',
    group: SLOT,
    doc: 'Drops the slot whenever the connector stops: changes made meanwhile are lost, so the next start needs a new snapshot. For tests.',
  },
  'slot.max.retries': {
    type: 'integer',
    default: 6,
    min: 0,
    importance: 'low',
    group: SLOT,
    doc: 'How often a slot that another connection has is asked for again, `slot.retry.delay.ms` apart.',
  },
  'slot.retry.delay.ms': {
    type: 'duration',
    default: 10_000,
    min: 1,
    importance: 'low',
    group: SLOT,
    doc: 'Wait between those attempts.',
  },
  'slot.heartbeat.interval.ms': {
    type: 'duration',
    default: 10_000,
    min: 0,
    group: SLOT,
    doc: 'How often a tiny message is written to the write-ahead log (pg_logical_emit_message), so that the slot moves on and holds no WAL while the captured tables are idle; 0 for never.',
  },
  'heartbeat.action.query': {
    type: 'string',
    default: null,
    importance: 'low',
    group: SLOT,
    doc: 'SQL that is run as well at each heartbeat, or each `heartbeat.interval.ms` where the one of the slot is off.',
    examples: ['INSERT INTO heartbeat (ts) VALUES (now())'],
  },
  'status.update.interval.ms': {
    type: 'duration',
    default: 10_000,
    min: 10,
    importance: 'low',
    group: SLOT,
    doc: 'How often a place in the log without events is written down, at the latest; of what is durable the server is told at least as often, and each second.',
  },
  'log.disk.full.policy': {
    type: 'enum',
    ignoreCase: true,
    values: ['block', 'release'],
    default: 'block',
    group: SLOT,
    doc: "What to do once our log's disk reserve is reached: block waits for room, while the server keeps the WAL that is not read yet (its disk may fill, or the slot be invalidated by max_slot_wal_keep_size); release drops the slot, so the server is safe and a new snapshot is needed.",
  },
  'publication.name': {
    type: 'string',
    default: 'dbz_publication',
    group: SLOT,
    validate: validPublicationName,
    doc: 'Publication that names the captured tables.',
    examples: ['kts_orders'],
  },
  'publication.autocreate.mode': {
    type: 'enum',
    ignoreCase: true,
    values: ['all_tables', 'disabled', 'filtered', 'no_tables'],
    default: 'all_tables',
    group: SLOT,
    doc: 'What is done about the publication: all_tables makes one FOR ALL TABLES when there is none (needs a superuser), filtered keeps one with just the tables that the lists match (needs to own them), no_tables makes an empty one, disabled expects it to be there.',
  },
  'publish.via.partition.root': {
    type: 'boolean',
    default: false,
    importance: 'low',
    group: SLOT,
    doc: 'Changes of a partition are those of the partitioned table, in its topic. Of a publication that is made or kept here.',
  },
  'replica.identity.autoset.values': {
    type: 'list',
    default: [],
    group: SLOT,
    doc: 'Gives captured tables a replica identity when the connector starts or meets them: `<regular expression for schema.table>:<DEFAULT, FULL, NOTHING or INDEX name>`. Our role needs to own them.',
    examples: [['public.orders:FULL', 'audit[.].*:INDEX audit_key']],
    validate: identityRulesProblem,
  },
  'slot.stream.params': {
    type: 'enum',
    values: ['binary=false', 'binary=true'],
    default: 'binary=false',
    importance: 'low',
    group: SLOT,
    doc: 'Parameters of the decoder at the server: `binary=true` has it send values in their binary form where all captured types have one. That is not faster: most of the text goes into JSON as it is. Of a connector that starts for the first time; it may fall back to text, and never goes back.',
  },
  'guardrail.collections.max': {
    type: 'integer',
    default: 0,
    min: 0,
    importance: 'low',
    group: TABLES,
    doc: 'Most tables that a start may find captured; 0 for any number.',
  },
  'guardrail.collections.limit.action': {
    type: 'enum',
    ignoreCase: true,
    values: ['warn', 'fail'],
    default: 'warn',
    importance: 'low',
    group: TABLES,
    doc: 'What is done about more: the log warns, or the connector stops before it reads anything.',
  },
  'schema.include.list': {
    type: 'list',
    default: [],
    group: TABLES,
    doc: 'Regular expressions for schemas that are captured, each for the whole name, upper and lower case alike; all when left out.',
    examples: [['public', 'shop_.*']],
  },
  'schema.exclude.list': {
    type: 'list',
    default: [],
    group: TABLES,
    doc: 'Regular expressions for schemas that are not captured.',
  },
  'table.include.list': {
    type: 'list',
    default: [],
    importance: 'high',
    group: TABLES,
    doc: 'Regular expressions for tables that are captured, each for the whole name with its schema, upper and lower case alike; all when left out.',
    examples: [['public\\.orders', 'public\\.order_items']],
  },
  'table.exclude.list': {
    type: 'list',
    default: [],
    group: TABLES,
    doc: 'Regular expressions for tables that are not captured.',
  },
})

export type SlotOptions = OptionValues<typeof SLOT_OPTIONS>
