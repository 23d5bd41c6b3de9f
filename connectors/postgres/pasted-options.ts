import { defineOptions } from '../../runtime/api/index.ts'

const GROUP = "of Debezium's connector, so that its configurations load"

/**
 * Options of a pasted configuration that have one meaning here: taken where they say what is done anyway, so that nothing is
 * promised that is not done.
 */
export const PASTED_OPTIONS = defineOptions({
  'plugin.name': only('Decodes at the server', 'pgoutput'),
  'snapshot.locking.mode': only('Locks of a snapshot', 'none'),
  'snapshot.isolation.mode': only('Isolation of a snapshot', 'serializable', 'repeatable_read'),
  'snapshot.lock.timeout.ms': without('duration', 'a snapshot takes no locks'),
  'snapshot.delay.ms': none('Waits before a snapshot'),
  'streaming.delay.ms': none('Waits before the stream'),
  'incremental.snapshot.watermarking.strategy': only(
    'Marks of a snapshot beside the stream, which are messages in the WAL here',
    'insert_insert',
    'insert_delete',
  ),
  'read.only': without('boolean', 'a snapshot beside the stream writes to no table'),
  'xmin.fetch.interval.ms': none('Asks for the xmin of the slot; `source.xmin` is null'),
  'flush.lsn.source': only('Confirms to the server what is durable here', 'true'),
  'lsn.flush.mode': only('Confirms to the server what is durable here', 'connector'),
  'include.schema.changes': without('boolean', "PostgreSQL's log has no DDL"),
  'extended.headers.enabled': only('Headers of `__debezium.context`', 'true'),
  'event.processing.failure.handling.mode': only('What a change that cannot be read does', 'fail'),
  'topic.naming.strategy': only('Names of topics', 'io.debezium.schema.SchemaTopicNamingStrategy'),
  'max.batch.size': without('integer', 'a batch is about a megabyte'),
  'max.queue.size': without('integer', 'what is read ahead is bounded by source.buffer.bytes of the worker'),
  'max.queue.size.in.bytes': without('integer', 'what is read ahead is bounded by source.buffer.bytes of the worker'),
  'poll.interval.ms': without('duration', 'changes are read as they come'),
  'errors.max.retries': {
    type: 'integer',
    min: -1,
    max: -1,
    default: null,
    importance: 'low',
    group: GROUP,
    doc: 'What passes by itself is tried again for as long as it takes: -1.',
  },
  'retriable.restart.connector.wait.ms': without('duration', 'it is task.restart.backoff.ms of the worker'),
})

function only<const V extends readonly string[]>(what: string, ...values: V) {
  const doc = `${what}. Taken where it says what is done anyway.`
  return { type: 'enum', values, ignoreCase: true, default: null, importance: 'low', group: GROUP, doc } as const
}

function none(what: string) {
  const doc = `${what}. Taken where it says what is done anyway: 0.`
  return { type: 'duration', max: 0, default: null, importance: 'low', group: GROUP, doc } as const
}

function without<const T extends 'integer' | 'duration' | 'boolean'>(type: T, why: string) {
  return { type, default: null, importance: 'low', group: GROUP, doc: `Without effect: ${why}.` } as const
}
