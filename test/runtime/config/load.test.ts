import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { loadText, loadTexts, problemsOf } from '../../support/config-fixture.ts'

const PIPELINE = `
name: nginx-to-s3
x-rotation: &rotation { rotate.interval.ms: 1h, flush.size: 5 }
topics:
  nginx.access: { retention.ms: 7d, compression.type: zstd, segment.bytes: 64MiB, partitions: 3 }
sources:
  access-log:
    type: file
    paths: [/var/log/nginx/access.log, ./more.log]
    topic: nginx.access
    transforms:
      - { type: Parse, format: nginx }
sinks:
  archive:
    <<: *rotation
    type: s3
    topics: [nginx.access]
    s3.bucket.name: 1.10
    store.url: ./exports
    compression: zstd
    partitioner: hourly
    partitioner.max.open.files: 5
    rotate: { interval: { ms: 10m } }
worker: { rest: { port: 0 } }
broker.num.partitions: 2
`

const SOURCE = 'sources: { a: { type: file, paths: [x.log], topic: t } }\n'

describe('a pipeline file', () => {
  test('becomes typed, defaulted options with absolute paths', async () => {
    const config = await loadText(PIPELINE)
    expect(config).toMatchObject({ files: ['/p/a.yaml'], dataDir: '/p/.kts-connect', warnings: [] })
    expect(config.worker['rest.port']).toBe(0)
    expect(config.broker['num.partitions']).toBe(2)
    expect(config.topics).toEqual([
      {
        name: 'nginx.access',
        place: { file: '/p/a.yaml', line: 5, column: 3 },
        values: { partitions: 3, 'key.converter': undefined, 'value.converter': undefined },
        configs: { 'retention.ms': '604800000', 'compression.type': 'zstd', 'segment.bytes': '67108864' },
      },
    ])
    const [source] = config.sources
    expect(source).toMatchObject({ name: 'access-log', pipeline: 'nginx-to-s3', kind: 'source' })
    expect(source?.options).toEqual({
      paths: ['/var/log/nginx/access.log', '/p/more.log'],
      topic: 'nginx.access',
      'line.bytes.max': 1 << 20,
      'tail.from.start': true,
    })
    expect(source?.transforms).toMatchObject([{ name: 'parse', options: { format: 'nginx' } }])
    expect(source?.common['tasks.max']).toBe(1)
  })

  test('keeps the text of unquoted scalars, and prefers what stands here to what was merged', async () => {
    const { sinks } = await loadText(PIPELINE)
    expect(sinks[0]?.options).toMatchObject({
      's3.bucket.name': '1.10',
      'store.url': '/p/exports',
      's3.compression.type': 'zstd',
      'partitioner.class': 'hourly',
      'partitioner.max.open.files': 5,
      'rotate.interval.ms': 600_000,
      'flush.size': 5,
    })
    expect(sinks[0]?.common).toMatchObject({ topics: ['nginx.access'], 'auto.offset.reset': 'earliest' })
  })

  test('may say a transform as Connect does', async () => {
    const transforms = 'transforms: one, transforms.one: { type: org.example.Parse$Value, format: json }'
    const { sources } = await loadText(SOURCE.replace('topic: t', `topic: t, ${transforms}`))
    expect(sources[0]?.transforms).toMatchObject([{ name: 'one', options: { format: 'json' } }])
    expect(sources[0]?.shown).toMatchObject({ transforms: 'one', 'transforms.one.type': 'org.example.Parse$Value' })
  })

  test('may begin with a byte order mark and be JSON with tabs', async () => {
    const json = JSON.stringify({ sources: { a: { type: 'file', paths: ['/x'], topic: 't' } } }, null, '\t')
    const { sources } = await loadTexts({ '/p/a.json': `\ufeff${json}` })
    expect(sources[0]).toMatchObject({ name: 'a', pipeline: 'a' })
  })

  test.each(['nested', 'flat'])('may be a pasted Connect config (%s)', async form => {
    const config = {
      'connector.class': 'io.confluent.connect.s3.S3SinkConnector',
      'tasks.max': '1',
      topics: 't, u',
      's3.bucket.name': 'b',
      'partitioner.class': 'hourly',
      'flush.size': '1000',
    }
    const text = JSON.stringify(form === 'nested' ? { name: 'out', config } : { name: 'out', ...config })
    const { sinks, warnings } = await loadTexts({ '/p/x.json': text })
    expect(sinks[0]).toMatchObject({ name: 'out', pipeline: 'out', options: { 'flush.size': 1000 } })
    expect(sinks[0]?.common.topics).toEqual(['t', 'u'])
    expect(warnings.map(w => w.message)).toEqual([
      'nothing here writes or declares topic t; waiting for records that may never come',
      'nothing here writes or declares topic u; waiting for records that may never come',
    ])
  })
})

