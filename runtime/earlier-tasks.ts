import type { Broker, Checkpoint } from '../broker/index.ts'
import type { JsonObject } from './api/index.ts'
import type { SinkConfig, SourceConfig } from './config/types.ts'

/** Beside the checkpoints of connectors, whose names begin with a letter or a digit. */
const TASK_COUNTS = '#tasks'

type Named = Pick<SourceConfig | SinkConfig, 'pipeline' | 'name'>

/** The transactional id of a task: the same after a restart, so that the newer run fences the older. */
export function writerId({ pipeline, name }: Named, task: number): string {
  return `${pipeline}-${name}-${task}`
}

/**
 * Fences the writers of every task that this connector ran last and is about to run, and completes or aborts what they left
 * undecided, so that checkpoints read afterwards are final: also those of tasks that a smaller `tasks.max` no longer
 * starts. How many there were is kept in the log (KIP-618's task count record), before the first of them can write.
 */
export async function fenceEarlierTasks(
  broker: Broker,
  config: SourceConfig | SinkConfig,
  tasks: number,
): Promise<void> {
  const partition: JsonObject = { pipeline: config.pipeline, connector: config.name }
  const earlier = taskCountIn(await broker.checkpoints(TASK_COUNTS), partition)
  const ids = Array.from({ length: Math.max(earlier, tasks) }, (_, task) => writerId(config, task))
  const writers = await Promise.all(ids.map(id => broker.writer(id)))
  if (earlier !== tasks) {
    const transaction = await writers[0]!.begin()
    transaction.checkpoint([{ connector: TASK_COUNTS, partition, value: { 'task-count': tasks } }])
    await transaction.commit()
  }
  await Promise.all(writers.map(writer => writer.close()))
}

/** How many tasks a connector has had, by the pipeline it stood in. */
export async function taskCounts(broker: Broker, name: string) {
  return (await broker.checkpoints(TASK_COUNTS))
    .filter(({ partition }) => partition.connector === name)
    .map(({ partition, value }) => ({
      pipeline: String(partition.pipeline),
      tasks: Number(value?.['task-count'] ?? 0),
    }))
}

/** For a connector that is forgotten. */
export async function forgetTaskCount(broker: Broker, { pipeline, name }: Named): Promise<void> {
  const writer = await broker.writer(writerId({ pipeline, name }, 0))
  const transaction = await writer.begin()
  transaction.checkpoint([{ connector: TASK_COUNTS, partition: { pipeline, connector: name }, value: null }])
  await transaction.commit()
  await writer.close()
}

function taskCountIn(entries: readonly Checkpoint[], { pipeline, connector }: JsonObject): number {
  const entry = entries.find(e => e.partition.pipeline === pipeline && e.partition.connector === connector)
  return Number(entry?.value?.['task-count'] ?? 0)
}
