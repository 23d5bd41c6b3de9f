// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references in the configuration are written like this.
import { readdirSync, readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { SINKS, SOURCES } from '../../../connectors/index.ts'
import { describeOptions } from '../../../runtime/config/describe-options.ts'
import { configSchema } from '../../../runtime/config/json-schema.ts'
import { TRANSFORMS } from '../../../runtime/transforms/index.ts'
import { TEST_CATALOGUE } from '../../support/config-fixture.ts'

const CONFIGS = new URL('../../../configs/', import.meta.url)

function validator(catalogue: Parameters<typeof configSchema>[0]) {
  const validate = new Ajv2020({ strict: false }).compile(configSchema(catalogue))
  return (yaml: string) => validate(parse(yaml, { merge: true }))
}

describe('the JSON Schema', () => {
  let accepts: (yaml: string) => unknown
  beforeAll(() => {
    accepts = validator(TEST_CATALOGUE)
  })
  const sink = (options: string) => `sinks: { b: { type: s3, topics: [t], s3.bucket.name: x, ${options} } }`

  test.each([
    'x-a: 1\nname: n\ntopics: { t: , u: { retention.ms: 7d, segment: { bytes: 64MiB }, partitions: 3 } }',
    'worker: { rest.port: 0 }\nbroker: { num: { partitions: 2 } }',
    'worker.rest.port: 0',
    sink('rotate: { interval.ms: 10m }, flush.size: 10'),
    sink('rotate: { interval: { ms: -1 } }, partitioner: hourly, partitioner.max.open.files: 5'),
    sink('partitioner: { class: hourly, max: { open.files: 5 } }, compression: zstd'),
    sink('errors: { deadletterqueue: { topic.name: bad } }, errors.tolerance: all'),
    sink('flush.size: "${env:N}", aws.secret.access.key: "${env:PW}"'),
    'sinks: { b: { connector.class: io.confluent.connect.s3.S3SinkConnector, topics: "t,u", s3: { bucket: { name: x } }, tasks.max: "1" } }',
    'sources: { a: { type: file, paths: /x, topic: 1.10, transforms: [{ type: Parse, format: nginx }] } }',
    'sources: { a: { type: file, file: /x, topic: t, transforms: p, transforms.p.type: Parse } }',
  ])('accepts %s', yaml => {
    expect(accepts(yaml)).toBe(true)
  })

  test.each([
    'sorces: {}',
    'topics: { t: { retenton.ms: 7d } }',
    'topics: { ../t: {} }',
    'topics: { t: { retention.ms: 7 days } }',
    'worker: { rest.port: 70000 }',
    sink('flush.sise: 1'),
    sink('flush.size: 0'),
    sink('rotate: { interval.m: 10m }'),
    sink('compression: ZSTD'),
    'sinks: { b: { type: s4, topics: [t] } }',
    'sinks: { b: { type: file, topics: [t] } }',
    'sinks: { b: { type: s3, topics: [t] } }',
    'sources: { a: { type: file, topic: t } }',
    'sources: { a: { topic: t } }',
    'sources: { a: { type: file, paths: /x, topic: t, transforms: [{ type: Prase }] } }',
  ])('rejects %s', yaml => {
    expect(accepts(yaml)).toBe(false)
  })

  test('of the real catalogue accepts every example in configs/', () => {
    const acceptsReal = validator({ sources: SOURCES, sinks: SINKS, transforms: TRANSFORMS })
    const names = readdirSync(CONFIGS).filter(name => name.endsWith('.yaml'))
    expect(names.length).toBeGreaterThan(0)
    const refused = names.filter(name => !acceptsReal(readFileSync(new URL(name, CONFIGS), 'utf8')))
    expect(refused).toEqual([])
  })

  test('holds no secret default and documents every option', () => {
    const rows = [...SOURCES, ...SINKS].flatMap(connector => describeOptions(connector.options))
    for (const row of rows) expect(row.doc).not.toBe('')
    expect(describeOptions(TEST_CATALOGUE.sinks[0]!.options)[2]).toEqual({
      name: 's3.compression.type',
      aliases: ['compression'],
      type: 'enum',
      required: false,
      default: 'none',
      takes: 'one of none, gzip, zstd',
      doc: 'Codec.',
    })
  })
})
