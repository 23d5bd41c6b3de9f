import { Gate, KtsError } from '../runtime/api/index.ts'
import { existingTopic } from './topics.ts'
import type { Broker } from './worker-view.ts'

/** A topic to be created. */
export interface NewTopic {
  readonly name: string
  readonly partitions?: number | undefined
  readonly configs?: Readonly<Record<string, string>> | undefined
}

/** What is to change of a topic; the rest stays as it is. */
export interface TopicAlteration {
  readonly partitions?: number | undefined
  /** null: back to the default. */
  readonly configs?: Readonly<Record<string, string | null>> | undefined
  /** Also what deletes records, or parts those of a key. */
  readonly allowDestructive?: boolean | undefined
}

/** Rejects with INVALID_TOPIC when there is one of that name, with INVALID_CONFIG. */
export function createTopic(broker: Broker, { name, partitions, configs = {} }: NewTopic): Promise<void> {
  return inTurn(broker, async () => {
    if ((await broker.topic(name)) !== undefined)
      throw new KtsError('INVALID_TOPIC', `topic ${name} exists already; alter it, or choose another name`)
    await broker.ensureTopic({ name, partitions, configs })
  })
}

/** Rejects with UNKNOWN_TOPIC_OR_PARTITION, INVALID_CONFIG, DESTRUCTIVE_CHANGE. */
export function alterTopic(broker: Broker, name: string, change: TopicAlteration): Promise<void> {
  return inTurn(broker, async () => {
    const topic = await existingTopic(broker, name)
    const { partitions, configs = {}, allowDestructive } = change
    if (partitions !== undefined && partitions < topic.partitions)
      throw new KtsError(
        'INVALID_CONFIG',
        `topic ${name} has ${topic.partitions} partitions: there can be more of them, not fewer; got ${partitions}`,
      )
    const changed = Object.entries({ ...topic.configs, ...configs }).filter(
      (entry): entry is [string, string] => entry[1] !== null,
    )
    const spec = { name, partitions, configs: Object.fromEntries(changed) }
    await broker.ensureTopic(spec, { allowDestructive: allowDestructive === true })
  })
}

export function deleteTopic(broker: Broker, name: string): Promise<void> {
  return inTurn(broker, async () => {
    await existingTopic(broker, name)
    await broker.deleteTopic(name)
  })
}

/** Answers the new start of the partition. */
export function deleteRecords(broker: Broker, name: string, partition: number, offset: number): Promise<number> {
  return inTurn(broker, async () => {
    await existingTopic(broker, name)
    return broker.deleteRecords(name, partition, offset)
  })
}

const gates = new WeakMap<Broker, Gate>()

/** One change at a time: each looks at what there is before it decides. */
function inTurn<T>(broker: Broker, work: () => Promise<T>): Promise<T> {
  const gate = gates.get(broker) ?? new Gate(1)
  gates.set(broker, gate)
  return gate.pass(work)
}
