// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references in the configuration are written like this.
import { expect, test } from 'vitest'
import { CATALOGUE } from '../../../cli/compose.ts'
import { problemsOf } from '../../support/config-fixture.ts'

const SOURCE = 'sources: { a: { type: file, paths: [x.log], topic: t } }\n'
const sink = (options: string) => `${SOURCE}sinks:\n  b:\n    type: s3\n    topics: [t]\n    ${options}\n`
const source = (options: string) => `sources:\n  a:\n    type: file\n    topic: t\n    ${options}\n`
const BUCKET = 's3.bucket.name: x\n    '

/** [what, YAML, every line of the message]: with the real connectors, before anything but the file is touched. */
const CASES: readonly (readonly [string, string, readonly string[]])[] = [
  [
    'an s3 sink without a place',
    sink('flush.size: 1'),
    [
      '/p/a.yaml:3:3 sinks.b.s3.bucket.name: expected a bucket, or a directory as store.url (./exports, file:///srv/exports); got neither',
    ],
  ],
  [
    'an s3 sink with an empty bucket name',
    sink('s3.bucket.name: ""'),
    [
      '/p/a.yaml:6:21 sinks.b.s3.bucket.name: expected a bucket, or a directory as store.url (./exports, file:///srv/exports); got neither',
    ],
  ],
  [
    'a directory and a bucket',
    sink('s3.bucket.name: logs\n    store.url: ./exports\n    aws.access.key.id: i'),
    [
      '/p/a.yaml:6:21 sinks.b.s3.bucket.name: expected a bucket or a directory as store.url, got both; leave out one of them',
      '/p/a.yaml:8:24 sinks.b.aws.access.key.id: expected a bucket or a directory as store.url, got both; leave out one of them',
    ],
  ],
  ...['exports', 'ftp://x', 'http://', 'file://host/x'].map(
    url =>
      [
        `store.url: ${url}`,
        sink(`store.url: "${url}"`),
        [
          `/p/a.yaml:6:16 sinks.b.store.url: expected http://… or https://… of an S3 server, or a directory that begins with ./, / or file:///, got "${url}"`,
        ],
      ] as const,
  ),
  [
    'half of the credentials',
    sink(`${BUCKET}aws.secret.access.key: hunter2`),
    [
      '/p/a.yaml:7:28 sinks.b.aws.secret.access.key: expected aws.access.key.id and aws.secret.access.key, or neither of them; got this one alone',
    ],
  ],
  [
    'folders of another partitioner',
    sink(
      `${BUCKET}partitioner: hourly\n    path.format: "'year'=YYYY/'month'=MM/'day'=dd"\n    partition.duration.ms: 1d`,
    ),
    [
      '/p/a.yaml:8:18 sinks.b.path.format: expected the path of the partitioner, got that of another; leave it out',
      '/p/a.yaml:9:28 sinks.b.partition.duration.ms: expected 3600000, the time that one folder stands for here, or a part of it; got another',
    ],
  ],
  [
    'the TimeBasedPartitioner without its path',
    sink(`${BUCKET}partitioner.class: io.confluent.connect.storage.partitioner.TimeBasedPartitioner`),
    ['/p/a.yaml:3:3 sinks.b.path.format: expected it beside the TimeBasedPartitioner, got nothing'],
  ],
  [
    'what a Confluent configuration may say and is not done',
    sink(`${BUCKET}timezone: Europe/Berlin\n    timestamp.extractor: Wallclock\n    schema.compatibility: FULL`),
    [
      '/p/a.yaml:7:15 sinks.b.timezone: expected one of UTC, Etc/UTC, GMT, got "Europe/Berlin"',
      '/p/a.yaml:8:26 sinks.b.timestamp.extractor: expected one of Record, io.confluent.connect.storage.partitioner.TimeBasedPartitioner$RecordTimestampExtractor, got "Wallclock"',
      '/p/a.yaml:9:27 sinks.b.schema.compatibility: expected one of NONE, got "FULL"',
    ],
  ],
  [
    'a file source without paths',
    source('paths: []'),
    ['/p/a.yaml:5:12 sources.a.paths: expected a list of at least one, got none'],
  ],
  [
    'a log_format that does not compile',
    source('paths: [x]\n    transforms: [{ type: Parse, format: "$remote_addr$status" }]'),
    [
      '/p/a.yaml:6:41 sources.a.transforms[0].format: expected something between $remote_addr and $status: without it nobody can tell where one ends, got "$remote_addr$status"',
    ],
  ],
  [
    'a timestamp.field that nobody reads',
    source('paths: [x]\n    transforms: [{ type: Parse, format: nginx, timestamp.field: at }]'),
    [
      '/p/a.yaml:6:65 sources.a.transforms[0].timestamp.field: expected format: json beside it, got another format, whose own $time… variables set the time',
    ],
  ],
  [
    'dead letters of a transform without a topic for them',
    source('paths: [x]\n    transforms: [{ type: Parse, format: nginx, on.error: dead-letter }]'),
    [
      '/p/a.yaml:2:3 sources.a.errors.deadletterqueue.topic.name: expected a topic, since transform parse says on.error: dead-letter; got nothing',
    ],
  ],
  [
    'a topic twice in the verifiable source',
    'sources: { v: { type: verifiable, topics: [t, t] } }\n',
    ['/p/a.yaml:1:43 sources.v.topics: expected each topic once, got "t", "t"'],
  ],
]

test.each(CASES)('%s is named with place, expectation and remedy', async (_, yaml, lines) => {
  expect(await problemsOf(yaml, { catalogue: CATALOGUE })).toEqual(lines)
})

test('options that are wrong by themselves are told alone: how they fit shows when each is right', async () => {
  const lines = await problemsOf(sink('flush.size: many'), { catalogue: CATALOGUE })
  expect(lines).toEqual(['/p/a.yaml:6:17 sinks.b.flush.size: expected a whole number of at least -1, got "many"'])
})

test('a value that a reference put in stands in no message', async () => {
  const yaml = sink('store.url: "${env:PLACE}"')
  const lines = await problemsOf(yaml, { catalogue: CATALOGUE, env: { PLACE: 'ftp://u:hunter2@x' } })
  expect(lines).toHaveLength(1)
  expect(lines[0]).toContain('got "${env:PLACE}"')
})
