import type { Broker, TopicDescription, TopicSpec } from '../broker/index.ts'
import { KtsError, type Logger, silentLogger } from './api/index.ts'
import type { SourceConfig, TopicCreation, WorkerConfig } from './config/types.ts'
import {
  type ConverterOptions,
  converterNotes,
  convertersOf,
  defaultConverters,
  givenConverters,
  type TopicConverters,
  withoutConverterNotes,
} from './topic-converters.ts'

interface TopicsOptions {
  /** The configuration may change topics so that records are deleted. */
  readonly allowDestructive?: boolean | undefined
  /** Default: says nothing. */
  readonly log?: Logger | undefined
}

/**
 * Topics as the runtime needs them: created when a record first goes there, with the partitions and converters that the
 * configuration gives them. A topic remembers the converters of its source (as the topic settings `key.converter` and
 * `value.converter`), so that a sink in another file, or a later run, reads it the same way.
 */
export class Topics {
  readonly #broker: Broker
  #config: WorkerConfig
  #allowDestructive: boolean
  readonly #log: Logger
  readonly #known = new Map<string, TopicDescription>()
  /** Names of the sources that each topic was made sure of for: it remembers what they write. */
  readonly #writers = new Map<string, Set<string>>()
  readonly #creating = new Map<string, Promise<TopicDescription>>()

  constructor(broker: Broker, config: WorkerConfig, options: TopicsOptions = {}) {
    this.#broker = broker
    this.#config = config
    this.#allowDestructive = options.allowDestructive ?? false
    this.#log = options.log ?? silentLogger
  }

  /**
   * Goes over to another configuration, as `createConfigured`; keeps the one it has when that rejects. What deletes records
   * was allowed for the first one alone.
   */
  async reconfigure(config: WorkerConfig): Promise<void> {
    const before = this.#config
    this.#config = config
    this.#allowDestructive = false
    try {
      await this.createConfigured()
      // Sources say anew how they write.
      this.#writers.clear()
    } catch (error) {
      this.#config = before
      throw error
    }
  }

  /**
   * Creates what the configuration names: declared topics, and what its sources say they write. Rejects with
   * DESTRUCTIVE_CHANGE, which names all that would be lost, before it has changed any of them.
   */
  async createConfigured(): Promise<void> {
    const configured = this.#configured()
    const options = { allowDestructive: this.#allowDestructive }
    const destructive: KtsError[] = []
    for (const [name, source] of configured) {
      try {
        await this.#broker.checkTopic(await this.#specOf(name, source), options)
      } catch (error) {
        if (!(error instanceof KtsError) || error.code !== 'DESTRUCTIVE_CHANGE') throw error
        destructive.push(error)
      }
    }
    if (destructive.length > 0) throw allOf(destructive)
    for (const [name, source] of configured) {
      const { partitions } = await this.#ensure(name, source)
      const declared = this.#config.topics.find(t => t.name === name)?.values.partitions
      if (declared !== undefined && declared < partitions)
        this.#log.warn(
          { topic: name, partitions, declared },
          'the topic keeps its partitions: there can never be fewer',
        )
    }
  }

