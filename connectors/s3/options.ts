import { defineOptions, type OptionValues } from '../../runtime/api/index.ts'
import { FORMAT_NAMES } from '../formats/format.ts'
import { PARTITIONER_NAMES, PATH_FORMATS } from './partitioners.ts'
import { validStoreUrl } from './store-url.ts'

/** S3's own limits for a part of an upload. */
const PART_MIN = 5 << 20
const PART_MAX = 1 << 30

function validTopicsDir(topicsDir: string): string | undefined {
  if (topicsDir === '') return undefined
  const parts = topicsDir.split('/')
  if (topicsDir.length <= 256 && parts.every(part => /^[^\p{C}]+$/u.test(part) && part !== '.' && part !== '..'))
    return undefined
  return 'a relative path of at most 256 characters like topics or data/raw, without . and .. and empty parts'
}

/**
 * Options of a pasted Confluent configuration that have one meaning here: taken where they say what is done anyway, so
 * that nothing is promised that is not done. `schema.*` tell about schemas, which lines of JSON and text do not have.
 */
const CONFLUENT_ONLY = {
  'storage.class': only('where objects go', 'io.confluent.connect.s3.storage.S3Storage'),
  'path.format': only('folders of the time partitioners', ...Object.keys(PATH_FORMATS)),
  'partition.duration.ms': {
    type: 'duration',
    default: null,
    min: 1,
    unset: true,
    importance: 'low',
    doc: "Confluent's; time that one folder stands for: 1h or 1d, as the partitioner has it.",
  },
  timezone: only('zone of the time partitioners', 'UTC', 'Etc/UTC', 'GMT'),
  locale: {
    type: 'string',
    default: null,
    importance: 'low',
    doc: "Confluent's; any: names of folders are numbers in every language.",
  },
  'timestamp.extractor': only(
    'time that the time partitioners take',
    'Record',
    'io.confluent.connect.storage.partitioner.TimeBasedPartitioner$RecordTimestampExtractor',
  ),
  'schema.compatibility': only('what a changed schema does', 'NONE'),
  'schema.generator.class': only(
    'schemas of folders',
    'io.confluent.connect.storage.hive.schema.DefaultSchemaGenerator',
    'io.confluent.connect.storage.hive.schema.TimeBasedSchemaGenerator',
  ),
} as const

function only<const V extends readonly string[]>(what: string, ...values: V) {
  const doc = `Confluent's; ${what}. Taken where it says what is done anyway.`
  return { type: 'enum', values, default: null, importance: 'low', doc } as const
}

/** Names and meanings are Confluent's where it has them; defaults are ours (docs say where they differ). */
export const S3_OPTIONS = defineOptions({
  's3.bucket.name': {
    type: 'string',
    default: null,
    importance: 'high',
    doc: 'Bucket that takes the objects. Left out when store.url is a directory.',
    examples: ['logs'],
  },
  's3.region': {
    type: 'string',
    default: 'us-east-1',
    importance: 'high',
    doc: 'Region of the bucket. Other S3 servers take any.',
    examples: ['eu-central-1'],
  },
  'store.url': {
    type: 'string',
    resolve: true,
    default: null,
    importance: 'high',
    doc: 'Another S3 server (`http://127.0.0.1:9000`), or a directory (`./exports`, `file:///srv/exports`) that takes the objects as files (0600, folders 0700).',
    examples: ['http://127.0.0.1:9000', './exports'],
    validate: validStoreUrl,
  },
  'aws.access.key.id': {
    type: 'string',
    default: null,
    doc: "Access key. Without it the AWS SDK's default chain: environment, profile, container, instance.",
  },
  'aws.secret.access.key': { type: 'secret', default: null, doc: 'Secret that belongs to aws.access.key.id.' },
  'topics.dir': {
    type: 'string',
    default: 'topics',
    doc: 'Folder above the topics in the bucket or directory. May be empty.',
    validate: validTopicsDir,
  },
  'format.class': {
    type: 'enum',
    values: FORMAT_NAMES,
    default: 'json',
    aliases: ['format'],
    doc: '`json` writes JSON lines: a JSON value as it is, a raw line as a JSON string. `text` writes raw lines.',
  },
  's3.compression.type': {
    type: 'enum',
    values: ['zstd', 'gzip', 'none'],
    default: 'zstd',
    aliases: ['compression'],
    doc: 'Compression of the objects, level 1, in frames of 1 MiB. (Confluent: none.)',
  },
  'flush.size': {
    type: 'integer',
    default: -1,
    min: -1,
    doc: 'Records in one object. -1: no limit. (Confluent: must be given.)',
    validate: count => (count === 0 ? 'a positive number, or -1 for no limit' : undefined),
  },
  'flush.bytes': {
    type: 'bytes',
    default: 128 << 20,
    min: 1,
    unset: true,
    doc: 'Uncompressed bytes in one object; it ends behind the record that reaches them. -1: no limit.',
  },
  'rotate.interval.ms': {
    type: 'duration',
    default: -1,
    min: 1,
    unset: true,
    doc: 'Span of record time in one object: a record so much later than the first begins the next object. -1: no limit.',
  },
  'rotate.idle.ms': {
    type: 'duration',
    default: 60_000,
    min: 1,
    unset: true,
    doc: 'An object that got no record for so long is finished, so that the last lines before silence are stored. -1: never.',
  },
  'rotate.schedule.interval.ms': {
    type: 'duration',
    default: 600_000,
    min: 1,
    unset: true,
    doc: 'Longest time by the clock from the first record of an object to its end, so that a trickle is stored too. -1: no limit. (Confluent: at multiples of it since midnight.)',
  },
  'partitioner.class': {
    type: 'enum',
    values: PARTITIONER_NAMES,
    default: 'default',
    aliases: ['partitioner'],
    doc: 'Folder of a record: `default` is `partition=<n>`; `hourly` and `daily` are `year=YYYY/month=MM/day=dd(/hour=HH)` in UTC, by the time of the record. The `TimeBasedPartitioner` is one of them, by its `path.format`.',
  },
  'partitioner.max.open.files': {
    type: 'integer',
    default: 10,
    min: 1,
    doc: 'Objects of one partition that are filled at once (late records keep earlier hours open); beyond it the one that got no record for longest is finished.',
  },
  's3.part.size': {
    type: 'bytes',
    default: 8 << 20,
    min: PART_MIN,
    max: PART_MAX,
    doc: 'Larger objects go up in parts of this size while they are filled. An object may have 10,000 parts.',
  },
  's3.part.retries': {
    type: 'integer',
    default: 3,
    min: 0,
    doc: 'Repetitions of one S3 request before the task says that it cannot get through (and goes on trying).',
  },
  's3.retry.backoff.ms': {
    type: 'duration',
    default: 200,
    min: 1,
    doc: 'First wait before an S3 request is repeated; doubles up to 10 s, jittered.',
  },
  'behavior.on.null.values': {
    type: 'enum',
    values: ['fail', 'ignore', 'write'],
    default: 'fail',
    doc: 'A record without a value: `fail` makes it a bad record (errors.tolerance decides), `ignore` leaves it out and counts it, `write` gives an empty line in text and null in json.',
  },
  'buffer.memory': {
    type: 'bytes',
    default: 64 << 20,
    min: 4 << 20,
    doc: 'Most memory for objects under construction in one task; beyond it the largest are finished early. Nothing is lost by it, objects become smaller.',
  },
  ...CONFLUENT_ONLY,
})

export type S3Options = OptionValues<typeof S3_OPTIONS>
