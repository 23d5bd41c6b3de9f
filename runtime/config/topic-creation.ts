import type { OptionSpecs } from '../api/index.ts'
import type { ReadOptions } from './option-reader.ts'
import type { Problems } from './problems.ts'
import { readTopicSettings, TOPIC_SETTINGS } from './topic-settings.ts'
import type { Place, TopicCreation } from './types.ts'

/** Connect's names: https://cwiki.apache.org/confluence/display/KAFKA/KIP-158 */
const PREFIX = 'topic.creation.default.'
const PARTITIONS = `${PREFIX}partitions`
const REPLICATION = `${PREFIX}replication.factor`

/** Options of every source. */
export const TOPIC_CREATION_OPTIONS: OptionSpecs = {
  [PARTITIONS]: {
    type: 'integer',
    default: null,
    min: -1,
    max: 10_000,
    validate: count => (count === 0 ? "a number of partitions, or -1 for the broker's num.partitions" : undefined),
    doc: 'Partitions of a topic that is made because this source writes to it, and that `topics:` does not name.',
  },
  [REPLICATION]: { type: 'integer', default: null, doc: 'Taken, without effect.' },
  ...Object.fromEntries(Object.entries(TOPIC_SETTINGS).map(([name, spec]) => [PREFIX + name, spec])),
}

/** Undefined when nothing of it was given. */
export function readTopicCreation(
  read: Pick<ReadOptions, 'values' | 'given'>,
  section: { readonly path: string; readonly place: Place },
  problems: Problems,
): TopicCreation | undefined {
  if (![...read.given.keys()].some(name => name.startsWith(PREFIX))) return undefined
  const partitions = read.values[PARTITIONS] as number | undefined
  if (Number(read.values[REPLICATION] ?? 1) > 1)
    problems.warn(
      read.given.get(REPLICATION)?.place ?? section.place,
      `${section.path}.${REPLICATION}`,
      'has no effect here: it is for a cluster of brokers',
    )
  return {
    partitions: partitions === -1 ? undefined : partitions,
    configs: readTopicSettings(read, PREFIX, section, problems),
  }
}