  /** What was deleted since the start is created again, as the configuration has it. For a task that starts anew. */
  async restore(): Promise<void> {
    for (const name of this.#known.keys()) {
      if ((await this.#broker.topic(name)) !== undefined) continue
      this.#known.delete(name)
      this.#writers.delete(name)
    }
    for (const [name, source] of this.#configured()) await this.ensure(name, source)
  }

  /** By name, with the source that writes it. */
  #configured(): ReadonlyMap<string, SourceConfig | undefined> {
    const { topics, sources, sinks } = this.#config
    const configured = new Map<string, SourceConfig | undefined>()
    const add = (name: string, source: SourceConfig | undefined) => {
      if (configured.get(name) === undefined) configured.set(name, source)
    }
    for (const topic of topics) add(topic.name, this.#writerOf(topic.name))
    for (const source of sources) for (const name of source.connector.topics(source.options as never)) add(name, source)
    for (const { common } of [...sources, ...sinks]) {
      const deadLetters = common['errors.deadletterqueue.topic.name']
      if (deadLetters !== undefined) add(deadLetters, undefined)
    }
    for (const sink of sinks) for (const name of sink.common.topics ?? []) add(name, this.#writerOf(name))
    return configured
  }

  /** Known from the last `ensure`; undefined before the first. Costs one map look-up. */
  partitions(topic: string): number | undefined {
    return this.#known.get(topic)?.partitions
  }

  /** Creates the topic when it is missing; it remembers how this source writes it before the first record goes there. */
  async ensure(topic: string, source: SourceConfig | undefined): Promise<void> {
    const isNew = source !== undefined && this.#writers.get(topic)?.has(source.name) !== true
    if (isNew || !this.#known.has(topic)) await this.#ensure(topic, source)
  }

  /** Topics that the source has written, or may, as it says. */
  writtenBy(source: SourceConfig): readonly string[] {
    const written = [...this.#writers].flatMap(([topic, sources]) => (sources.has(source.name) ? [topic] : []))
    return [...new Set([...source.connector.topics(source.options as never), ...written])]
  }

  /** How a source writes the topic: its own option, the topic's, json behind a parser, the connector's default. */
  forSource(topic: string, source: SourceConfig): TopicConverters {
    return this.#resolve(topic, source.common, defaultConverters(source))
  }

  /** How a sink reads the topic: its own option, the topic's, its source's in this configuration, what it remembers. */
  async forSink(topic: string, own: ConverterOptions): Promise<TopicConverters> {
    const writer = this.#writerOf(topic)
    if (writer !== undefined)
      return this.#resolve(topic, own, { ...defaultConverters(writer), ...givenConverters(writer.common) })
    const { configs = {} } = (await this.#broker.topic(topic)) ?? {}
    return this.#resolve(topic, own, { 'key.converter': 'bytes', 'value.converter': 'bytes', ...configs })
  }

  #resolve(topic: string, own: ConverterOptions, fallback: ConverterOptions): TopicConverters {
    const declared: ConverterOptions = this.#config.topics.find(t => t.name === topic)?.values ?? {}
    return convertersOf([own, declared, fallback])
  }

  #writerOf(topic: string): SourceConfig | undefined {
    return this.#config.sources.find(source => source.connector.topics(source.options as never).includes(topic))
  }

  /** Who does not declare a topic leaves its settings as they are; `topic.creation.*` are of new ones. */
  async #specOf(name: string, source: SourceConfig | undefined): Promise<TopicSpec> {
    const declared = this.#config.topics.find(t => t.name === name)
    const remembers = source === undefined ? {} : converterNotes(this.forSource(name, source))
    if (declared !== undefined)
      return { name, partitions: declared.values.partitions, configs: { ...remembers, ...declared.configs } }
    const existing = await this.#broker.topic(name)
    if (existing === undefined) {
      const creation = this.#creationOf(name, source)
      const partitions = creation?.partitions === -1 ? undefined : creation?.partitions
      return { name, partitions, configs: { ...creation?.configs, ...remembers } }
    }
    return {
      name,
      partitions: undefined,
      configs: { ...withoutConverterNotes(existing.configs, remembers), ...remembers },
    }
  }

  /** Of its source. A topic that a sink waits for is one of the only source that cannot say what it writes. */
  #creationOf(name: string, source: SourceConfig | undefined): TopicCreation | undefined {
    if (source !== undefined) return source.topicCreation?.find(group => isOf(group, name))
    const { sources, sinks } = this.#config
    if (!sinks.some(({ common }) => common.topics?.includes(name))) return undefined
    const unknown = sources.filter(one => one.connector.topics(one.options as never).length === 0)
    return unknown.length === 1 ? this.#creationOf(name, unknown[0]!) : undefined
  }

  async #ensure(name: string, source: SourceConfig | undefined): Promise<TopicDescription> {
    const running = this.#creating.get(name)
    if (running !== undefined) {
      await running.catch(() => undefined)
      return this.#ensure(name, source)
    }
    const options = { allowDestructive: this.#allowDestructive }
    const creating = this.#specOf(name, source).then(spec => this.#broker.ensureTopic(spec, options))
    this.#creating.set(name, creating)
    try {
      const topic = await creating
      this.#known.set(name, topic)
      if (source !== undefined) this.#writers.set(name, (this.#writers.get(name) ?? new Set()).add(source.name))
      return topic
    } finally {
      this.#creating.delete(name)
    }
  }
}

function isOf({ include, exclude }: TopicCreation, topic: string): boolean {
  const matches = (text: string) => new RegExp(`^(?:${text})$`).test(topic)
  return include.some(matches) && !exclude.some(matches)
}

/** One error that says what all of them say. */
function allOf(errors: readonly KtsError[]): KtsError {
  const details = { topics: errors.map(error => error.details?.topic) }
  return new KtsError('DESTRUCTIVE_CHANGE', errors.map(error => error.message).join('\n'), { details })
}
