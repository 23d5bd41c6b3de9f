import { INTERNAL_TOPICS } from '../../broker/index.ts'
import type { OptionSpecs } from '../api/index.ts'
import { TOPIC_OPTIONS } from './common-options.ts'
import { SETTINGS_ELSEWHERE } from './connector-options.ts'
import { readOptions } from './option-reader.ts'
import type { ValueContext } from './option-values.ts'
import type { Section } from './pipeline-file.ts'
import { formatPlace, type Problems, quoted } from './problems.ts'
import { readTopicSettings, TOPIC_SETTINGS } from './topic-settings.ts'
import type { Place, TopicConfig } from './types.ts'

/** Kafka's rule: the name becomes a folder's. `written`: what may be repeated of it. Undefined when the name is fine. */
export function topicNameProblem(name: string, written: string): string | undefined {
  if (/^[A-Za-z0-9._-]{1,249}$/.test(name) && name !== '.' && name !== '..') return undefined
  return `expected a topic name of 1 to 249 letters, digits, . _ and -, and not . or .. alone; got ${quoted(written)}`
}

/** A topic that records go to cannot be one of the broker's own either. */
export function writtenTopicProblem(name: string, written: string): string | undefined {
  if (!INTERNAL_TOPICS.includes(name)) return topicNameProblem(name, written)
  return `expected a topic of your own, got ${quoted(written)}, which is the broker's; choose another name`
}

/** Every option of an entry of `topics`. */
export const TOPIC_ENTRY_OPTIONS: OptionSpecs = { ...TOPIC_SETTINGS, ...TOPIC_OPTIONS }

/** Reads one entry of `topics`. */
export function readTopic(section: Section, context: ValueContext, problems: Problems): TopicConfig {
  const wrong = writtenTopicProblem(section.name, section.name)
  if (wrong !== undefined) problems.add(section.place, section.path, wrong)
  const scope = {
    specs: TOPIC_ENTRY_OPTIONS,
    path: section.path,
    place: section.place,
    title: 'an option of a topic',
    elsewhere: new Map([...SETTINGS_ELSEWHERE].filter(([name]) => !Object.hasOwn(TOPIC_ENTRY_OPTIONS, name))),
  }
  const read = readOptions(section.options, scope, context, problems)
  const own = Object.fromEntries(Object.keys(TOPIC_OPTIONS).map(name => [name, read.values[name]]))
  const configs = readTopicSettings(read, '', section, problems)
  return { name: section.name, values: own as unknown as TopicConfig['values'], configs, place: section.place }
}

/**
 * One entry for each topic. A topic may stand in several files with equal settings, or with settings in one of them alone;
 * other settings are a problem that names both places.
 */
export function mergeTopics(topics: readonly TopicConfig[], problems: Problems): readonly TopicConfig[] {
  const merged = new Map<string, TopicConfig>()
  for (const topic of topics) {
    const other = merged.get(topic.name)
    if (other === undefined || settingsOf(other).size === 0) merged.set(topic.name, topic)
    else if (settingsOf(topic).size > 0) reportDifference(other, topic, problems)
  }
  return [...merged.values()]
}

function reportDifference(first: TopicConfig, second: TopicConfig, problems: Problems): void {
  const a = settingsOf(first)
  const b = settingsOf(second)
  for (const name of [...new Set([...a.keys(), ...b.keys()])].sort()) {
    if (a.get(name) === b.get(name)) continue
    problems.add(second.place, `topics.${second.name}.${name}`, differs(a.get(name), b.get(name), first.place))
  }
}

function differs(first: string | undefined, second: string | undefined, place: Place): string {
  const expected = first === undefined ? 'nothing' : first
  return `expected ${expected} as at ${formatPlace(place)}, got ${second ?? 'nothing'}; give a topic's settings in one file`
}

function settingsOf(topic: TopicConfig): ReadonlyMap<string, string> {
  const own = Object.entries(topic.values).filter(([, value]) => value !== undefined)
  return new Map([...Object.entries(topic.configs), ...own.map(([name, value]) => [name, String(value)] as const)])
}
