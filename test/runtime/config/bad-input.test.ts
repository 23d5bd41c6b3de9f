// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references in the configuration are written like this.
import { describe, expect, test } from 'vitest'
import { ConfigError } from '../../../runtime/config/problems.ts'
import { loadText, problemsOf } from '../../support/config-fixture.ts'

const SOURCE = 'sources: { a: { type: file, paths: [x.log], topic: t } }\n'
const sink = (options: string) =>
  `${SOURCE}sinks:\n  b:\n    type: s3\n    topics: [t]\n    s3.bucket.name: x\n    ${options}\n`

/** [what, YAML, every line of the message] */
const CASES: readonly (readonly [string, string, readonly string[]])[] = [
  [
    'an unknown key',
    sink('flush.sise: 1'),
    ['/p/a.yaml:7:5 sinks.b.flush.sise: expected an option of sink s3, got flush.sise (did you mean flush.size?)'],
  ],
  [
    'an unknown key at the top',
    'sorces: {}\n',
    [
      '/p/a.yaml:1:1 sorces: expected one of name, topics, sources, sinks, worker, broker or x-…, got sorces (did you mean sources?)',
    ],
  ],
  [
    'an option of another place',
    sink('retention.ms: 7d'),
    [
      '/p/a.yaml:7:5 sinks.b.retention.ms: expected an option of sink s3, got one of the options of topics.<topic>; move it there',
    ],
  ],
  [
    'a wrong type',
    sink('flush.size: many'),
    ['/p/a.yaml:7:17 sinks.b.flush.size: expected a whole number of at least 1, got "many"'],
  ],
  [
    'a value out of range',
    'worker: { rest.port: 70000 }\n',
    ['/p/a.yaml:1:22 worker.rest.port: expected a whole number from 0 to 65535, got "70000"'],
  ],
  [
    'a duration with a blank',
    sink('rotate.interval.ms: 5 m'),
    [
      '/p/a.yaml:7:25 sinks.b.rotate.interval.ms: expected milliseconds or a duration such as 500ms, 10m or 7d, or -1 for none, got "5 m"',
    ],
  ],
  [
    'an enum in the wrong case',
    sink('compression: ZSTD'),
    ['/p/a.yaml:7:18 sinks.b.compression: expected one of none, gzip, zstd, got "ZSTD" (did you mean zstd?)'],
  ],
  [
    'a number with leading zeros',
    sink('flush.size: 010'),
    [
      '/p/a.yaml:7:17 sinks.b.flush.size: expected a whole number of at least 1, got "010", which some take for octal; write it without leading zeros',
    ],
  ],
  [
    'an integer past 2^53',
    sink('flush.size: 12345678901234567890'),
    [
      '/p/a.yaml:7:17 sinks.b.flush.size: expected a whole number of at least 1, got "12345678901234567890", which is past 2^53 and would be rounded',
    ],
  ],
  [
    'no for a boolean',
    'sources: { a: { type: file, paths: [x.log], topic: t, tail.from.start: no } }\n',
    ['/p/a.yaml:1:72 sources.a.tail.from.start: expected true or false, got "no"'],
  ],
  [
    'a missing environment variable',
    sink('aws.secret.access.key: ${env:NOT_THERE}'),
    [
      '/p/a.yaml:7:28 sinks.b.aws.secret.access.key: expected the environment variable NOT_THERE to be set, got nothing; set it before the start',
    ],
  ],
  [
    'an unknown provider',
    sink('store.url: ${vault:a}'),
    [
      '/p/a.yaml:7:16 sinks.b.store.url: expected ${env:NAME} or ${file:/path:key}, got "${vault:a}"; write $${ for these characters themselves',
    ],
  ],
  [
    'a duplicate key',
    sink('flush.size: 1\n    flush.size: 2'),
    ['/p/a.yaml:8:5 sinks.b.flush.size: expected each key once, got it also at /p/a.yaml:7:5'],
  ],
  [
    'both spellings of an option',
    sink('rotate: { interval.ms: 10m }\n    rotate.interval.ms: 10m'),
    ['/p/a.yaml:8:5 sinks.b.rotate.interval.ms: expected the option once, got it also at /p/a.yaml:7:15'],
  ],
  [
    'an option and its alias',
    sink('compression: gzip\n    s3.compression.type: zstd'),
    [
      '/p/a.yaml:8:5 sinks.b.s3.compression.type: expected the option once, got it also as compression at /p/a.yaml:7:5',
    ],
  ],
  ['a tab', 'sources:\n\ta: {}\n', ['/p/a.yaml:2:1 expected spaces as indentation, got a tab']],
  ['an empty file', '# nothing\n', ['/p/a.yaml:1:1 expected a pipeline with sources and sinks, got an empty file']],
  [
    'two documents',
    'name: a\n---\nname: b\n',
    ['/p/a.yaml:2:1 expected one document, got a second one; put it into a file of its own'],
  ],
  [
    'an alias bomb',
    `x-a: &a [${'1,'.repeat(99)}1]\nx-b: &b [${'*a,'.repeat(99)}*a]\nx-c: [${'*b,'.repeat(99)}*b]\n`,
    ['/p/a.yaml:2:307 x-b: expected aliases that stand for at most 10000 values, got more'],
  ],
  [
    'an alias inside its own anchor',
    'x-a: &a [*a]\n',
    ['/p/a.yaml:1:10 x-a: expected a value, got "*a", an alias inside the anchor it names'],
  ],
  [
    'an unquoted *',
    'sources:\n  a:\n    type: file\n    topic: t\n    paths: *.log\n',
    ['/p/a.yaml:5:12 sources.a.paths: expected a value, got "*.log", an alias without its anchor; quote this: "*.log"'],
  ],
  [
    'an unquoted * in a list',
    'sources:\n  a:\n    type: file\n    topic: t\n    paths:\n      - *.log\n',
    ['/p/a.yaml:6:9 sources.a.paths: expected a value, got "*.log", an alias without its anchor; quote this: "*.log"'],
  ],
  [
    'an unquoted cron line',
    'x-cron: */5 * * * *\n',
    ['/p/a.yaml:1:13 expected a value that YAML can read; quote this: "*/5 * * * *"'],
  ],
  ['an unquoted [', 'x-a: [a-z]+\n', ['/p/a.yaml:1:11 expected a value that YAML can read; quote this: "[a-z]+"']],
  ['an unquoted %', 'x-a: %h %l\n', ['/p/a.yaml:1:6 expected a value that YAML can read; quote this: "%h %l"']],
  ['an unquoted @', 'x-a: @home\n', ['/p/a.yaml:1:6 expected a value that YAML can read; quote this: "@home"']],
  ['an unquoted `', 'x-a: `a`\n', ['/p/a.yaml:1:6 expected a value that YAML can read; quote this: "`a`"']],
  [
    'a reference in braces',
    'x-a: { b: ${env:PW} }\n',
    ['/p/a.yaml:1:12 expected a value that YAML can read; quote this: "${env:PW}"'],
  ],
  [
    'a list where text belongs',
    'sources: { a: { type: file, paths: [x.log], topic: [a-z] } }\n',
    ['/p/a.yaml:1:52 sources.a.topic: expected text, got a list; quote this: "[a-z]"'],
  ],
  [
    'two connectors of one name',
    `${SOURCE}sinks: { a: { type: s3, topics: [t], s3.bucket.name: x } }\n`,
    ['/p/a.yaml:2:10 sinks.a: expected a connector name of its own, got a, which is also at /p/a.yaml:1:12'],
  ],
  [
    'an unknown connector',
    'sources: { a: { type: flie } }\n',
    ['/p/a.yaml:1:23 sources.a.type: expected a source (file), got "flie" (did you mean file?)'],
  ],
  [
    'a sink among the sources',
    'sources: { a: { type: s3 } }\n',
    ['/p/a.yaml:1:23 sources.a.type: expected a source (file), got "s3", which is a sink; move it to sinks:'],
  ],
  [
    "the broker's own topics as topics to write to",
    'topics: { connect-offsets: {} }\nsources: { a: { type: file, paths: [x], topic: __consumer_offsets, dead.letter.topic: connect-offsets, errors.tolerance: all } }\n',
    [
      '/p/a.yaml:1:11 topics.connect-offsets: expected a topic of your own, got "connect-offsets", which is the broker\'s; choose another name',
      '/p/a.yaml:2:48 sources.a.topic: expected a topic of your own, got "__consumer_offsets", which is the broker\'s; choose another name',
      '/p/a.yaml:2:87 sources.a.dead.letter.topic: expected a topic of your own, got "connect-offsets", which is the broker\'s; choose another name',
    ],
  ],
  [
    'a topic name with ..',
    'topics: { ../x: {} }\nsources: { a: { type: file, paths: [x], topic: ../y } }\n',
    [
      '/p/a.yaml:1:11 topics.../x: expected a topic name of 1 to 249 letters, digits, . _ and -, and not . or .. alone; got "../x"',
      '/p/a.yaml:2:48 sources.a.topic: expected a topic name of 1 to 249 letters, digits, . _ and -, and not . or .. alone; got "../y"',
    ],
  ],
  [
    'a missing option',
    'sources: { a: { type: file, topic: t } }\n',
    ['/p/a.yaml:1:12 sources.a.paths: expected a list of at least one, got nothing; it is required'],
  ],
  [
    'a sink without topics',
    'sinks: { b: { type: s3, s3.bucket.name: x } }\n',
    ['/p/a.yaml:1:10 sinks.b: expected topics or topics.regex, got neither'],
  ],
  [
    'topics and topics.regex, which does not compile',
    sink("topics.regex: '('"),
    [
      '/p/a.yaml:7:5 sinks.b.topics.regex: expected topics or topics.regex, got both',
      '/p/a.yaml:7:19 sinks.b.topics.regex: expected a regular expression, got "(": Unterminated group',
    ],
  ],
  [
    'an unknown converter',
    sink('value.converter: jsno'),
    ['/p/a.yaml:7:22 sinks.b.value.converter: expected a converter (bytes, string, json), got "jsno"'],
  ],
  [
    'predicates',
    sink('predicates: p'),
    ['/p/a.yaml:7:5 sinks.b.predicates: predicates are not supported yet; leave them out'],
  ],
  [
    'a topic setting that the broker refuses',
    'topics: { t: { cleanup.policy: shrink } }\n',
    ['/p/a.yaml:1:32 topics.t.cleanup.policy: expected a list of compact, delete, got "shrink"'],
  ],
  [
    'an unknown transform',
    'sources: { a: { type: file, paths: [x], topic: t, transforms: [{ type: Prase }] } }\n',
    ['/p/a.yaml:1:72 sources.a.transforms[0].type: expected one of Parse, got "Prase" (did you mean Parse?)'],
  ],
]

