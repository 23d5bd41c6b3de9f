import {
  defineOptions,
  defineSink,
  type JsonObject,
  KtsError,
  type OpenPartition,
  type SinkBatch,
  type SinkProgress,
  type SinkTask,
  stringifyJson,
  type TaskContext,
  type TopicPartition,
  writeWhole,
} from '../../runtime/api/index.ts'
import { readNumbered } from './numbered.ts'
import { Tally } from './tally.ts'

const OPTIONS = defineOptions({
  'report.path': {
    type: 'path',
    default: null,
    doc: 'Where the findings so far are written as JSON at every commit. Left out: they stand in the status only.',
  },
})

/** Sources told apart in one partition; numbered records of further ones count as altered. */
const SOURCES_MAX = 1000

interface PartitionTally extends TopicPartition {
  readonly sources: Map<string, Tally>
  /** Records that are no numbered records at all. */
  foreign: number
  nextOffset: number
}

/** Checks what the `verifiable` source wrote: nothing lost, altered, repeated or out of order. */
export const verifiableSink = defineSink({
  kind: 'sink',
  name: 'verifiable',
  aliases: ['org.apache.kafka.connect.tools.VerifiableSinkConnector'],
  version: '1',
  doc: 'Reads the numbered records of the verifiable source and reports loss, duplicates, disorder and alteration, by source and since number 0. Its counts are kept with its offsets, so a restart goes on counting.',
  options: OPTIONS,
  open: async (options, context) => new VerifiableSinkTask(options['report.path'], context),
})

class VerifiableSinkTask implements SinkTask {
  readonly #reportPath: string | undefined
  readonly #context: TaskContext
  readonly #partitions = new Map<string, PartitionTally>()
  /** Partitions with records since the last commit. */
  readonly #changed = new Set<PartitionTally>()

  constructor(reportPath: string | undefined, context: TaskContext) {
    this.#reportPath = reportPath
    this.#context = context
  }

  async open(partitions: readonly OpenPartition[]): Promise<void> {
    for (const partition of partitions) this.#partitions.set(nameOf(partition), restore(partition))
  }

  async put(batches: readonly SinkBatch[]): Promise<void> {
    for (const batch of batches) {
      const tally = this.#partitions.get(nameOf(batch))!
      const { packed } = batch
      if (packed === undefined) for (const record of batch.records()) take(tally, bytesOf(record.value))
      else for (let i = 0; i < packed.count; i++) take(tally, packed.value(i))
      tally.nextOffset = batch.nextOffset
      this.#changed.add(tally)
    }
  }

  async preCommit(): Promise<readonly SinkProgress[]> {
    if (this.#changed.size === 0) return []
    await this.#tell()
    const progress = [...this.#changed].map(tally => ({
      topic: tally.topic,
      partition: tally.partition,
      offset: tally.nextOffset,
      state: stateOf(tally),
    }))
    this.#changed.clear()
    return progress
  }

  async drain(): Promise<void> {}

  async closePartitions(partitions: readonly TopicPartition[]): Promise<void> {
    for (const partition of partitions) {
      const name = nameOf(partition)
      const tally = this.#partitions.get(name)
      if (tally !== undefined) this.#changed.delete(tally)
      this.#partitions.delete(name)
    }
  }

  async close(): Promise<void> {}

  async #tell(): Promise<void> {
    const totals = { records: 0, lost: 0, duplicates: 0, disorder: 0, altered: 0 }
    const sources: Record<string, JsonObject> = Object.create(null)
    for (const partition of this.#partitions.values()) {
      totals.records += partition.foreign
      totals.altered += partition.foreign
      for (const [name, tally] of partition.sources) {
        const summary = tally.summary()
        sources[name] = summary
        for (const count of Object.keys(totals) as (keyof typeof totals)[]) totals[count] += summary[count]
      }
    }
    this.#context.report(totals)
    if (this.#reportPath === undefined) return
    const report = Buffer.from(`${stringifyJson({ ...totals, sources })}\n`)
    await writeWhole(this.#context.files, this.#reportPath, report)
  }
}

function take(partition: PartitionTally, value: Uint8Array | null): void {
  const numbered = value === null ? undefined : readNumbered(value)
  const tally = numbered === undefined ? undefined : tallyOf(partition, numbered.source)
  if (tally === undefined) partition.foreign++
  else if (numbered!.intact) tally.take(numbered!.seq)
  else tally.takeAltered()
}

function tallyOf({ sources }: PartitionTally, name: string): Tally | undefined {
  let tally = sources.get(name)
  if (tally === undefined && sources.size < SOURCES_MAX) {
    tally = new Tally()
    sources.set(name, tally)
  }
  return tally
}

/** The record's bytes, whichever converter the topic has: JSON keeps the order of members. */
function bytesOf(value: unknown): Uint8Array | null {
  if (value === null || value === undefined || value instanceof Uint8Array) return value ?? null
  return Buffer.from(typeof value === 'string' ? value : stringifyJson(value))
}

function stateOf({ sources, foreign }: PartitionTally): JsonObject {
  return { v: 1, foreign, sources: [...sources].map(([name, tally]) => [name, tally.toJson()]) }
}

function restore({ topic, partition, offset, state }: OpenPartition): PartitionTally {
  const sources = new Map<string, Tally>()
  const tally: PartitionTally = { topic, partition, sources, foreign: 0, nextOffset: offset }
  if (state === null) return tally
  const damaged = new KtsError(
    'POSITION_LOST',
    `verifiable sink: the state of ${topic}-${partition} is not one of this version; give the sink another name to count anew`,
  )
  if (state.v !== 1 || typeof state.foreign !== 'number' || !Array.isArray(state.sources)) throw damaged
  tally.foreign = state.foreign
  for (const [name, json] of state.sources) {
    const restored = Tally.fromJson(json)
    if (typeof name !== 'string' || restored === undefined) throw damaged
    sources.set(name, restored)
  }
  return tally
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}-${partition}`
}
