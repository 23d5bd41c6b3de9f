import type { ConnectorStatus, TaskState } from '../runtime/index.ts'
import type { ConnectorConfig } from './worker-view.ts'

/**
 * Kafka Connect's JSON bodies, member by member and in its order (KIP-26; golden: Kafka 4.1.2). Two differences of
 * substance: Connect has no FINISHED, a source that has read all there is shows as STOPPED; and a secret is shown masked.
 */
export interface TaskId {
  readonly connector: string
  readonly task: number
}

export interface ConnectorInfo {
  readonly name: string
  readonly config: Readonly<Record<string, string>>
  readonly tasks: readonly TaskId[]
  readonly type: 'source' | 'sink'
}

export interface ConnectorStatusBody {
  readonly name: string
  readonly connector: { readonly state: string; readonly worker_id: string; readonly version: string }
  readonly tasks: readonly TaskStatusBody[]
  readonly type: 'source' | 'sink'
}

export interface TaskStatusBody {
  readonly id: number
  readonly state: string
  readonly worker_id: string
  readonly version: string
  readonly trace?: string
}

export function connectorInfo(config: ConnectorConfig, status: ConnectorStatus): ConnectorInfo {
  return {
    name: config.name,
    config: configBody(config),
    tasks: runningTasks(status).map(task => ({ connector: config.name, task: task.id })),
    type: config.kind,
  }
}

export function connectorStatus(
  config: ConnectorConfig,
  status: ConnectorStatus,
  workerId: string,
): ConnectorStatusBody {
  const { version } = config.connector
  return {
    name: config.name,
    connector: { state: connectorState(status), worker_id: workerId, version },
    tasks: runningTasks(status).map(task => ({
      id: task.id,
      state: task.state,
      worker_id: workerId,
      version,
      ...(task.trace === undefined ? {} : { trace: task.trace }),
    })),
    type: config.kind,
  }
}

/** As Connect shows a configuration: flat, strings only, with `connector.class` and `name`. Secrets are masked. */
export function configBody(config: ConnectorConfig): Readonly<Record<string, string>> {
  const { type, ...rest } = config.shown
  return { 'connector.class': type ?? config.connector.name, ...rest, name: config.name }
}

export function tasksBody(config: ConnectorConfig, status: ConnectorStatus) {
  return runningTasks(status).map(task => ({
    id: { connector: config.name, task: task.id },
    config: configBody(config),
  }))
}

/**
 * In Connect the connector is a thing beside its tasks, and stays RUNNING when a task fails. Ours is its tasks, so FAILED
 * is said of the connector only where there is no task to say it of.
 */
function connectorState(status: ConnectorStatus): Exclude<TaskState, 'FINISHED'> {
  if (status.state === 'FINISHED') return 'STOPPED'
  const ofTask = status.state === 'FAILED' || status.state === 'RESTARTING'
  return ofTask && status.tasks.length > 0 ? 'RUNNING' : status.state
}

/** Connect lists no tasks of a stopped connector. */
function runningTasks(status: ConnectorStatus) {
  return status.tasks.filter(task => task.state !== 'FINISHED' && task.state !== 'STOPPED')
}