describe('several files', () => {
  const SINK = 'sinks: { b: { type: s3, topics: t, s3.bucket.name: x } }\n'

  test('are one configuration: a folder in order of name, hidden and other files left out', async () => {
    const files = { '/p/b.yml': SINK, '/p/a.yaml': SOURCE, '/p/.c.yaml': 'bad: 1', '/p/notes.txt': '[' }
    const config = await loadTexts(files, { inputs: ['/p', '/p/a.yaml'] })
    expect(config.files).toEqual(['/p/a.yaml', '/p/b.yml'])
    expect(config.dataDir).toBe('/p/.kts-connect')
    expect([...config.sources, ...config.sinks].map(c => c.pipeline)).toEqual(['a', 'b'])
  })

  test('may repeat a topic with equal settings, or with settings in one of them', async () => {
    const config = await loadTexts({
      '/p/a.yaml': 'topics: { t: { retention.ms: 7d }, u: }\n',
      '/p/b.yaml': 'topics: { t: { retention: { ms: 604800000 } }, u: { partitions: 2 } }\n',
    })
    expect(config.topics.map(t => [t.name, t.configs, t.values.partitions])).toEqual([
      ['t', { 'retention.ms': '604800000' }, undefined],
      ['u', {}, 2],
    ])
  })

  test('must not give a topic or the worker other settings: both places are named', async () => {
    const lines = await problemsOf({
      '/p/a.yaml': 'topics: { t: { retention.ms: 7d } }\nworker: { rest.port: 1 }\n',
      '/p/b.yaml': 'topics: { t: { retention.ms: 8d } }\nworker: { rest.port: 2 }\n',
    })
    expect(lines).toEqual([
      "/p/b.yaml:1:11 topics.t.retention.ms: expected 604800000 as at /p/a.yaml:1:11, got 691200000; give a topic's settings in one file",
      '/p/b.yaml:2:11 worker.rest.port: expected one value in all files, got "2" here and another at /p/a.yaml:2:11',
    ])
  })

  test('need names of their own', async () => {
    expect(await problemsOf({ '/p/a.yaml': `name: n\n${SOURCE}`, '/p/b.yaml': `name: n\n${SOURCE}` })).toEqual([
      '/p/b.yaml:1:7 name: expected a pipeline name of its own, got n, which is also at /p/a.yaml:1:7',
      '/p/b.yaml:2:12 sources.a: expected a connector name of its own, got a, which is also at /p/a.yaml:2:12',
    ])
  })

  test('the data directory is the argument, KTS_DATA_DIR, or beside the first file', async () => {
    const files = { '/p/a.yaml': SOURCE, '/q/b.yaml': SINK }
    expect((await loadTexts(files)).dataDir).toBe('/p/.kts-connect')
    expect((await loadTexts(files, { env: { KTS_DATA_DIR: '/d' } })).dataDir).toBe('/d')
    expect((await loadTexts(files, { env: { KTS_DATA_DIR: '/d' }, dataDir: '/e' })).dataDir).toBe('/e')
  })

  test('a dead-letter topic that can never fill is pointed out', async () => {
    const letters = (more: string) => SOURCE.replace('topic: t', `topic: t, dead.letter.topic: bad${more}`)
    expect((await loadText(letters(''))).warnings).toMatchObject([{ path: 'sources.a.dead.letter.topic' }])
    expect((await loadText(letters(', errors.tolerance: all'))).warnings).toEqual([])
  })
})

test('nested and dotted spellings are one option, wherever a name is split', async () => {
  const options: Record<string, string> = {
    's3.bucket.name': 'b',
    'rotate.interval.ms': '10m',
    'partitioner.max.open.files': '7',
    's3.compression.type': 'gzip',
    'errors.deadletterqueue.context.headers.enable': 'false',
  }
  const expected = await loadText(sinkOf(options))
  const cuts = fc.tuple(...Object.keys(options).map(name => fc.subarray(dotsOf(name))))
  await fc.assert(
    fc.asyncProperty(cuts, async chosen => {
      const nested: Tree = Object.create(null)
      Object.entries(options).forEach(([name, value], i) => {
        place(nested, splitAt(name, chosen[i]!), value)
      })
      const config = await loadText(sinkOf(nested))
      expect(config.sinks[0]?.options).toEqual(expected.sinks[0]?.options)
      expect(config.sinks[0]?.common).toEqual(expected.sinks[0]?.common)
    }),
    { seed: 7, numRuns: 100 },
  )
})

interface Tree {
  [key: string]: string | Tree
}

function sinkOf(options: Tree): string {
  return `${SOURCE}sinks: { b: ${JSON.stringify({ type: 's3', topics: 't', ...options })} }\n`
}

function dotsOf(name: string): number[] {
  return [...name.matchAll(/\./g)].map(match => match.index)
}

function splitAt(name: string, dots: readonly number[]): readonly string[] {
  const sorted = [-1, ...[...dots].sort((a, b) => a - b), name.length]
  return sorted.slice(1).map((end, i) => name.slice(sorted[i]! + 1, end))
}

function place(tree: Tree, path: readonly string[], value: string): void {
  const [key, ...rest] = path
  if (rest.length === 0) {
    tree[key!] = value
    return
  }
  const below = tree[key!] ?? Object.create(null)
  tree[key!] = below
  place(below as Tree, rest, value)
}
