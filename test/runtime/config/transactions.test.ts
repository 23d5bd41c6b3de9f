import { expect, test } from 'vitest'
import { defineOptions, defineSource } from '../../../runtime/api/index.ts'
import { loadText, problemsOf, TEST_CATALOGUE } from '../../support/config-fixture.ts'

const changes = defineSource({
  kind: 'source',
  name: 'changes',
  aliases: [],
  version: '1',
  doc: 'Captures changes.',
  defaultConverter: 'bytes',
  open: () => Promise.reject(new Error('a declaration only')),
  options: defineOptions({
    topic: { type: 'string', doc: 'Topic.' },
    whole: { type: 'boolean', default: true, doc: 'Whole transactions.' },
  }),
  canDefineTransactionBoundaries: options => options.whole,
  topics: options => [options.topic],
  plan: options => [options],
})
const options = { catalogue: { ...TEST_CATALOGUE, sources: [...TEST_CATALOGUE.sources, changes] } }
const yaml = (source: string, worker = '') =>
  `sources:\n  a:\n    type: changes\n    topic: t\n    ${source}\n${worker === '' ? '' : `worker: { ${worker} }\n`}`

test('sources are exactly once unless told otherwise, one transaction after the other', async () => {
  const config = await loadText(yaml('whole: true'), options)
  expect(config.worker).toMatchObject({ 'exactly.once.source.support': 'enabled', 'transaction.timeout.ms': 900_000 })
  expect(config.sources[0]!.common).toMatchObject({
    'transaction.boundary': 'poll',
    'transaction.boundary.interval.ms': undefined,
  })
})

test('transactions by the connector are for connectors that can, and only in transactions', async () => {
  const boundary = 'transaction.boundary: connector'
  const config = await loadText(yaml(boundary), options)
  expect(config.sources[0]!.common['transaction.boundary']).toBe('connector')
  expect(await problemsOf(yaml(`whole: false\n    ${boundary}`), options)).toEqual([
    '/p/a.yaml:6:27 sources.a.transaction.boundary: expected poll or interval, got connector: with these options changes does not say where transactions end',
  ])
  expect(await problemsOf(yaml(boundary, 'exactly.once.source.support: disabled'), options)).toEqual([
    '/p/a.yaml:5:27 sources.a.transaction.boundary: expected poll or interval, since worker.exactly.once.source.support is disabled; got connector',
  ])
})

test('a source that requires exactly once has it, or the configuration is refused', async () => {
  const required = 'exactly.once.support: required'
  await loadText(yaml(required), options)
  await loadText(yaml('exactly.once.support: requested', 'exactly.once.source.support: disabled'), options)
  expect(await problemsOf(yaml(required, 'exactly.once.source.support: disabled'), options)).toEqual([
    '/p/a.yaml:5:27 sources.a.exactly.once.support: expected requested, since worker.exactly.once.source.support is disabled; got required',
  ])
})

test('a connector that says nothing of transactions cannot define them', async () => {
  const text = 'sources: { a: { type: file, paths: [x], topic: t, transaction.boundary: connector } }\n'
  expect((await problemsOf(text, options)).join()).toContain('with these options file does not say')
})

test('an interval as long as transactions may last is refused', async () => {
  const source = 'transaction: { boundary: interval, boundary.interval.ms: 5m }'
  await loadText(yaml(source), options)
  expect(await problemsOf(yaml(source, 'transaction.timeout.ms: 5m'), options)).toEqual([
    '/p/a.yaml:5:62 sources.a.transaction.boundary.interval.ms: expected less than worker.transaction.timeout.ms (300000), got 300000: every transaction would be aborted',
  ])
  expect(await problemsOf(yaml('whole: true', 'transaction.timeout.ms: 16m'), options)).toEqual([
    '/p/a.yaml:6:35 worker.transaction.timeout.ms: expected milliseconds or a duration such as 500ms, 10m or 7d from 1000 to 900000, got "16m"',
  ])
})
