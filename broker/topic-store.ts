import { type Clock, type Files, KtsError, type Logger, type Random, randomId } from '../base/index.ts'
import { checkDestructive } from './destructive-change.ts'
import type { FileCache } from './file-cache.ts'
import { type PartitionId, partitionKey } from './group-members.ts'
import { inParallel } from './in-parallel.ts'
import { LogStarts } from './log-starts.ts'
import type { PartitionOffset } from './offset-checkpoint.ts'
import { Partition } from './partition.ts'
import type { EnsureOptions, TopicDescription, TopicSpec } from './port.ts'
import type { ReadAhead } from './read-ahead.ts'
import { parseTopicConfigs, type TopicSettings } from './topic-configs.ts'
import { finishDeletions, removeFolders, renameFolders } from './topic-deletion.ts'
import { checkTopicName } from './topic-name.ts'
import { findTopics, readTopics, sameConfigs, type TopicEntry, writeTopics } from './topic-registry.ts'
import type { DurableEnds } from './transaction-log.ts'

export interface TopicStoreParts {
  readonly directory: string
  readonly files: Files
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly cache: FileCache
  readonly readAhead: ReadAhead
  readonly checkCrcs: boolean
  readonly partitionsDefault: number
  /** Topics of the broker's own, with their settings. */
  readonly internal: ReadonlyMap<string, Readonly<Record<string, string>>>
  /** By partition key; undefined: nothing is known to be good. */
  readonly recoveryPoints: ReadonlyMap<string, number> | undefined
  /** The last owner closed in good order. */
  readonly clean: boolean
  /** Opened before all others, if it is there: what it tells decides how they are opened. */
  readonly first: { readonly topic: string; readonly opened: (topic: Topic) => Promise<DurableEnds> }
}

export interface Topic {
  readonly name: string
  readonly internal: boolean
  readonly entry: TopicEntry
  readonly settings: TopicSettings
  readonly partitions: readonly Partition[]
}

/** The topics of a data directory and their open partitions. */
export class TopicStore {
  readonly #parts: TopicStoreParts
  readonly #topics = new Map<string, Topic>()
  /** Set first of all. */
  #logStarts!: LogStarts
  /** While topics are opened: what the transaction log knows of them. */
  #durableEnd: DurableEnds | undefined
  /** Changes come one at a time: each writes the list of topics as a whole. */
  #changing: Promise<unknown> = Promise.resolve()

  static async open(parts: TopicStoreParts): Promise<TopicStore> {
    const store = new TopicStore(parts)
    try {
      await store.#open()
      return store
    } catch (error) {
      await store.close().catch(() => undefined)
      throw error
    }
  }

  private constructor(parts: TopicStoreParts) {
    this.#parts = parts
  }

  /** Throws UNKNOWN_TOPIC_OR_PARTITION. */
  partition(topic: string, partition: number): Partition {
    const found = this.#topics.get(topic)?.partitions[partition]
    if (found !== undefined) return found
    throw unknownTopic(partitionKey(topic, partition))
  }

  /** For records of others. Throws INVALID_TOPIC for the broker's own topics as well. */
  writable(topic: string, partition: number): Partition {
    this.#checkNotInternal(topic)
    return this.partition(topic, partition)
  }

  /** Whether the partition is still one of a topic's. */
  has(partition: Partition): boolean {
    return this.#topics.get(partition.topic)?.partitions[partition.partition] === partition
  }

  get cache(): FileCache {
    return this.#parts.cache
  }

  /** Where the partition lies. */
  folderOf(partition: Partition): string {
    return this.#folder(partition)
  }

  topic(name: string): Topic | undefined {
    return this.#topics.get(name)
  }

