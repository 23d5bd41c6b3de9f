import { defineOptions } from '../api/index.ts'
import { CONVERTER_NAMES } from '../converters/index.ts'

const MINUTE = 60_000

/** Completes "expected …" for a name that no converter has. */
const isConverter = (name: string) =>
  CONVERTER_NAMES.includes(name)
    ? undefined
    : `a converter (${CONVERTER_NAMES.filter(n => !n.includes('.')).join(', ')})`

/** Of a topic, and of a connector. */
const CONVERTERS = {
  'key.converter': {
    type: 'string',
    default: null,
    validate: isConverter,
    doc: 'How keys are encoded: bytes, string or json. What a connector says goes before what the topic says; a topic remembers what its source wrote.',
  },
  'key.converter.schemas.enable': {
    type: 'boolean',
    default: null,
    importance: 'low',
    doc: 'JSON keys have their schema beside them: `{"schema":…,"payload":…}`. Default: false for `json`, true for the Java class.',
  },
  'key.converter.replace.null.with.default': {
    type: 'boolean',
    default: null,
    importance: 'low',
    doc: 'A null in a JSON key becomes the default of its schema, where that has one. Default: false for `json`, true for the Java class.',
  },
  'key.converter.decimal.format': {
    type: 'enum',
    values: ['BASE64', 'NUMERIC'],
    ignoreCase: true,
    default: null,
    importance: 'low',
    doc: 'Decimals in JSON keys: `BASE64` of the unscaled bytes (the default), or `NUMERIC`.',
  },
  'key.converter.schemas.cache.size': {
    type: 'integer',
    default: null,
    importance: 'low',
    doc: 'Most schemas that a reader of JSON keys keeps; 1000 by default.',
  },
  'value.converter': {
    type: 'string',
    default: null,
    validate: isConverter,
    doc: 'How values are encoded: bytes, string or json. What a connector says goes before what the topic says; a topic remembers what its source wrote.',
  },
  'value.converter.schemas.enable': {
    type: 'boolean',
    default: null,
    importance: 'low',
    doc: 'JSON values have their schema beside them: `{"schema":…,"payload":…}`. Default: false for `json`, true for the Java class.',
  },
  'value.converter.replace.null.with.default': {
    type: 'boolean',
    default: null,
    importance: 'low',
    doc: 'A null in a JSON value becomes the default of its schema, where that has one. Default: false for `json`, true for the Java class.',
  },
  'value.converter.decimal.format': {
    type: 'enum',
    values: ['BASE64', 'NUMERIC'],
    ignoreCase: true,
    default: null,
    importance: 'low',
    doc: 'Decimals in JSON values: `BASE64` of the unscaled bytes (the default), or `NUMERIC`.',
  },
  'value.converter.schemas.cache.size': {
    type: 'integer',
    default: null,
    importance: 'low',
    doc: 'Most schemas that a reader of JSON values keeps; 1000 by default.',
  },
} as const

/** `worker:` in a pipeline file: the process. */
export const WORKER_OPTIONS = defineOptions({
  'rest.host.name': {
    type: 'string',
    default: '127.0.0.1',
    doc: 'Address of the REST API. Loopback only: there is no authentication yet.',
  },
  'rest.port': {
    type: 'integer',
    default: 8083,
    min: 0,
    max: 65535,
    doc: 'Port of the REST API; the next free one up to ten higher is taken when it is in use. 0: any free port.',
  },
  'offset.flush.interval.ms': {
    type: 'duration',
    default: 1000,
    min: 10,
    doc: 'How often sinks commit what has arrived downstream. Sources commit as they read and need no interval, but for `transaction.boundary: interval`.',
  },
  'task.shutdown.graceful.timeout.ms': {
    type: 'duration',
    default: 10_000,
    min: 0,
    doc: 'How long a stop may take to drain and commit before tasks are abandoned; nothing is lost then, some work is repeated.',
  },
  'task.restart.backoff.ms': {
    type: 'duration',
    default: 1000,
    min: 1,
    doc: 'First wait before a failed task is started again; doubles with every failure until the task gets on, jittered.',
  },
  'task.restart.backoff.max.ms': {
    type: 'duration',
    default: 20_000,
    min: 1,
    doc: 'Longest wait before a failed task is started again: so long after a server is back, at most, is it asked again.',
  },
  'source.buffer.bytes': {
    type: 'bytes',
    default: 8 << 20,
    min: 1 << 20,
    doc: 'Most bytes a source task may have read beside those that are being committed, which are about as many. Reading waits when it is full.',
  },
  'exactly.once.source.support': {
    type: 'enum',
    values: ['enabled', 'disabled'],
    default: 'enabled',
    doc: 'Sources write in transactions: records and positions together, once. `disabled` writes without: a kill may repeat records, none is lost.',
  },
  'transaction.timeout.ms': {
    type: 'duration',
    default: 15 * MINUTE,
    min: 1000,
    max: 15 * MINUTE,
    doc: "How long a transaction may stay open before the log aborts it, so that nobody's readers wait for ever. Its task starts again from the last commit.",
  },
  'config.providers.file.param.allowed.paths': {
    type: 'list',
    paths: true,
    default: [],
    doc: 'Folders, besides that of the pipeline file, from which the `file` provider of secrets may read.',
  },
})

