import type { CodecName } from '../base/index.ts'

/**
 * One topic setting, declared as data in the shape of runtime/api's OptionSpec, so that the configuration's validator,
 * schema and docs take it as it is. Names, defaults and ranges are Kafka's (https://kafka.apache.org/documentation,
 * Topic Configs) but for the last two, which are ours.
 */
export type TopicConfigSpec =
  | {
      readonly type: 'duration' | 'bytes'
      readonly default: number
      readonly min: number
      /** -1 means "no limit". */
      readonly unset?: boolean
      readonly max?: number
      readonly doc: string
    }
  | {
      readonly type: 'number'
      readonly default: number
      readonly min: number
      readonly max: number
      readonly doc: string
    }
  | { readonly type: 'enum'; readonly default: string; readonly values: readonly string[]; readonly doc: string }
  | {
      readonly type: 'list'
      readonly default: readonly string[]
      readonly values: readonly string[]
      readonly doc: string
    }

const DAY = 86_400_000

/** What Kafka's tools print for "no limit". */
const LONG_MAX = '9223372036854775807'

export const TOPIC_CONFIGS = {
  'cleanup.policy': {
    type: 'list',
    values: ['compact', 'delete'],
    default: ['delete'],
    doc: 'What happens to old segments: `delete` removes them by time and size, `compact` keeps the newest record of each key, `compact,delete` does both.',
  },
  'compression.type': {
    type: 'enum',
    values: ['producer', 'uncompressed', 'none', 'gzip', 'snappy', 'lz4', 'zstd'],
    default: 'producer',
    doc: 'Codec of the batches in the log. `producer` keeps what the writer chose: a source by `producer.override.compression.type`.',
  },
  'delete.retention.ms': {
    type: 'duration',
    default: DAY,
    min: 0,
    doc: 'Compaction keeps a deletion (a record with a key and no value) for so long after it was first cleaned, so that who reads from the start within that time sees it.',
  },
  'index.interval.bytes': {
    type: 'bytes',
    default: 4096,
    min: 0,
    doc: 'An index entry stands for about this many bytes of log.',
  },
  'max.compaction.lag.ms': {
    type: 'duration',
    default: Number.MAX_SAFE_INTEGER,
    min: 1,
    doc: 'A record waits no longer than this for compaction to look at it.',
  },
  'max.message.bytes': {
    type: 'bytes',
    default: 1_048_588,
    min: 0,
    max: 0x7fffffff,
    doc: 'Largest batch, and so the largest record, that the topic takes.',
  },
  'message.timestamp.type': {
    type: 'enum',
    values: ['CreateTime', 'LogAppendTime'],
    default: 'CreateTime',
    doc: 'Whether a record keeps its own time or gets the time of its append.',
  },
  'min.cleanable.dirty.ratio': {
    type: 'number',
    default: 0.5,
    min: 0,
    max: 1,
    doc: 'Compaction begins when this share of the log has not been cleaned yet.',
  },
  'min.compaction.lag.ms': {
    type: 'duration',
    default: 0,
    min: 0,
    doc: 'Compaction leaves a record alone for so long.',
  },
  'retention.bytes': {
    type: 'bytes',
    default: -1,
    min: -1,
    unset: true,
    doc: 'A partition keeps about this many bytes; -1: no limit by size.',
  },
  'retention.ms': {
    type: 'duration',
    default: 7 * DAY,
    min: -1,
    unset: true,
    doc: 'Segments older than this go, counted from the later of their newest record and their last append; -1: no limit by time.',
  },
  'segment.bytes': {
    type: 'bytes',
    default: 1 << 30,
    min: 14,
    max: 0x7fffffff,
    doc: 'A segment file is closed at this size; retention removes whole segments.',
  },
  'segment.ms': {
    type: 'duration',
    default: 7 * DAY,
    min: 1,
    doc: 'A segment file is closed at this age even when it is not full.',
  },
  'retention.unconsumed': {
    type: 'enum',
    values: ['hold', 'delete'],
    default: 'hold',
    doc: 'What retention does with records that a configured sink has not committed: `hold` keeps them, `delete` removes them, logs the range and counts it in `topics describe`.',
  },
  durability: {
    type: 'enum',
    values: ['sync', 'os'],
    default: 'sync',
    doc: 'When a record counts as written: `sync` after fdatasync, so that a power cut loses nothing; `os` as soon as the operating system has it, so that only a crash of the process loses nothing.',
  },
} as const satisfies Readonly<Record<string, TopicConfigSpec>>

