import { describe, expect, test } from 'vitest'
import { CATALOGUE } from '../../../cli/compose.ts'
import { partitionerOf } from '../../../connectors/s3/partitioners.ts'
import { loadTexts } from '../../support/config-fixture.ts'

/** As Kafka's and Confluent's own guides show them. */
const FILE_SOURCE = {
  name: 'local-file-source',
  config: {
    'connector.class': 'FileStreamSource',
    'tasks.max': '1',
    file: '/tmp/test.txt',
    topic: 'connect-test',
    'key.converter': 'org.apache.kafka.connect.storage.StringConverter',
    'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'value.converter.schemas.enable': 'false',
  },
}

const S3_SINK = {
  name: 's3-sink',
  config: {
    'connector.class': 'io.confluent.connect.s3.S3SinkConnector',
    'tasks.max': '1',
    topics: 'connect-test',
    's3.region': 'us-west-2',
    's3.bucket.name': 'confluent-kafka-connect-s3-testing',
    's3.part.size': '5242880',
    's3.compression.type': 'gzip',
    'flush.size': '100000',
    'rotate.interval.ms': '60000',
    'storage.class': 'io.confluent.connect.s3.storage.S3Storage',
    'format.class': 'io.confluent.connect.s3.format.json.JsonFormat',
    'schema.generator.class': 'io.confluent.connect.storage.hive.schema.DefaultSchemaGenerator',
    'schema.compatibility': 'NONE',
    'partitioner.class': 'io.confluent.connect.storage.partitioner.TimeBasedPartitioner',
    'partition.duration.ms': '3600000',
    'path.format': "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH",
    'timestamp.extractor': 'Record',
    locale: 'en-US',
    timezone: 'UTC',
    'key.converter': 'org.apache.kafka.connect.storage.StringConverter',
    'key.converter.schemas.enable': 'false',
    'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'value.converter.schemas.enable': 'false',
  },
}

describe('a pasted Connect configuration', () => {
  const files = { '/p/source.json': JSON.stringify(FILE_SOURCE), '/p/sink.json': JSON.stringify(S3_SINK) }

  test('of the FileStreamSource and of Confluent’s S3 sink loads as it stands, without a warning', async () => {
    const { sources, sinks, warnings } = await loadTexts(files, { catalogue: CATALOGUE })
    expect(warnings).toEqual([])
    expect(sources[0]).toMatchObject({
      name: 'local-file-source',
      connector: { name: 'file' },
      options: { paths: ['/tmp/test.txt'], topic: 'connect-test' },
      common: { 'value.converter': 'org.apache.kafka.connect.json.JsonConverter' },
    })
    expect(sinks[0]).toMatchObject({
      name: 's3-sink',
      connector: { name: 's3' },
      options: { 'flush.size': 100_000, 's3.compression.type': 'gzip', 'path.format': S3_SINK.config['path.format'] },
      common: { 'tasks.max': 1, topics: ['connect-test'], 'value.converter.schemas.enable': false },
    })
  })

  test('of the FileStreamSink loads too', async () => {
    const config = {
      'connector.class': 'FileStreamSink',
      'tasks.max': 1,
      file: 'test.sink.txt',
      topics: 'connect-test',
    }
    const text = JSON.stringify({ name: 'local-file-sink', config })
    const { sinks } = await loadTexts({ '/p/sink.json': text }, { catalogue: CATALOGUE })
    expect(sinks[0]).toMatchObject({ connector: { name: 'file' }, options: { file: '/p/test.sink.txt' } })
  })

  test('an option of the standalone properties file is a line of YAML too', async () => {
    const yaml =
      'name: a\nconnector.class: FileStreamSource\nfile: x.txt\ntopic: t\nvalue: { converter: json, converter.schemas.enable: false }\n'
    const { sources } = await loadTexts({ '/p/a.yaml': yaml }, { catalogue: CATALOGUE })
    expect(sources[0]?.common['value.converter']).toBe('json')
  })
})

test('the TimeBasedPartitioner makes the folders that its path.format names', () => {
  const name = 'io.confluent.connect.storage.partitioner.TimeBasedPartitioner'
  const pathOf = (format: string) => {
    const partitioner = partitionerOf(name, format)
    return partitioner.kind === 'time' && partitioner.path(Date.UTC(2026, 10, 20, 15, 59, 59))
  }
  expect(pathOf("'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH")).toBe('year=2026/month=11/day=20/hour=15')
  expect(pathOf("'year'=yyyy/'month'=MM/'day'=dd")).toBe('year=2026/month=11/day=20')
})
