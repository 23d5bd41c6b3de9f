import type { OptionSpec, OptionSpecs } from '../api/index.ts'
import type { FlatOption } from './flat-options.ts'
import { type ReadOptions, readOptions } from './option-reader.ts'
import type { ValueContext } from './option-values.ts'
import { Problems } from './problems.ts'
import { readTopicSettings, TOPIC_SETTINGS } from './topic-settings.ts'
import type { Place, TopicCreation } from './types.ts'

/** Connect's names: https://cwiki.apache.org/confluence/display/KAFKA/KIP-158 */
const GROUPS = 'topic.creation.groups'
const DEFAULT = 'default'

const GROUPS_SPEC: OptionSpec = {
  type: 'list',
  default: [],
  doc: 'Groups of topics, each with options of its own as `topic.creation.<group>.*`. A topic is of the first group that it matches, else of `default`.',
  examples: [['compacted']],
  validate: names =>
    names.every(name => /^[A-Za-z0-9_-]+$/.test(name)) ? undefined : 'names of letters, digits, _ and -',
}

/** Of every source, for docs and editors: those of groups under a name that stands for each. */
export const TOPIC_CREATION_OPTIONS: OptionSpecs = {
  [GROUPS]: GROUPS_SPEC,
  ...groupOptions(DEFAULT),
  'topic.creation.<group>.<option>': {
    type: 'family',
    pattern: 'topic\\.creation\\.(?!default\\.)[A-Za-z0-9_-]+\\..+',
    member: { type: 'list', doc: '' },
    default: {},
    doc: 'The same of the topics of a group, which `include` and `exclude` choose by regular expressions for whole names; partitions are those of `default` where it says nothing.',
  },
}

/** Those that a source may have, as it names its groups. */
export function topicCreationOptions(options: readonly FlatOption[], context: ValueContext): OptionSpecs {
  const groups = groupsOf(options, context)
  return Object.assign({ [GROUPS]: GROUPS_SPEC }, ...[DEFAULT, ...groups].map(groupOptions))
}

/** Undefined when nothing of it was given; else groups in the order in which they are asked, the default last. */
export function readTopicCreation(
  read: Pick<ReadOptions, 'values' | 'given'>,
  section: { readonly path: string; readonly place: Place },
  problems: Problems,
): readonly TopicCreation[] | undefined {
  if (![...read.given.keys()].some(name => name.startsWith('topic.creation.'))) return undefined
  const named = (read.values[GROUPS] as readonly string[]).filter(name => name !== DEFAULT)
  const groups = [...new Set(named), DEFAULT].map(group => readGroup(group, read, section, problems))
  const { partitions } = groups.at(-1)!
  return groups.map(group => ({ ...group, partitions: group.partitions ?? partitions }))
}

function groupsOf(options: readonly FlatOption[], context: ValueContext): readonly string[] {
  const option = options.find(({ key }) => key === GROUPS)
  if (option === undefined) return []
  const scope = { specs: { [GROUPS]: GROUPS_SPEC }, path: '', place: option.place, title: '', elsewhere: new Map() }
  // What is wrong with it is reported where all options are read.
  const { values } = readOptions([option], scope, context, new Problems())
  return values[GROUPS] as readonly string[]
}

function groupOptions(group: string): OptionSpecs {
  const prefix = `topic.creation.${group}.`
  const members: OptionSpecs =
    group === DEFAULT
      ? {}
      : {
          [`${prefix}include`]: { type: 'list', nonEmpty: true, doc: 'Topics of the group.', validate: regexProblem },
          [`${prefix}exclude`]: { type: 'list', default: [], doc: 'Those that are not.', validate: regexProblem },
        }
  return {
    ...members,
    [`${prefix}partitions`]: {
      type: 'integer',
      default: null,
      min: -1,
      max: 10_000,
      validate: count => (count === 0 ? "a number of partitions, or -1 for the broker's num.partitions" : undefined),
      doc: 'Partitions of a topic that is made because this source writes to it, and that `topics:` does not name.',
    },
    [`${prefix}replication.factor`]: { type: 'integer', default: null, doc: 'Taken, without effect.' },
    ...Object.fromEntries(Object.entries(TOPIC_SETTINGS).map(([name, spec]) => [prefix + name, spec])),
  }
}

function readGroup(
  group: string,
  read: Pick<ReadOptions, 'values' | 'given'>,
  section: { readonly path: string; readonly place: Place },
  problems: Problems,
): TopicCreation {
  const prefix = `topic.creation.${group}.`
  const replication = `${prefix}replication.factor`
  if (Number(read.values[replication] ?? 1) > 1)
    problems.warn(
      read.given.get(replication)?.place ?? section.place,
      `${section.path}.${replication}`,
      'has no effect here: it is for a cluster of brokers',
    )
  return {
    include: group === DEFAULT ? ['.*'] : ((read.values[`${prefix}include`] ?? []) as readonly string[]),
    exclude: (read.values[`${prefix}exclude`] ?? []) as readonly string[],
    partitions: read.values[`${prefix}partitions`] as number | undefined,
    configs: readTopicSettings(read, prefix, section, problems),
  }
}

function regexProblem(texts: readonly string[]): string | undefined {
  try {
    for (const text of texts) new RegExp(text)
    return undefined
  } catch {
    return 'regular expressions'
  }
}
