import { defineOptions } from '../../runtime/api/index.ts'

const GROUP = "of Debezium's connector, so that its configurations load"
const CODE = 'nothing: classes of Java cannot be run here'
const CUSTOM = `${CODE}, so each mode is one of those that the option itself names`
const NO_DDL = "PostgreSQL's log has no DDL, and definitions are read from its catalogue"
const NO_JMX = 'figures are in the status and under /metrics'

/**
 * Options of a pasted configuration that have one meaning here: taken where they say what is done anyway, so that nothing is
 * promised that is not done; refused with what to do instead where something would be missing.
 */
export const PASTED_OPTIONS = defineOptions({
  'plugin.name': only('Decodes at the server', 'pgoutput'),
  'snapshot.locking.mode': only('Locks of a snapshot', 'none'),
  'snapshot.isolation.mode': only('Isolation of a snapshot', 'serializable', 'repeatable_read'),
  'snapshot.query.mode': only('What a snapshot selects', 'select_all'),
  'snapshot.lock.timeout.ms': without('duration', 'a snapshot takes no locks'),
  'snapshot.delay.ms': none('Waits before a snapshot'),
  'streaming.delay.ms': none('Waits before the stream'),
  'snapshot.max.threads.multiplier': without('integer', 'tables are read in parts of snapshot.fetch.size rows'),
  'legacy.snapshot.max.threads': without('boolean', 'parts of one table and of several are read at the same time'),
  'incremental.snapshot.watermarking.strategy': only(
    'Marks of a snapshot beside the stream, which are messages in the WAL here',
    'insert_insert',
    'insert_delete',
  ),
  'incremental.snapshot.allow.schema.changes': without('boolean', 'definitions may change while a table is read'),
  'read.only': without('boolean', 'a snapshot beside the stream writes to no table'),
  'signal.poll.interval.ms': without('duration', 'signals are followed as they come'),
  'xmin.fetch.interval.ms': none('Asks for the xmin of the slot; `source.xmin` is null'),
  'flush.lsn.source': only('Confirms to the server what is durable here', 'true'),
  'lsn.flush.mode': only('Confirms to the server what is durable here', 'connector'),
  'lsn.flush.timeout.ms': without('duration', 'to confirm is not waited for'),
  'lsn.flush.timeout.action': without('string', 'to confirm is not waited for'),
  'offset.mismatch.strategy': only('What a slot does that is ahead of what is durable here', 'trust_offset'),
  'include.schema.changes': without('boolean', NO_DDL),
  'include.schema.comments': without('boolean', 'schemas tell no comments'),
  'schema.refresh.mode': without('string', 'a definition is read anew whenever the stream tells of another'),
  'schema.history.<option>': family('schema\\.history\\..+', `Without effect: ${NO_DDL}.`),
  'extended.headers.enabled': only('Headers of `__debezium.context`', 'true'),
  'table.ignore.builtin': only('Leaves out schemas of the system', 'true'),
  'event.processing.failure.handling.mode': only('What a change that cannot be read does', 'fail'),
  'event.converting.failure.handling.mode': only('What a value that cannot be converted does', 'fail'),
  'topic.naming.strategy': only('Names of topics', 'io.debezium.schema.SchemaTopicNamingStrategy'),
  'topic.cache.size': without('integer', 'names of topics are made once per table'),
  'sourceinfo.struct.maker': only('Form of `source`', 'io.debezium.connector.postgresql.PostgresSourceInfoStructMaker'),
  'transaction.metadata.factory': only(
    'Form of transaction metadata',
    'io.debezium.pipeline.txmetadata.DefaultTransactionMetadataFactory',
  ),
  'max.batch.size': without('integer', 'a batch is about a megabyte'),
  'max.queue.size': without('integer', 'what is read ahead is bounded by source.buffer.bytes of the worker'),
  'max.queue.size.in.bytes': without('integer', 'what is read ahead is bounded by source.buffer.bytes of the worker'),
  'queue.provider.type': without('string', 'there is no queue between reading and writing'),
  'poll.interval.ms': without('duration', 'changes are read as they come'),
  'query.fetch.size': without('integer', 'the catalogue is asked for in one piece'),
  'database.query.timeout.ms': without('duration', 'a snapshot reads for as long as it takes'),
  'connection.validation.timeout.ms': without('duration', 'it is connection.timeout.ms'),
  'executor.shutdown.timeout.ms': without('duration', 'it is task.shutdown.graceful.timeout.ms of the worker'),
  'errors.max.retries': {
    type: 'string',
    default: null,
    importance: 'low',
    group: GROUP,
    doc: 'Taken where it says what is done anyway: what passes by itself is tried again for as long as it takes, which is -1.',
    validate: text =>
      text.trim() === '-1'
        ? undefined
        : '-1 or nothing: what passes by itself is tried again for as long as it takes, and all else stops the connector at once',
  },
  'retriable.restart.connector.wait.ms': without('duration', 'it is task.restart.backoff.ms of the worker'),
  'custom.metric.tags': without('string', NO_JMX),
  'custom.sanitize.pattern': without('string', 'secrets are never printed'),
  'statistics.metrics.enabled': without('boolean', NO_JMX),
  'openlineage.integration.enabled': only('Tells lineage to OpenLineage', 'false'),
  'openlineage.integration.<option>': family('openlineage\\.integration\\..+', 'Without effect: no lineage is told.'),
  'notification.enabled.channels': {
    type: 'list',
    default: [],
    importance: 'low',
    group: GROUP,
    doc: 'Taken where it says what is done anyway: the log tells how snapshots get on.',
    validate: channels =>
      channels.every(channel => channel === 'log')
        ? undefined
        : '`log` or nothing: how snapshots get on is in the log, the status and the metrics',
  },
  'notification.sink.topic.name': refused('nothing: how snapshots get on is in the log, the status and the metrics'),
  'signal.<channel>.<option>': refusedFamily(
    'signal\\.(?:kafka|file|consumer)(?:\\..+)?',
    'nothing: signals come by the table of signal.data.collection, `kts-connect signal` and REST',
  ),
  converters: refused(`${CODE}; values take their form by the options under "types"`),
  'post.processors': refused(`${CODE}; REPLICA IDENTITY FULL brings values that did not change`),
  'predefined.converters': refused(CODE),
  'snapshot.mode.custom.name': refused(CUSTOM),
  'snapshot.mode.configuration.based.<option>': refusedFamily('snapshot\\.mode\\.configuration\\.based\\..+', CUSTOM),
  'snapshot.locking.mode.custom.name': refused(CUSTOM),
  'snapshot.query.mode.custom.name': refused(CUSTOM),
  'database.sslfactory': refused(`${CODE}; database.sslmode and database.sslrootcert say what is checked`),
  'database.connection.factory.class': refused(CODE),
  'driver.<option>': refusedFamily(
    'driver\\..+',
    'nothing: there is no JDBC driver; settings of a session go into database.initial.statements',
  ),
  'database.server.name': refused('it as topic.prefix, as since Debezium 2'),
  'table.whitelist': refused('it as table.include.list, as since Debezium 2'),
  'table.blacklist': refused('it as table.exclude.list, as since Debezium 2'),
  'schema.whitelist': refused('it as schema.include.list, as since Debezium 2'),
  'schema.blacklist': refused('it as schema.exclude.list, as since Debezium 2'),
  'column.whitelist': refused('it as column.include.list, as since Debezium 2'),
  'column.blacklist': refused('it as column.exclude.list, as since Debezium 2'),
  'sanitize.field.names': refused('it as field.name.adjustment.mode: avro, as since Debezium 2'),
  'toasted.value.placeholder': refused('it as unavailable.value.placeholder, as since Debezium 2'),
})

