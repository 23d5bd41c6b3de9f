import { errorMessage } from '../../base/index.ts'
import { TOPIC_CONFIGS } from '../../broker/index.ts'
import type { OptionSpecs, SinkConnector, SourceConnector } from '../api/index.ts'
import { BROKER_OPTIONS, SINK_OPTIONS, SOURCE_OPTIONS, TOPIC_OPTIONS, WORKER_OPTIONS } from './common-options.ts'
import { CONNECT_OPTIONS } from './connect-options.ts'
import type { FlatOption } from './flat-options.ts'
import { type OptionScope, type ReadOptions, readOptions, reportMisfits } from './option-reader.ts'
import type { ValueContext } from './option-values.ts'
import type { Section } from './pipeline-file.ts'
import { formatPlace, type Problems, quoted } from './problems.ts'
import { shownOptions } from './shown-options.ts'
import { didYouMean } from './suggest.ts'
import { readTopicCreation, topicCreationOptions } from './topic-creation.ts'
import { readTransforms } from './transform-options.ts'
import type { Catalogue, SinkConfig, SourceConfig } from './types.ts'

type Connector = SourceConnector | SinkConnector

/** A connector with what was given for it, for checks that look further than one option. */
export interface ReadConnector {
  readonly config: SourceConfig | SinkConfig
  readonly path: string
  readonly given: ReadOptions['given']
}

const STRUCTURAL = ['type', 'connector.class', 'name', 'transforms', 'predicates']
/** What a connector may be called: it becomes part of group names and keys. */
export const CONNECTOR_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/

/** Reads one connector; undefined when it is not known which one is meant. `kind` undefined: the class tells. */
export function readConnector(
  section: Section,
  kind: 'source' | 'sink' | undefined,
  pipeline: string,
  catalogue: Catalogue,
  context: ValueContext,
  problems: Problems,
): ReadConnector | undefined {
  checkNames(section, problems)
  const connector = findConnector(section, kind, catalogue, problems)
  if (connector === undefined) return undefined
  const common = connector.kind === 'source' ? SOURCE_OPTIONS : SINK_OPTIONS
  const ofSources =
    connector.kind === 'source' ? { ...CONNECT_OPTIONS, ...topicCreationOptions(section.options, context) } : {}
  const specs: OptionSpecs = { ...connector.options, ...common, ...ofSources }
  const scope: OptionScope = {
    specs,
    path: section.path,
    place: section.place,
    title: `an option of ${connector.kind} ${connector.name}`,
    elsewhere: ELSEWHERE,
    structural: STRUCTURAL,
  }
  const own = section.options.filter(option => !isStructural(option.key))
  const { values, given, sound } = readOptions(own, scope, context, problems)
  const options = pick(values, connector.options)
  if (sound) reportMisfits(connector.problems?.(options as never) ?? [], given, scope, problems)
  const transforms = readTransforms(section.options, section.path, catalogue, context, problems)
  reportPredicates(section, problems)
  const config = {
    name: section.name,
    pipeline,
    place: section.place,
    transforms: transforms.map(transform => transform.config),
    shown: shownOptions(section.name, section.options, specs, transforms),
    kind: connector.kind,
    connector,
    options,
    common: pick(values, common),
    ...(connector.kind === 'source' ? { topicCreation: readTopicCreation({ values, given }, section, problems) } : {}),
  }
  return { config: config as unknown as SourceConfig | SinkConfig, path: section.path, given }
}

/** Options that stand elsewhere in a file, and where: for whoever wrote one in a connector. */
const ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ...[...Object.keys(TOPIC_CONFIGS), 'partitions'].map(name => [name, 'the options of topics.<topic>'] as const),
  ...Object.keys(BROKER_OPTIONS).map(name => [name, 'the options of broker'] as const),
  ...Object.keys(WORKER_OPTIONS).map(name => [name, 'the options of worker'] as const),
])

