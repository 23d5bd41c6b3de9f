import {
  type CheckContext,
  defineSink,
  KtsError,
  randomId,
  type SinkTask,
  type TaskContext,
} from '../../runtime/api/index.ts'
import { blockPool } from '../formats/block-writer.ts'
import { formatNameOf } from '../formats/format.ts'
import { DirectoryStore } from './directory-store.ts'
import { prefixOf } from './object-key.ts'
import type { ObjectStore } from './object-store.ts'
import { optionProblems } from './option-problems.ts'
import { S3_OPTIONS, type S3Options } from './options.ts'
import { partitionerOf } from './partitioners.ts'
import { type ObjectCodec, rulesOf } from './recorded-config.ts'
import { openS3Store } from './s3-store.ts'
import { S3SinkTask } from './sink-task.ts'
import { directoryOf } from './store-url.ts'

const READERS: Readonly<Record<ObjectCodec, string>> = { none: 'cat', gzip: 'gzip -dc', zstd: 'zstd -dc' }

/** A connection that gives no byte for so long is dropped; 10 kB/s is slow but alive. */
const SILENCE_MS = 60_000

export const s3Sink = defineSink({
  kind: 'sink',
  copiesBatches: true,
  name: 's3',
  aliases: ['io.confluent.connect.s3.S3SinkConnector'],
  version: '1',
  doc: 'Writes topics to a bucket of any S3 server, or to a local directory, as compressed lines of JSON or text in the layout of Confluent’s S3 sink. Exactly once: over kills, retries, rebalances and edits of its options every record is in one object, since which records an object has is in the log before anybody can see the object. What a kill left open is written again under the same key.',
  options: S3_OPTIONS,
  problems: optionProblems,
  open: openSink,
  check,
})

async function openSink(options: S3Options, context: TaskContext): Promise<SinkTask> {
  const store = await openStore(options, context)
  const codec = options['s3.compression.type']
  const config = {
    place: store.place,
    format: formatNameOf(options['format.class']),
    codec,
    partitioner: partitionerOf(options['partitioner.class'], options['path.format']).name,
    nulls: options['behavior.on.null.values'],
  }
  return new S3SinkTask(
    {
      config,
      rules: await rulesOf(config),
      store,
      pool: blockPool(),
      topicsDir: options['topics.dir'],
      rotation: {
        flushSize: options['flush.size'],
        flushBytes: options['flush.bytes'],
        intervalMs: options['rotate.interval.ms'],
        idleMs: options['rotate.idle.ms'],
        scheduleMs: options['rotate.schedule.interval.ms'],
      },
      openFilesMax: options['partitioner.max.open.files'],
      ignored: () => context.count('null.values.ignored'),
      clock: context.clock,
      memoryMax: options['buffer.memory'],
      readingHint: key => readingHint(options, store, key),
    },
    context,
  )
}

/** Where `store.url` and `s3.bucket.name` say. */
async function openStore(options: S3Options, context: CheckContext): Promise<ObjectStore> {
  const url = options['store.url']
  const prefix = prefixOf(options['topics.dir'])
  const directory = url === undefined ? undefined : directoryOf(url)
  if (directory !== undefined) return new DirectoryStore(context.files, directory, prefix)
  return await openS3Store(
    {
      bucket: options['s3.bucket.name']!,
      region: options['s3.region'],
      endpoint: url,
      credentials: credentialsOf(options),
      prefix,
      partSize: options['s3.part.size'],
      retries: options['s3.part.retries'],
      backoffMs: options['s3.retry.backoff.ms'],
      silenceMs: SILENCE_MS,
    },
    context,
  )
}

function credentialsOf(options: S3Options) {
  const accessKeyId = options['aws.access.key.id']
  const secretAccessKey = options['aws.secret.access.key']
  return accessKeyId === undefined || secretAccessKey === undefined ? undefined : { accessKeyId, secretAccessKey }
}

function readingHint(options: S3Options, store: ObjectStore, key: string): string {
  const codec = options['s3.compression.type']
  const reader = READERS[codec]
  const object = `${store.place}/${key}`
  if (!object.startsWith('s3://')) return `${reader} ${shellQuoted(object)} | head`
  const endpoint = options['store.url'] === undefined ? '' : ` --endpoint-url ${options['store.url']}`
  return `aws s3 cp${endpoint} ${shellQuoted(object)} - | ${codec === 'none' ? '' : `${reader} | `}head`
}

function shellQuoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** Puts, gets and deletes a small object where the real ones will lie. */
async function check(options: S3Options, context: CheckContext): Promise<void> {
  const store = await openStore(options, context)
  try {
    const key = `${prefixOf(options['topics.dir'])}.kts-connect-check-${randomId(context.random)}`
    const sent = Buffer.from('written by kts-connect to see whether it may; safe to delete\n')
    await store.put(key, sent)
    const got = await store.get(key)
    await store.delete(key)
    if (got === undefined || !got.equals(sent)) {
      throw new KtsError(
        'STORAGE_FAILED',
        `${store.place}/${key}: expected the object just written, got something else`,
      )
    }
  } finally {
    await store.close()
  }
}
