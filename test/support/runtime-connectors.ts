import {
  defineOptions,
  defineSink,
  defineSource,
  defineTransform,
  packRecords,
  type SinkBatch,
  type SinkConnector,
  type SinkProgress,
  type SourceBatch,
  type SourceCheckpoint,
  type SourceConnector,
  type Transform,
  type TransformDefinition,
} from '../../runtime/api/index.ts'

/** Hooks that a test changes while the loops run. */
export interface CountingSource {
  readonly connector: SourceConnector
  /** Positions that `committed` was told, in order. */
  readonly committed: number[]
  opens: number
  /** Called before each poll; may throw. */
  beforePoll: (position: number) => void | Promise<void>
}

/** Emits `0`, `1`, ... up to `count` as lines of `topic`, `perPoll` at a time; its position is the next number. */
export function countingSource(topic: string, count: number, perPoll = 10): CountingSource {
  const source: CountingSource = {
    committed: [],
    opens: 0,
    beforePoll: () => {},
    connector: defineSource({
      kind: 'source',
      name: 'counting',
      aliases: [],
      version: '1',
      doc: 'numbers',
      options: defineOptions({}),
      defaultConverter: 'bytes',
      topics: () => [topic],
      plan: options => [options],
      async open(_options, checkpoints) {
        source.opens++
        let next = Number(checkpoints[0]?.position?.next ?? 0)
        return {
          async poll(): Promise<SourceBatch | 'finished'> {
            await source.beforePoll(next)
            if (next >= count) return 'finished'
            const to = Math.min(count, next + perPoll)
            const values = Array.from({ length: to - next }, (_, i) => ({ value: String(next + i) }))
            next = to
            const checkpoint: SourceCheckpoint = { partition: { source: 'one' }, position: { next } }
            return {
              parts: [{ kind: 'packed', topic, orderKey: 'one', packed: packRecords(values) }],
              checkpoints: [checkpoint],
            }
          },
          committed: told => void source.committed.push(...told.map(c => Number(c.position?.next))),
          close: async () => {},
        }
      },
    }),
  }
  return source
}

/** What one poll brings: lines, whether the source may resume behind them, and what becomes of the transaction. */
export interface ScriptedPoll {
  readonly values: readonly string[]
  readonly inside?: boolean
  readonly transaction?: 'commit' | 'abort'
  readonly more?: boolean
}

/** Polls in the order of a script, from the committed one on. Positions are numbers of polls; `committed` are those told. */
export function scriptedSource(
  topic: string,
  script: readonly ScriptedPoll[],
  beforePoll: (poll: number) => Promise<void> | void = () => {},
) {
  const committed: number[] = []
  const connector = defineSource({
    kind: 'source',
    name: 'scripted',
    aliases: [],
    version: '1',
    doc: 'script',
    options: defineOptions({}),
    defaultConverter: 'bytes',
    canDefineTransactionBoundaries: () => true,
    topics: () => [topic],
    plan: options => [options],
    async open(_options, checkpoints) {
      let next = Number(checkpoints[0]?.position?.next ?? 0)
      return {
        async poll(): Promise<SourceBatch | 'finished'> {
          await beforePoll(next)
          const polled = script[next]
          if (polled === undefined) return 'finished'
          next++
          const packed = packRecords(polled.values.map(value => ({ value })))
          const checkpoint: SourceCheckpoint = { partition: { source: 'one' }, position: { next } }
          return {
            parts: [{ kind: 'packed', topic, orderKey: 'one', packed }],
            checkpoints: polled.inside === true ? [] : [checkpoint],
            transaction: polled.transaction,
            more: polled.more,
          }
        },
        committed: told => void committed.push(...told.map(c => Number(c.position?.next))),
        close: async () => {},
      }
    },
  })
  return { connector, committed }
}

export interface CollectingSink {
  readonly connector: SinkConnector
  /** What is "durable downstream": text of the values, in the order they became so. */
  readonly delivered: string[]
  readonly opened: string[]
  /** Called with each put; may throw. */
  beforePut: (batches: readonly SinkBatch[]) => void | Promise<void>
}

/** Buffers until preCommit, which makes all of it durable. */
export function collectingSink(name = 'collecting'): CollectingSink {
  const sink: CollectingSink = {
    delivered: [],
    opened: [],
    beforePut: () => {},
    connector: defineSink({
      kind: 'sink',
      name,
      aliases: [],
      version: '1',
      doc: 'collects',
      options: defineOptions({}),
      async open() {
        const waiting: string[] = []
        const next = new Map<string, SinkProgress>()
        return {
          async open(partitions) {
            for (const p of partitions) sink.opened.push(`${p.topic}-${p.partition}@${p.offset}`)
          },
          async put(batches) {
            await sink.beforePut(batches)
            for (const batch of batches) {
              for (const record of batch.records()) waiting.push(textOf(record.value))
              const { topic, partition, nextOffset } = batch
              next.set(`${topic}-${partition}`, { topic, partition, offset: nextOffset })
            }
          },
          async preCommit() {
            sink.delivered.push(...waiting.splice(0))
            return [...next.values()]
          },
          drain: async () => {},
          async closePartitions(partitions) {
            for (const p of partitions) next.delete(`${p.topic}-${p.partition}`)
          },
          close: async () => {},
        }
      },
    }),
  }
  return sink
}

function textOf(value: unknown): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString() : JSON.stringify(value)
}

/** A transform from a function, for tests. */
export function testTransform(apply: Transform, structured = false): TransformDefinition {
  const options = defineOptions({})
  return defineTransform({
    kind: 'transform',
    name: 'Test',
    aliases: [],
    doc: 'test',
    options,
    structured,
    open: () => apply,
  })
}