/** The same for an option of a topic, the broker or the worker. */
export const SETTINGS_ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ...ELSEWHERE,
  ...Object.keys({ ...SOURCE_OPTIONS, ...SINK_OPTIONS })
    .filter(name => !(name in TOPIC_OPTIONS))
    .map(name => [name, 'the options of a source or sink'] as const),
])

function isStructural(key: string): boolean {
  return STRUCTURAL.includes(key) || /^(transforms|predicates)\./.test(key)
}

function checkNames(section: Section, problems: Problems): void {
  if (!CONNECTOR_NAME.test(section.name)) {
    const message =
      'expected a connector name of letters, digits, . _ and -, at most 200, not starting with one of . _ -'
    problems.add(section.place, section.path, `${message}; got ${quoted(section.name)}`)
  }
  const name = section.options.find(option => option.key === 'name')
  if (name === undefined || (name.value.kind === 'scalar' && name.value.text === section.name)) return
  problems.add(
    name.value.place,
    `${section.path}.name`,
    `expected ${section.name}, the name it stands under, or nothing`,
  )
}

/** `type`, or Connect's `connector.class`: a short name or a well-known Java class. */
function findConnector(
  section: Section,
  kind: 'source' | 'sink' | undefined,
  catalogue: Catalogue,
  problems: Problems,
): Connector | undefined {
  const [option, other] = section.options.filter(o => o.key === 'type' || o.key === 'connector.class')
  if (other !== undefined) {
    const also = `got it also as ${option!.key} at ${formatPlace(option!.place)}`
    problems.add(other.place, `${section.path}.${other.key}`, `expected the connector once, ${also}`)
  }
  const text = option?.value.kind === 'scalar' ? option.value.text : undefined
  const all: readonly Connector[] = [...catalogue.sources, ...catalogue.sinks]
  const named = all.filter(c => text !== undefined && (c.name === text || c.aliases.includes(text)))
  const wanted = kind ?? (hasTopics(section.options) ? 'sink' : 'source')
  const found = named.find(c => c.kind === wanted) ?? (kind === undefined ? named[0] : undefined)
  if (found !== undefined) return found
  const place = option?.value.place ?? section.place
  const path = `${section.path}.${option?.key ?? 'type'}`
  const candidates = kind === undefined ? all : all.filter(c => c.kind === kind)
  problems.add(place, path, unknownConnector(text, kind, candidates, named[0]))
  return undefined
}

function hasTopics(options: readonly FlatOption[]): boolean {
  return options.some(option => option.key === 'topics' || option.key === 'topics.regex')
}

function unknownConnector(
  text: string | undefined,
  kind: 'source' | 'sink' | undefined,
  candidates: readonly Connector[],
  wrongKind: Connector | undefined,
): string {
  const names = candidates.map(connector => connector.name)
  const expected = `expected a ${kind ?? 'connector'} (${[...new Set(names)].join(', ')})`
  if (text === undefined) return `${expected}, got nothing`
  if (wrongKind !== undefined)
    return `${expected}, got ${quoted(text)}, which is a ${wrongKind.kind}; move it to ${wrongKind.kind}s:`
  return `${expected}, got ${quoted(text)}${didYouMean(text, [...names, ...candidates.flatMap(c => c.aliases)])}`
}

function reportPredicates(section: Section, problems: Problems): void {
  const option = section.options.find(o => /^predicates(\.|$)/.test(o.key))
  if (option !== undefined)
    problems.add(option.place, `${section.path}.predicates`, 'predicates are not supported yet; leave them out')
}

function pick(values: ReadOptions['values'], specs: OptionSpecs): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.keys(specs).map(name => [name, values[name]]))
}

/** What the source may write, or a problem. Pure, so it is asked while the configuration is read. */
export function topicsOf(source: SourceConfig, path: string, problems: Problems): readonly string[] {
  try {
    return source.connector.topics(source.options as never)
  } catch (error) {
    problems.add(source.place, path, errorMessage(error))
    return []
  }
}
