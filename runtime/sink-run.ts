import type { Subscription } from '../broker/index.ts'
import type { SinkProgress } from './api/index.ts'
import { Backoff } from './backoff.ts'
import type { SinkConfig } from './config/types.ts'
import { writerId } from './earlier-tasks.ts'
import { OwnedPartitions } from './owned-partitions.ts'
import { SinkLoop, stateEntry } from './sink-loop.ts'
import { SinkPipeline } from './sink-pipeline.ts'
import { SinkTransactions } from './sink-transactions.ts'
import { badRecordsOf, closeInTurn, type RunParts, taskContext, writerOptions } from './source-run.ts'
import type { TaskRun } from './task-runner.ts'
import { openTransforms } from './transform-chain.ts'

const PARTITION_BYTES_MAX = 1 << 20
const POLL_BYTES_MAX = 2 << 20
const PUT_RETRY_FIRST_MS = 200
const PUT_RETRY_MAX_MS = 30_000

/** Opens one sink task: fences its earlier self, joins the group `connect-<name>`, then the connector's own open. */
export async function openSinkRun(sink: SinkConfig, parts: RunParts): Promise<TaskRun> {
  const { broker, counters, clock, random, log, config, topics } = parts
  await topics.restore()
  const writer = await broker.writer(writerId(sink, parts.task), writerOptions(config))
  const transactions = new SinkTransactions(writer)
  const owned = new OwnedPartitions()
  const saveState = async (progress: readonly SinkProgress[]) => {
    await transactions.commit(transaction => transaction.checkpoint(progress.map(p => stateEntry(sink.name, p))))
    owned.saved(progress)
  }
  const closing: { close(): Promise<void> }[] = [writer]
  try {
    const context = taskContext(sink, parts, { saveState, definesTransactions: false, packsJson: () => false })
    const task = await sink.connector.open(sink.options as never, context)
    closing.unshift(task)
    const reader = await broker.subscribe(subscriptionOf(sink, parts.task))
    // Behind the task: its partitions go to another when it has let go of what it had open for them.
    closing.splice(1, 0, reader)
    const badRecords = badRecordsOf(sink, parts)
    const loop = new SinkLoop({
      connector: sink.name,
      task,
      pipeline: new SinkPipeline(openTransforms(sink.transforms, clock, counters)),
      badRecords,
      converters: topic => topics.forSink(topic, sink.common),
      copiesBatches: sink.connector.copiesBatches ?? false,
      passesDamage: sink.common['errors.tolerance'] === 'all',
      broker,
      reader,
      owned,
      transactions,
      backoff: new Backoff(PUT_RETRY_FIRST_MS, PUT_RETRY_MAX_MS, clock, random),
      commitIntervalMs: config.worker['offset.flush.interval.ms'],
      counters,
      clock,
      log,
    })
    return {
      run: () => loop.run(),
      stop: () => loop.stop(),
      end: () => loop.end(),
      close: () => closeInTurn(closing),
    }
  } catch (error) {
    await closeInTurn(closing)
    throw error
  }
}

/** Kafka Connect's group of a sink. */
export function groupOf(sink: { readonly name: string }): string {
  return `connect-${sink.name}`
}

/** What a sink reads, as the broker wants to hear it. */
export function consumerOf(sink: SinkConfig) {
  const pattern = sink.common['topics.regex']
  return {
    group: groupOf(sink),
    topics: sink.common.topics ?? [],
    topicsRegex: pattern === undefined ? undefined : new RegExp(`^(?:${pattern})$`),
  }
}

function subscriptionOf(sink: SinkConfig, task: number): Subscription {
  return {
    ...consumerOf(sink),
    member: `${sink.name}-${task}`,
    isolation: 'read_committed',
    reset: sink.common['auto.offset.reset'],
    partitionBytesMax: PARTITION_BYTES_MAX,
    bytesMax: POLL_BYTES_MAX,
  }
}
