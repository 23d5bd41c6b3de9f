import { consumerOf } from './sink-run.ts'
import type { SinkConfig, SourceConfig, TransformConfig, WorkerConfig } from './config/types.ts'
import { defaultConverters, givenConverters } from './topic-converters.ts'

type ConnectorConfig = SourceConfig | SinkConfig

/** Names of connectors, by what a new configuration means to them. Those that are in none notice nothing. */
export interface ConnectorChanges {
  readonly added: readonly string[]
  /** Their options are others, or how what they read or write is encoded. */
  readonly changed: readonly string[]
  readonly removed: readonly string[]
}

export function connectorChanges(from: WorkerConfig, to: WorkerConfig): ConnectorChanges {
  const before = fingerprints(from)
  const after = fingerprints(to)
  const names = [...after.keys()]
  const encodedOtherwise = to.sources.filter(source => {
    const earlier = from.sources.find(({ name }) => name === source.name)
    return earlier !== undefined && encodingOf(earlier) !== encodingOf(source)
  })
  const readers = to.sinks
    .filter(sink => encodedOtherwise.some(source => mayRead(sink, source)))
    .map(({ name }) => name)
  return {
    added: names.filter(name => !before.has(name)),
    changed: names.filter(name => before.has(name) && (before.get(name) !== after.get(name) || readers.includes(name))),
    removed: [...before.keys()].filter(name => !after.has(name)),
  }
}

/** Settings of the process that differ, as they stand in a file: they are taken at its start alone. */
export function processChanges(from: WorkerConfig, to: WorkerConfig): readonly string[] {
  const differing = (section: 'worker' | 'broker') =>
    Object.entries(to[section])
      .filter(([name, value]) => String(value) !== String(from[section][name as never]))
      .map(([name]) => `${section}.${name}`)
  return [
    ...differing('worker'),
    ...differing('broker'),
    ...(from.dataDir === to.dataDir ? [] : ['the data directory']),
  ]
}

/** In the order of the configuration. A fingerprint holds secrets: it is compared, and never shown. */
function fingerprints(config: WorkerConfig): ReadonlyMap<string, string> {
  return new Map(
    [...config.sources, ...config.sinks].map(connector => [
      connector.name,
      JSON.stringify([
        connector.kind,
        connector.pipeline,
        connector.connector.name,
        plain(connector.options),
        plain(connector.common),
        connector.kind === 'source' ? connector.topicCreation : undefined,
        connector.transforms.map(transformOf),
        declaredConverters(connector, config),
      ]),
    ]),
  )
}

function transformOf({ name, transform, options }: TransformConfig) {
  return [name, transform.name, plain(options)]
}

/** What the configuration says of the encoding of a connector's topics. */
function declaredConverters(connector: ConnectorConfig, { topics }: WorkerConfig) {
  const touches = topicsOf(connector)
  return topics.filter(topic => touches(topic.name)).map(({ name, values }) => [name, plain(givenConverters(values))])
}

function encodingOf(source: SourceConfig): string {
  return JSON.stringify(plain({ ...defaultConverters(source), ...givenConverters(source.common) }))
}

function mayRead(sink: SinkConfig, { connector, options }: SourceConfig): boolean {
  const written = connector.topics(options as never)
  return written.length === 0 || written.some(topicsOf(sink))
}

function topicsOf(connector: ConnectorConfig): (topic: string) => boolean {
  if (connector.kind === 'source') {
    const written = connector.connector.topics(connector.options as never)
    return topic => written.length === 0 || written.includes(topic)
  }
  const { topics, topicsRegex } = consumerOf(connector)
  return topic => topics.includes(topic) || topicsRegex?.test(topic) === true
}

/** Undefined and absent are one. */
function plain(options: object) {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
}
