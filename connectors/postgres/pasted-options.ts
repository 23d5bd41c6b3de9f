import { defineOptions } from '../../runtime/api/index.ts'

const GROUP = "of Debezium's connector, so that its configurations load"

/**
 * Options of a pasted configuration that have one meaning here: taken where they say what is done anyway, so that nothing is
 * promised that is not done.
 */
export const PASTED_OPTIONS = defineOptions({
  'plugin.name': only('Decodes at the server', 'pgoutput'),
  'snapshot.locking.mode': only('Locks of a snapshot', 'none'),
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

function without<const T extends 'integer' | 'duration'>(type: T, why: string) {
  return { type, default: null, importance: 'low', group: GROUP, doc: `Without effect: ${why}.` } as const
}
