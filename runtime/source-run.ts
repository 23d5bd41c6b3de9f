import type { Broker, WriterOptions } from '../broker/index.ts'
import type { Clock, Files, Logger, Random, SourceCheckpoint, TaskContext } from './api/index.ts'
import { BadRecords } from './bad-records.ts'
import type { SinkConfig, SourceConfig, WorkerConfig } from './config/types.ts'
import type { ConnectorCounters } from './counters.ts'
import { writerId } from './earlier-tasks.ts'
import { Partitioner } from './partitioner.ts'
import { SourceLoop } from './source-loop.ts'
import { SourcePipeline } from './source-pipeline.ts'
import type { TaskRun } from './task-runner.ts'
import type { Topics } from './topics.ts'
import { openTransforms } from './transform-chain.ts'

/** What every task of the worker is given. */
export interface Environment {
  readonly broker: Broker
  readonly clock: Clock
  readonly random: Random
  readonly files: Files
  readonly log: Logger
  /** Of the process; default: empty. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** The configuration may change topics so that records are deleted. */
  readonly allowDestructive?: boolean | undefined
}

/** What a task is opened with. */
export interface RunParts extends Environment {
  readonly config: WorkerConfig
  readonly topics: Topics
  readonly counters: ConnectorCounters
  readonly task: number
  readonly signal: AbortSignal
}

/** Opens one source task: fences its earlier self, reads the checkpoints, then the connector's own open. */
export async function openSourceRun(source: SourceConfig, options: object, parts: RunParts): Promise<TaskRun> {
  const { broker, counters, clock, log, config, topics } = parts
  const { common } = source
  await topics.restore()
  const writer = await broker.writer(writerId(source, parts.task), {
    ...writerOptions(config),
    transactional: config.worker['exactly.once.source.support'] === 'enabled',
    compression: common['producer.override.compression.type'],
  })
  try {
    const checkpoints = (await broker.checkpoints(source.name)).map(
      ({ partition, value }): SourceCheckpoint => ({ partition, position: value }),
    )
    const badRecords = badRecordsOf(source, parts)
    const pipeline = new SourcePipeline({
      source,
      topics,
      transform: openTransforms(source.transforms, clock, counters),
      badRecords,
      partitioner: new Partitioner(common['partition.by']),
    })
    const context = taskContext(source, parts, {
      saveState: noState,
      definesTransactions: common['transaction.boundary'] === 'connector',
      packsJson: topic => pipeline.packsJson(topic),
    })
    const task = await source.connector.open(options as never, checkpoints, context)
    const loop = new SourceLoop({
      connector: source.name,
      task,
      pipeline,
      badRecords,
      refused: badRecordsOf(source, parts),
      broker,
      writer,
      boundary: common['transaction.boundary'],
      intervalMs: common['transaction.boundary.interval.ms'] ?? config.worker['offset.flush.interval.ms'],
      bufferBytesMax: config.worker['source.buffer.bytes'],
      counters,
      clock,
      log,
    })
    return {
      run: () => loop.run(),
      stop: () => loop.stop(),
      get progressed() {
        return loop.progressed
      },
      signal: task.signal === undefined ? undefined : signal => task.signal!(signal),
      close: () => closeInTurn([task, writer]),
    }
  } catch (error) {
    await writer.close()
    throw error
  }
}

/** Of every task's writer. */
export function writerOptions({ worker }: WorkerConfig): WriterOptions {
  return { transactionTimeoutMs: worker['transaction.timeout.ms'] }
}

export function badRecordsOf(connector: SourceConfig | SinkConfig, parts: RunParts): BadRecords {
  const { common } = connector
  return new BadRecords({
    connector: connector.name,
    task: parts.task,
    tolerance: common['errors.tolerance'],
    deadLetterTopic: common['errors.deadletterqueue.topic.name'],
    contextHeaders: common['errors.deadletterqueue.context.headers.enable'],
    logEnabled: common['errors.log.enable'],
    log: parts.log,
    clock: parts.clock,
    counters: parts.counters,
  })
}

export function taskContext(
  { pipeline, name }: { readonly pipeline: string; readonly name: string },
  { config, task, clock, random, files, log, env = {}, signal, counters }: RunParts,
  ofKind: Pick<TaskContext, 'saveState' | 'definesTransactions' | 'packsJson'>,
): TaskContext {
  return {
    pipeline,
    connector: name,
    task,
    clock,
    random,
    files,
    log,
    env,
    scratch: `${config.dataDir}/scratch/${encodeURIComponent(`${pipeline}-${name}-${task}`)}`,
    signal,
    ...ofKind,
    report: facts => counters.report(facts),
    count: (event, by) => counters.count(event, by),
  }
}

/** Closes one after the other, each even when one before it fails; rejects with the first failure then. */
export async function closeInTurn(parts: readonly { close(): Promise<void> }[]): Promise<void> {
  const failures: unknown[] = []
  for (const part of parts) await part.close().catch(error => failures.push(error))
  if (failures.length > 0) throw failures[0]
}

const noState: TaskContext['saveState'] = async () => {
  throw new Error('a source has no sink state: its positions travel with its batches')
}
