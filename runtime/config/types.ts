import type { OptionValues, SinkConnector, SourceConnector, TransformDefinition } from '../api/index.ts'
import type { BROKER_OPTIONS, SINK_OPTIONS, SOURCE_OPTIONS, TOPIC_OPTIONS, WORKER_OPTIONS } from './common-options.ts'

/**
 * Configuration after parsing, merging and validation: the only shape the worker sees. Every value is typed and
 * defaulted; secrets are resolved; relative paths are absolute.
 */
export interface WorkerConfig {
  /** The files it was read from, absolute. */
  readonly files: readonly string[]
  readonly dataDir: string
  readonly worker: OptionValues<typeof WORKER_OPTIONS>
  readonly broker: OptionValues<typeof BROKER_OPTIONS>
  readonly topics: readonly TopicConfig[]
  readonly sources: readonly SourceConfig[]
  readonly sinks: readonly SinkConfig[]
}

/** Where in a file something stands; lines and columns from 1. */
export interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
}

export interface TopicConfig {
  readonly name: string
  /** `partitions` and the converters as the YAML gave them; undefined where it said nothing. */
  readonly values: OptionValues<typeof TOPIC_OPTIONS>
  /** Kafka's own topic settings that were given, by their names, as normalised strings (`retention.ms` in ms). */
  readonly configs: Readonly<Record<string, string>>
  readonly place: Place
}

interface ConnectorConfig {
  /** Unique in the worker. */
  readonly name: string
  /** `name` of the file it stands in. */
  readonly pipeline: string
  readonly place: Place
  readonly transforms: readonly TransformConfig[]
  /**
   * Flat options as they were written, with `${…}` unresolved and secrets masked: what REST shows.
   */
  readonly shown: Readonly<Record<string, string>>
}

export interface SourceConfig extends ConnectorConfig {
  readonly kind: 'source'
  readonly connector: SourceConnector
  /** The connector's own options, as it declares them. */
  readonly options: Readonly<Record<string, unknown>>
  readonly common: OptionValues<typeof SOURCE_OPTIONS>
  /** `topic.creation.*`: a topic is made by the first that it matches. Undefined where nothing of it was given. */
  readonly topicCreation?: readonly TopicCreation[] | undefined
}

/** How some topics are made that a source writes to and that nobody declares. */
export interface TopicCreation {
  /** Regular expressions for whole names. */
  readonly include: readonly string[]
  readonly exclude: readonly string[]
  /** Undefined, or -1: the broker's `num.partitions`. */
  readonly partitions: number | undefined
  /** As of TopicConfig. */
  readonly configs: Readonly<Record<string, string>>
}

export interface SinkConfig extends ConnectorConfig {
  readonly kind: 'sink'
  readonly connector: SinkConnector
  readonly options: Readonly<Record<string, unknown>>
  readonly common: OptionValues<typeof SINK_OPTIONS>
}

export interface TransformConfig {
  readonly name: string
  readonly transform: TransformDefinition
  readonly options: Readonly<Record<string, unknown>>
}

/** What the loader may choose from; handed in, never global. */
export interface Catalogue {
  readonly sources: readonly SourceConnector[]
  readonly sinks: readonly SinkConnector[]
  readonly transforms: readonly TransformDefinition[]
}

/** One thing that is wrong, printed as `file:line:col path: expected X, got Y (did you mean Z?)`. */
export interface ConfigProblem {
  readonly place: Place
  /** Dotted path inside the file, e.g. `sinks.archive.flush.size`. */
  readonly path: string
  readonly message: string
}
