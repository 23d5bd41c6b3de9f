import type { SinkConnector, SourceConnector, TransformDefinition } from '../../runtime/api/index.ts'
import type { SinkConfig, SourceConfig, TransformConfig, WorkerConfig } from '../../runtime/config/types.ts'

const PLACE = { file: 'test.yaml', line: 1, column: 1 }

/** A source entry as the loader would make it; `common` overrides the defaults. */
export function sourceConfig(
  connector: SourceConnector,
  options: Record<string, unknown> = {},
  common: Partial<SourceConfig['common']> = {},
  transforms: readonly TransformConfig[] = [],
): SourceConfig {
  return {
    kind: 'source',
    name: connector.name,
    pipeline: 'test',
    place: PLACE,
    transforms,
    shown: {},
    connector,
    options,
    common: {
      ...COMMON,
      'partition.by': 'source',
      'producer.override.compression.type': 'none',
      'transaction.boundary': 'poll',
      'transaction.boundary.interval.ms': undefined,
      ...common,
    },
  }
}

export function sinkConfig(
  connector: SinkConnector,
  topics: readonly string[],
  common: Partial<SinkConfig['common']> = {},
  transforms: readonly TransformConfig[] = [],
): SinkConfig {
  return {
    kind: 'sink',
    name: connector.name,
    pipeline: 'test',
    place: PLACE,
    transforms,
    shown: {},
    connector,
    options: {},
    common: { ...COMMON, topics, 'topics.regex': undefined, 'auto.offset.reset': 'earliest', ...common },
  }
}

export function transformConfig(
  transform: TransformDefinition,
  options: Record<string, unknown> = {},
): TransformConfig {
  return { name: transform.name, transform, options }
}

export function workerConfig(sources: readonly SourceConfig[], sinks: readonly SinkConfig[]): WorkerConfig {
  return {
    files: ['/test.yaml'],
    dataDir: '/data',
    worker: {
      'rest.host.name': '127.0.0.1',
      'rest.port': 0,
      'offset.flush.interval.ms': 20,
      'task.shutdown.graceful.timeout.ms': 10_000,
      'task.restart.backoff.ms': 5,
      'task.restart.backoff.max.ms': 50,
      'source.buffer.bytes': 1 << 20,
      'exactly.once.source.support': 'enabled',
      'transaction.timeout.ms': 60_000,
      'config.providers.file.param.allowed.paths': [],
    },
    broker: {
      engine: 'embedded',
      'num.partitions': 1,
      'log.disk.reserve.bytes': 0,
      'log.retention.check.interval.ms': 300_000,
      'log.read.check.crcs': true,
      'log.cleaner.backoff.ms': 15_000,
      'log.cleaner.dedupe.buffer.size': 1 << 20,
      'log.cleaner.io.max.bytes.per.second': -1,
      'log.open.files.max': 512,
    },
    topics: [],
    sources,
    sinks,
  } as WorkerConfig
}

const COMMON = {
  'tasks.max': 1,
  'key.converter': undefined,
  'key.converter.schemas.enable': undefined,
  'key.converter.replace.null.with.default': undefined,
  'key.converter.decimal.format': undefined,
  'key.converter.schemas.cache.size': undefined,
  'value.converter': undefined,
  'value.converter.schemas.enable': undefined,
  'value.converter.replace.null.with.default': undefined,
  'value.converter.decimal.format': undefined,
  'value.converter.schemas.cache.size': undefined,
  'errors.tolerance': 'none',
  'errors.deadletterqueue.topic.name': undefined,
  'errors.deadletterqueue.context.headers.enable': true,
  'errors.log.enable': true,
} as const