function only<const V extends readonly string[]>(what: string, ...values: V) {
  const doc = `${what}. Taken where it says what is done anyway.`
  return { type: 'enum', values, ignoreCase: true, default: null, importance: 'low', group: GROUP, doc } as const
}

function none(what: string) {
  const doc = `${what}. Taken where it says what is done anyway: 0.`
  return { type: 'duration', max: 0, default: null, importance: 'low', group: GROUP, doc } as const
}

function without<const T extends 'integer' | 'duration' | 'boolean' | 'string'>(type: T, why: string) {
  return { type, default: null, importance: 'low', group: GROUP, doc: `Without effect: ${why}.` } as const
}

function family(pattern: string, doc: string, validate?: () => string) {
  const member = { type: 'string', literal: true, doc: '', ...(validate && { validate }) } as const
  return { type: 'family', pattern, member, default: {}, importance: 'low', group: GROUP, doc } as const
}

/** `instead` completes "expected …". */
function refused(instead: string) {
  const validate = () => instead
  return {
    type: 'string',
    literal: true,
    default: null,
    importance: 'low',
    group: GROUP,
    doc: docOf(instead),
    validate,
  } as const
}

function refusedFamily(pattern: string, instead: string) {
  return family(pattern, docOf(instead), () => instead)
}

function docOf(instead: string): string {
  return `Refused: ${instead.replace(/^nothing: /, '').replace(/^it as /, 'give it as ')}.`
}