  all(): readonly Topic[] {
    return [...this.#topics.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /**
   * Creates what is missing and applies changed settings; before a topic is created, `forget` takes care of what others
   * remember of an earlier one of its name. Rejects with INVALID_TOPIC, INVALID_CONFIG, DESTRUCTIVE_CHANGE.
   */
  ensure(spec: TopicSpec, options: EnsureOptions, forget: () => Promise<void>): Promise<Topic> {
    return this.#change(async () => {
      await this.#check(spec, options)
      if (!this.#topics.has(spec.name)) {
        // Folders of an earlier one whose deletion failed half way are not to become this one's.
        await this.#finishDeletions((await readTopics(this.#parts.files, this.#registryPath)) ?? new Map())
        await forget()
        await this.#forgetLogStarts(spec.name)
      }
      return this.#apply(spec, false)
    })
  }

  /** Rejects as `ensure` would. */
  check(spec: TopicSpec, options: EnsureOptions = {}): Promise<void> {
    return this.#change(() => this.#check(spec, options))
  }

  /** Deletes the topic with all its records, then calls `forget`. Rejects with UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC. */
  delete(name: string, forget: () => Promise<void>): Promise<void> {
    return this.#change(async () => {
      this.#checkNotInternal(name)
      const topic = this.#topics.get(name)
      const gone = unknownTopic(name)
      if (topic === undefined) throw gone
      const { files, directory, random } = this.#parts
      this.#topics.delete(name)
      await Promise.allSettled(topic.partitions.map(partition => partition.close(gone)))
      const numbers = topic.partitions.map(p => p.partition)
      const folders = await renameFolders(files, directory, name, numbers, random)
      await this.#writeRegistry(new Map())
      await removeFolders(files, folders)
      await forget()
      await this.#forgetLogStarts(name)
    })
  }

  /**
   * Deletes the records below `offset` (-1: all that are readable) and answers the new start. Rejects with
   * UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC, OFFSET_OUT_OF_RANGE.
   */
  deleteRecords(topic: string, partition: number, offset: number): Promise<number> {
    return this.#change(async () => {
      const log = this.writable(topic, partition)
      const start = offset === -1 ? log.highWatermark : offset
      const raised = Math.max(start, log.logStartOffset)
      if (start > log.highWatermark || start < 0)
        throw new KtsError(
          'OFFSET_OUT_OF_RANGE',
          `${partitionKey(topic, partition)}: expected an offset up to ${log.highWatermark}, the end of the log, got ${start}; nothing was deleted`,
        )
      // Durable first: what somebody was told is gone does not come back.
      await this.#writeLogStarts(new Map([[partitionKey(topic, partition), raised]]))
      await log.raiseStart(raised)
      return log.deleteBefore(raised)
    })
  }

  /** Writes down where partitions begin within a segment. */
  writeLogStarts(): Promise<void> {
    return this.#change(() => this.#writeLogStarts(new Map()))
  }

  /** Waits for a change under way, then closes every partition; rejects with the first failure after trying all. */
  async close(): Promise<void> {
    await this.#changing
    const partitions = this.all().flatMap(t => t.partitions)
    const failures: unknown[] = []
    await inParallel(partitions, async partition => {
      await partition.close().catch(error => failures.push(error))
    })
    // Readers may have been under way: what they opened behind the partition's close goes here.
    await this.#parts.cache.close().catch(error => failures.push(error))
    if (failures.length > 0) throw failures[0]
  }

  async #open(): Promise<void> {
    const { files, directory, logger, internal, first } = this.#parts
    this.#logStarts = await LogStarts.open(files, directory, logger)
    const known = await readTopics(files, this.#registryPath)
    const entries = known ?? (await findTopics(files, directory))
    await this.#finishDeletions(entries)
    if (known === undefined && entries.size > 0)
      logger.warn(
        { path: this.#registryPath, topics: [...entries.keys()] },
        'the list of topics is missing: they were found by their folders, without their settings',
      )
    const before = entries.get(first.topic)
    if (before !== undefined) this.#durableEnd = await first.opened(await this.#openTopic(first.topic, before))
    for (const [name, entry] of entries) if (name !== first.topic) await this.#openTopic(name, entry)
    this.#durableEnd = undefined
    for (const [name, configs] of internal) {
      if (!this.#topics.has(name)) await this.#apply({ name, partitions: 1, configs }, true)
    }
    if (before === undefined) await first.opened(this.#topics.get(first.topic)!)
  }

  /** A topic that was on its way out is gone before anything is opened. */
  async #finishDeletions(entries: Map<string, TopicEntry>): Promise<void> {
    const { files, directory, random, logger } = this.#parts
    const gone = await finishDeletions(files, directory, entries, random)
    if (gone.size === 0) return
    for (const name of gone) entries.delete(name)
    await writeTopics(files, this.#registryPath, entries)
    await finishDeletions(files, directory, entries, random)
    logger.info({ topics: [...gone] }, 'topics whose deletion was cut off are deleted now')
  }

  async #openTopic(name: string, entry: TopicEntry): Promise<Topic> {
    const { internal } = this.#parts
    const { settings } = parseTopicConfigs(internal.get(name) ?? entry.configs)
    const partitions = await this.#openPartitions(name, entry, settings, 0, 'present')
    const topic = { name, internal: internal.has(name), entry, settings, partitions }
    this.#topics.set(name, topic)
    return topic
  }

  #change<T>(work: () => Promise<T>): Promise<T> {
    const change = this.#changing.then(work)
    this.#changing = change.catch(() => undefined)
    return change
  }

  async #writeLogStarts(raised: ReadonlyMap<string, number>): Promise<void> {
    const starts: PartitionOffset[] = []
    for (const { name, partitions } of this.#topics.values()) {
      for (const log of partitions) {
        const offset = raised.get(partitionKey(name, log.partition)) ?? log.logStartOffset
        if (offset > log.segments()[0]!.baseOffset) starts.push({ topic: name, partition: log.partition, offset })
      }
    }
    await this.#logStarts.write(starts)
  }

  async #forgetLogStarts(gone: string): Promise<void> {
    this.#logStarts.forget(gone)
    await this.#writeLogStarts(new Map())
  }

  #checkNotInternal(name: string): void {
    if (!this.#parts.internal.has(name)) return
    throw new KtsError('INVALID_TOPIC', `topic ${name} is the broker's own; choose another name`)
  }

  async #check(spec: TopicSpec, { allowDestructive = false }: EnsureOptions): Promise<void> {
    const { name } = spec
    checkTopicName(name)
    this.#checkNotInternal(name)
    const after = settingsOf(spec)
    const old = this.#topics.get(name)
    if (old === undefined || allowDestructive) return
    const { partitions, settings: before } = old
    const partitionsWanted = spec.partitions ?? 0
    await checkDestructive({ topic: name, partitions, before, after, partitionsWanted })
  }

  async #apply(spec: TopicSpec, internal: boolean): Promise<Topic> {
    const { name, configs } = spec
    const settings = settingsOf(spec)
    const old = this.#topics.get(name)
    const before = old?.entry.partitions ?? 0
    const wanted = spec.partitions ?? (old === undefined ? this.#parts.partitionsDefault : 0)
    const id = old?.entry.id ?? (await this.#idOfFolder(name)) ?? randomId(this.#parts.random)
    const entry: TopicEntry = { id, partitions: Math.max(before, wanted), configs: { ...configs } }
    const created = await this.#openPartitions(name, entry, settings, before, 'new')
    if (old === undefined || created.length > 0 || !sameConfigs(old.entry.configs, configs)) {
      await this.#write(name, entry, created)
    }
    for (const partition of old?.partitions ?? []) partition.applySettings(settings)
    const topic = { name, internal, entry, settings, partitions: [...(old?.partitions ?? []), ...created] }
    this.#topics.set(name, topic)
    return topic
  }

  /** A creation that was cut off left its folder: it is taken over, never deleted. */
  async #idOfFolder(name: string): Promise<string | undefined> {
    return (await findTopics(this.#parts.files, this.#parts.directory)).get(name)?.id
  }

  /** The folders are durable before the list that names them: a folder in the list that is missing has been lost. */
  async #write(name: string, entry: TopicEntry, created: readonly Partition[]): Promise<void> {
    const { files, directory } = this.#parts
    try {
      await files.syncDirectory(directory)
      await this.#writeRegistry(new Map([[name, entry]]))
    } catch (error) {
      for (const partition of created) await partition.close().catch(() => undefined)
      throw error
    }
  }

  async #writeRegistry(changed: ReadonlyMap<string, TopicEntry>): Promise<void> {
    const entries = new Map([...this.#topics].map(([topic, { entry }]) => [topic, entry]))
    for (const [name, entry] of changed) entries.set(name, entry)
    await writeTopics(this.#parts.files, this.#registryPath, entries)
  }

  /** Partitions from `from` on. `present`: each must have its folder already. */
  async #openPartitions(
    name: string,
    entry: TopicEntry,
    settings: TopicSettings,
    from: number,
    expect: 'present' | 'new',
  ): Promise<Partition[]> {
    const ids = Array.from({ length: entry.partitions - from }, (_, i) => ({ topic: name, partition: from + i }))
    const opened: Partition[] = []
    try {
      await inParallel(ids, async id => {
        if (expect === 'present') await this.#checkPresent(id)
        opened.push(await this.#openPartition(id, entry, settings, expect))
      })
    } catch (error) {
      for (const partition of opened) await partition.close().catch(() => undefined)
      throw error
    }
    return opened.sort((a, b) => a.partition - b.partition)
  }

  #openPartition(id: PartitionId, entry: TopicEntry, settings: TopicSettings, expect: 'present' | 'new') {
    const { files, clock, logger, cache, readAhead, checkCrcs, recoveryPoints, clean } = this.#parts
    const recoveryPoint = expect === 'new' ? 0 : (recoveryPoints?.get(partitionKey(id.topic, id.partition)) ?? 0)
    return Partition.open({
      ...id,
      directory: this.#folder(id),
      topicId: entry.id,
      settings,
      files,
      clock,
      log: logger,
      cache,
      readAhead,
      recoveryPoint,
      acknowledgedEnd: this.#durableEnd && (this.#durableEnd(entry.id, id.partition) ?? 0),
      clean,
      checkCrcs,
      startOffset: this.#logStarts.get(id.topic, id.partition),
    })
  }

  async #checkPresent(id: PartitionId): Promise<void> {
    const { files } = this.#parts
    const folder = this.#folder(id)
    const stat = await files.stat(folder).catch(error => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    })
    if (stat?.kind === 'directory') return
    throw new KtsError(
      'STORAGE_FAILED',
      `${folder}: the folder of a partition that is listed in ${this.#registryPath} is gone, with its records. Restore it from a backup; to begin anew, delete the whole data directory`,
    )
  }

  #folder({ topic, partition }: PartitionId): string {
    return `${this.#parts.directory}/${partitionKey(topic, partition)}`
  }

  get #registryPath(): string {
    return `${this.#parts.directory}/meta/topics.json`
  }
}

/** Throws INVALID_CONFIG with all that is wrong. */
function settingsOf({ name, configs }: TopicSpec): TopicSettings {
  const { settings, problems } = parseTopicConfigs(configs)
  if (problems.length === 0) return settings
  const list = problems.map(p => `${p.name}: ${p.message}`).join('; ')
  throw new KtsError('INVALID_CONFIG', `topic ${name}: ${list}`)
}

function unknownTopic(name: string): KtsError {
  return new KtsError(
    'UNKNOWN_TOPIC_OR_PARTITION',
    `there is no topic or partition ${name}; create the topic under topics: first`,
  )
}

export function describeTopic({ name, internal, entry }: Topic): TopicDescription {
  return { name, internal, ...entry }
}