/**
 * Settings of a Kafka cluster that one process has no use for. They are taken, so that a topic's configuration can be
 * pasted, kept, and have no effect.
 */
export const IGNORED_TOPIC_CONFIGS: readonly string[] = [
  'compression.gzip.level',
  'compression.lz4.level',
  'compression.zstd.level',
  'file.delete.delay.ms',
  'flush.messages',
  'flush.ms',
  'follower.replication.throttled.replicas',
  'leader.replication.throttled.replicas',
  'local.retention.bytes',
  'local.retention.ms',
  'min.insync.replicas',
  'preallocate',
  'remote.storage.enable',
  'segment.index.bytes',
  'segment.jitter.ms',
  'unclean.leader.election.enable',
]

/** Notes of the runtime, kept with the topic and of no meaning to the log: how its records are encoded. */
export const TOPIC_NOTES: readonly string[] = ['key', 'value'].flatMap(of =>
  ['', '.schemas.enable', '.replace.null.with.default', '.decimal.format'].map(rest => `${of}.converter${rest}`),
)

/** A topic's settings, typed and complete. Times in milliseconds, sizes in bytes, -1 for no limit. */
export interface TopicSettings {
  /** `cleanup.policy` has `compact`. */
  readonly compacts: boolean
  /** `cleanup.policy` has `delete`: retention by time and size. */
  readonly deletes: boolean
  readonly deleteRetentionMs: number
  readonly minCleanableDirtyRatio: number
  readonly minCompactionLagMs: number
  readonly maxCompactionLagMs: number
  /** The codec of stored batches; `producer`: the writer's. */
  readonly codec: CodecName | 'producer'
  readonly indexIntervalBytes: number
  readonly maxMessageBytes: number
  readonly timestampType: 'CreateTime' | 'LogAppendTime'
  readonly retentionBytes: number
  readonly retentionMs: number
  readonly segmentBytes: number
  readonly segmentMs: number
  readonly retentionUnconsumed: 'hold' | 'delete'
  readonly durability: 'sync' | 'os'
}

export interface TopicConfigProblem {
  readonly name: string
  /** Completes a sentence: `expected X, got Y`. */
  readonly message: string
}

export interface ParsedTopicConfigs {
  /** Defaults stand in for what has a problem. */
  readonly settings: TopicSettings
  readonly problems: readonly TopicConfigProblem[]
  /** Names that were taken and have no effect here. */
  readonly ignored: readonly string[]
}

type Name = keyof typeof TOPIC_CONFIGS
type Value = string | number | readonly string[]

/**
 * Checks all of a topic's settings at once. Durations and sizes are plain numbers here: `7d` and `64MiB` are turned into
 * those where YAML is read.
 */
