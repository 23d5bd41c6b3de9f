import type { AssignedPartition, GroupOffset } from '../broker/index.ts'
import { type JsonObject, type SinkProgress, stringifyJson, type TopicPartition } from './api/index.ts'
import { InFlight } from './in-flight.ts'
import { KeptLetters } from './kept-letters.ts'
import type { TopicConverters } from './topic-converters.ts'

/** What a sink's loop knows of a partition that its task has. */
export class OwnedPartition {
  readonly topic: string
  readonly partition: number
  /** Known with the first records: a topic remembers its converters from the moment its source first writes it. */
  converters: TopicConverters | undefined
  readonly inFlight = new InFlight()
  readonly letters: KeptLetters
  /** Everything before it was given to the task or is nothing that could be: markers, aborted records, gaps. */
  position: number
  #committed: number
  #metadata: string
  /** As JSON text. */
  #state: string

  constructor(assigned: AssignedPartition, state: JsonObject | null) {
    this.topic = assigned.topic
    this.partition = assigned.partition
    this.letters = new KeptLetters(assigned.metadata)
    this.position = assigned.offset
    this.#committed = assigned.offset
    this.#metadata = assigned.metadata
    this.#state = stringifyJson(state)
  }

  /**
   * What is to be committed where everything below `durable` is durable downstream; undefined when that is committed
   * already. Where nothing waits, the offset moves over what no task is given, so an idle sink has no lag.
   */
  nextCommit(durable: number | undefined): GroupOffset | undefined {
    const { topic, partition, position } = this
    let offset = Math.max(this.#committed, durable ?? 0)
    if (this.inFlight.endsAt(offset)) offset = Math.max(offset, position)
    const metadata = this.letters.metadata(offset)
    if (offset === this.#committed && metadata === this.#metadata) return undefined
    return { topic, partition, offset, metadata }
  }

  /** Answers how many records became durable by it. */
  committed({ offset, metadata }: GroupOffset): number {
    this.#committed = offset
    this.#metadata = metadata
    return this.inFlight.durable(offset)
  }

  hasState(state: JsonObject | null): boolean {
    return stringifyJson(state) === this.#state
  }

  saved(state: JsonObject | null): void {
    this.#state = stringifyJson(state)
  }
}

/** A sink task's partitions, by name. */
export class OwnedPartitions {
  readonly #byName = new Map<string, OwnedPartition>()

  all(): IterableIterator<OwnedPartition> {
    return this.#byName.values()
  }

  add(owned: OwnedPartition): void {
    this.#byName.set(nameOf(owned), owned)
  }

  find(of: TopicPartition): OwnedPartition | undefined {
    return this.#byName.get(nameOf(of))
  }

  get(of: TopicPartition): OwnedPartition {
    const owned = this.find(of)
    if (owned === undefined) throw new Error(`records of ${of.topic}-${of.partition}, which this task does not own`)
    return owned
  }

  delete(of: TopicPartition): void {
    this.#byName.delete(nameOf(of))
  }

  /** Notes states that are durable now. */
  saved(progress: readonly SinkProgress[]): void {
    for (const { state, ...of } of progress) if (state !== undefined) this.find(of)?.saved(state)
  }
}

export function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