describe('bad input', () => {
  test.each(CASES)('%s is named with place, expectation and remedy', async (_, yaml, lines) => {
    expect(await problemsOf(yaml)).toEqual(lines)
  })

  test('all problems of all files are reported at once, in order', async () => {
    const lines = await problemsOf({
      '/p/b.yaml': 'sinkz: 1\nname:\n',
      '/p/a.yaml': 'worker: 3\n',
      '/p/c.yaml': 'a: [\n',
    })
    expect(lines.map(line => line.split(' ')[0])).toEqual([
      '/p/b.yaml:1:1',
      '/p/b.yaml:2:6',
      '/p/a.yaml:1:9',
      '/p/c.yaml:2:1',
    ])
  })

  test('the error has a code and the problems as data', async () => {
    const error = await loadText('sinkz: 1').catch(e => e)
    expect(error).toBeInstanceOf(ConfigError)
    expect(error.code).toBe('CONFIG_INVALID')
    expect(error.problems[0]).toMatchObject({ path: 'sinkz', place: { file: '/p/a.yaml', line: 1, column: 1 } })
  })

  test.each([
    ['brackets', `x-a: ${'['.repeat(50_000)}`],
    ['list items', `x-a:\n  ${'- '.repeat(50_000)}`],
    ['indentation', Array.from({ length: 1000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
    ['question marks', '? '.repeat(50_000)],
  ])('deep nesting by %s is refused before it can hurt', async (_, yaml) => {
    const lines = await problemsOf(yaml)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/^\/p\/a\.yaml:\d+:1 expected at most 100 levels, got deeper nesting$/)
  })

  test('a file past 10 MB is not read, another encoding is named, a missing file too', async () => {
    const big = Buffer.alloc(10_000_001, 0x23)
    const utf16 = Buffer.from('\ufeffname: a', 'utf16le')
    const files = { '/p/big.yaml': big, '/p/utf16.yaml': utf16 }
    expect(await problemsOf(files, { inputs: [...Object.keys(files), '/p/nope.yaml'] })).toEqual([
      '/p/big.yaml:1:1 expected at most 10000000 bytes, got more',
      '/p/utf16.yaml:1:1 expected UTF-8, got another encoding; save the file as UTF-8',
      '/p/nope.yaml:1:1 expected a file or folder, got nothing; check the spelling',
    ])
  })

  test('a folder without pipeline files is an error', async () => {
    expect(await problemsOf({ '/p/readme.txt': 'x' }, { inputs: ['/p'] })).toEqual([
      '/p:1:1 expected *.yaml, *.yml or *.json in this folder, got none',
    ])
  })

  test('__proto__ and constructor are keys like any other', async () => {
    const lines = await problemsOf(
      '__proto__: { polluted: 1 }\nsources: { __proto__: { type: file }, c: { constructor: 1 } }\n',
    )
    expect(lines.map(line => line.split(' ')[1])).toEqual([
      '__proto__:',
      'sources.__proto__:',
      'sources.__proto__.paths:',
      'sources.__proto__.topic:',
      'sources.c.type:',
    ])
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
  })
})