/** `broker:` in a pipeline file: the log. Names are Kafka's broker settings where one exists. */
export const BROKER_OPTIONS = defineOptions({
  engine: {
    type: 'enum',
    values: ['embedded'],
    default: 'embedded',
    doc: 'Where the log lives: `embedded` on local disk in this process.',
  },
  'num.partitions': {
    type: 'integer',
    default: 1,
    min: 1,
    max: 10_000,
    doc: 'Partitions of a topic that is created without saying how many.',
  },
  'log.cleaner.backoff.ms': {
    type: 'duration',
    default: 15_000,
    min: 10,
    doc: 'How often compaction looks for something to do.',
  },
  'log.cleaner.dedupe.buffer.size': {
    type: 'bytes',
    default: 128 << 20,
    min: 64 << 10,
    doc: 'Most memory for the keys that one pass of compaction learns, 27 bytes for each; what does not fit waits for the next pass.',
  },
  'log.cleaner.io.max.bytes.per.second': {
    type: 'bytes',
    default: -1,
    min: -1,
    unset: true,
    doc: 'Compaction reads and writes no more than this per second; -1: as fast as it can.',
  },
  'log.disk.reserve.bytes': {
    type: 'bytes',
    default: 512 << 20,
    min: 0,
    doc: 'Sources pause while the disk has less room than this; sinks go on, and what they finish can be deleted.',
  },
  'log.retention.check.interval.ms': {
    type: 'duration',
    default: 5 * MINUTE,
    min: 10,
    doc: 'How often old segments are looked for.',
  },
  'log.read.check.crcs': {
    type: 'boolean',
    default: true,
    doc: 'Check every batch read from disk, so that damage is named and never served.',
  },
  'log.open.files.max': { type: 'integer', default: 512, min: 16, doc: 'Most segment files kept open at once.' },
})

/** An entry of `topics:` besides Kafka's own topic settings, which are declared in broker/topic-configs.ts. */
export const TOPIC_OPTIONS = defineOptions({
  partitions: {
    type: 'integer',
    default: null,
    min: 1,
    max: 10_000,
    aliases: ['num.partitions'],
    doc: 'Number of partitions. May grow, never shrink.',
  },
  ...CONVERTERS,
})

const COMMON = {
  'tasks.max': { type: 'integer', default: 1, min: 1, max: 1000, doc: 'Most tasks the connector may be split into.' },
  ...CONVERTERS,
  'errors.tolerance': {
    type: 'enum',
    values: ['none', 'all'],
    default: 'none',
    doc: 'What a bad record does: `none` fails the task, `all` skips it (to the dead-letter topic where one is named) and goes on. A sink with `all` also goes on behind records that are damaged in the log; they are counted as `records.damaged`.',
  },
  'errors.deadletterqueue.topic.name': {
    type: 'string',
    default: null,
    aliases: ['dead.letter.topic'],
    doc: 'Topic for bad records, with the original bytes and the reason in headers. Used when `errors.tolerance` is `all`.',
  },
  'errors.deadletterqueue.context.headers.enable': {
    type: 'boolean',
    default: true,
    doc: 'Adds `__connect.errors.*` headers (topic, partition, offset, stage, exception, message) to dead letters.',
  },
  'errors.log.enable': {
    type: 'boolean',
    default: true,
    doc: 'Logs each bad record, at most one line a second per connector, without its content.',
  },
} as const

/** Options of every source, besides the connector's own. */
export const SOURCE_OPTIONS = defineOptions({
  ...COMMON,
  'producer.override.compression.type': {
    type: 'enum',
    values: ['none', 'gzip', 'snappy', 'lz4', 'zstd'],
    default: 'none',
    aliases: ['compression.type'],
    doc: 'Codec of the batches that this source writes to topics whose own `compression.type` is `producer`.',
  },
  'partition.by': {
    type: 'enum',
    values: ['source', 'key', 'round-robin'],
    default: 'source',
    doc: "How records find their partition: `source` keeps one source partition (a file, a table's key) in one partition and so in order; `key` hashes each record's key as Kafka does; `round-robin` spreads whole batches.",
  },
  'transaction.boundary': {
    type: 'enum',
    values: ['poll', 'interval', 'connector'],
    default: 'poll',
    doc: 'Where transactions end. `poll`: as soon as the one before is committed, with all that was read meanwhile, a poll never split; while a backlog of a database is read, once half of `source.buffer.bytes` is full, or 60 ms after the last commit. `interval`: every `transaction.boundary.interval.ms`, sooner when `source.buffer.bytes` are full. `connector`: where the connector says, if it can.',
  },
  'transaction.boundary.interval.ms': {
    type: 'duration',
    default: null,
    min: 1,
    doc: 'With `transaction.boundary: interval`: how long at least from one commit to the next. Default: `offset.flush.interval.ms` of the worker.',
  },
})

/** Options of every sink, besides the connector's own. */
export const SINK_OPTIONS = defineOptions({
  ...COMMON,
  topics: { type: 'list', default: null, doc: 'Topics to deliver.' },
  'topics.regex': {
    type: 'string',
    default: null,
    doc: 'Topics to deliver, as a regular expression over the whole name; new topics join within 10 s. Instead of `topics`.',
  },
  'auto.offset.reset': {
    type: 'enum',
    values: ['earliest', 'latest'],
    default: 'earliest',
    aliases: ['consumer.override.auto.offset.reset'],
    doc: 'Where a sink that has never committed begins. A position that has fallen out of the log is an error, never reset in silence.',
  },
})
