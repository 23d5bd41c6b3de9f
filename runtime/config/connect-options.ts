import { defineOptions } from '../api/index.ts'

const GROUP = "of Kafka Connect's sources, so that their configurations load"

/** Connect's options of sources that have one meaning here: taken where they say what is done anyway. */
export const CONNECT_OPTIONS = defineOptions({
  'exactly.once.support': only('Writes records and positions together, once', 'requested', 'required'),
  'header.converter': only('Form of headers', 'org.apache.kafka.connect.storage.SimpleHeaderConverter'),
  'header.converter.schemas.enable': only('Schemas in headers', 'false'),
  'errors.log.include.messages': only('Bad records in the log of the process', 'false'),
  'errors.retry.timeout': without('duration', 'what passes by itself is tried again for as long as it takes'),
  'errors.retry.delay.max.ms': without('duration', 'it is task.restart.backoff.max.ms of the worker'),
  'config.action.reload': without('string', 'files of secrets are read again at SIGHUP'),
  'offsets.storage.topic': without('string', 'positions are kept in the log, with the records that they are of'),
  'tasks.max.enforce': without('boolean', 'there are never more tasks than tasks.max'),
  'producer.override.<option>': {
    type: 'family',
    pattern: 'producer\\.override\\..+',
    member: { type: 'string', literal: true, doc: '' },
    default: {},
    importance: 'low',
    group: GROUP,
    doc: 'Without effect: records go into the log without a producer. How large one may be the topic says (max.message.bytes).',
  },
})

function only<const V extends readonly string[]>(what: string, ...values: V) {
  const doc = `${what}. Taken where it says what is done anyway.`
  return { type: 'enum', values, ignoreCase: true, default: null, importance: 'low', group: GROUP, doc } as const
}

function without<const T extends 'duration' | 'boolean' | 'string'>(type: T, why: string) {
  const unset = type === 'duration' ? { unset: true } : {}
  return { type, ...unset, default: null, importance: 'low', group: GROUP, doc: `Without effect: ${why}.` } as const
}