export function parseTopicConfigs(configs: Readonly<Record<string, string>>): ParsedTopicConfigs {
  const problems: TopicConfigProblem[] = []
  const ignored: string[] = []
  const values = new Map<string, Value>(Object.entries(TOPIC_CONFIGS).map(([k, spec]) => [k, spec.default]))
  for (const [name, text] of Object.entries(configs)) {
    const spec: TopicConfigSpec | undefined = Object.hasOwn(TOPIC_CONFIGS, name)
      ? TOPIC_CONFIGS[name as Name]
      : undefined
    if (spec === undefined) {
      if (TOPIC_NOTES.includes(name)) continue
      if (IGNORED_TOPIC_CONFIGS.includes(name)) ignored.push(name)
      else problems.push({ name, message: `unknown topic setting ${JSON.stringify(name)}${suggestion(name)}` })
    } else {
      const value = parseValue(name, spec, text)
      if (typeof value === 'object' && 'message' in value) problems.push(value)
      else values.set(name, value)
    }
  }
  const settings = toSettings(values)
  if (settings.minCompactionLagMs > settings.maxCompactionLagMs) {
    const message = `expected at most max.compaction.lag.ms ${settings.maxCompactionLagMs}, got ${JSON.stringify(configs['min.compaction.lag.ms'])}`
    problems.push({ name: 'min.compaction.lag.ms', message })
  }
  return { settings, problems, ignored }
}

function parseValue(name: string, spec: TopicConfigSpec, text: string): Value | TopicConfigProblem {
  const got = `got ${JSON.stringify(text)}`
  if (spec.type === 'enum') {
    if (spec.values.includes(text)) return text
    return { name, message: `expected one of ${spec.values.join(', ')}, ${got}` }
  }
  if (spec.type === 'list') {
    const items = text.split(',').map(item => item.trim())
    if (items.every(item => spec.values.includes(item))) return items
    return { name, message: `expected a list of ${spec.values.join(', ')}, ${got}` }
  }
  if (spec.type === 'number') {
    const value = /^(\d+(\.\d+)?|\.\d+)$/.test(text) ? Number(text) : Number.NaN
    if (value >= spec.min && value <= spec.max) return value
    return { name, message: `expected a number from ${spec.min} to ${spec.max}, ${got}` }
  }
  const max = spec.max ?? Number.MAX_SAFE_INTEGER
  const written = text === LONG_MAX ? String(max) : text
  const value = /^-?\d{1,16}$/.test(written) ? Number(written) : Number.NaN
  if (value >= spec.min && value <= max) return value
  const range = spec.max === undefined ? `of at least ${spec.min}` : `from ${spec.min} to ${max}`
  return {
    name,
    message: `expected a whole number of ${spec.type === 'bytes' ? 'bytes' : 'milliseconds'} ${range}, ${got}`,
  }
}

function toSettings(values: ReadonlyMap<string, Value>): TopicSettings {
  const get = <T extends Value>(name: Name) => values.get(name) as T
  const policy = get<readonly string[]>('cleanup.policy')
  const compacts = policy.includes('compact')
  const maxCompactionLagMs = get<number>('max.compaction.lag.ms')
  const codec = get<'producer' | 'uncompressed' | CodecName>('compression.type')
  return {
    compacts,
    deletes: policy.includes('delete'),
    deleteRetentionMs: get('delete.retention.ms'),
    minCleanableDirtyRatio: get('min.cleanable.dirty.ratio'),
    minCompactionLagMs: get('min.compaction.lag.ms'),
    maxCompactionLagMs,
    codec: codec === 'uncompressed' ? 'none' : codec,
    indexIntervalBytes: get('index.interval.bytes'),
    maxMessageBytes: get('max.message.bytes'),
    timestampType: get('message.timestamp.type'),
    retentionBytes: get('retention.bytes'),
    retentionMs: get('retention.ms'),
    segmentBytes: get('segment.bytes'),
    // The active segment is not compacted: it has to roll in time for that.
    segmentMs: compacts ? Math.min(get('segment.ms'), maxCompactionLagMs) : get('segment.ms'),
    retentionUnconsumed: get('retention.unconsumed'),
    durability: get('durability'),
  }
}

/** The setting that has the same letters, whatever the separators: what a typing slip usually is. */
function suggestion(name: string): string {
  const letters = (text: string) => text.toLowerCase().replace(/[^a-z]/g, '')
  const close = [...Object.keys(TOPIC_CONFIGS), ...IGNORED_TOPIC_CONFIGS].find(
    known => letters(known) === letters(name),
  )
  return close === undefined ? '' : ` (did you mean ${close}?)`
}
