import type { Broker } from '../broker/index.ts'
import type { Logger, TaskSignal } from './api/index.ts'
import type { SinkConfig, SourceConfig } from './config/types.ts'
import { ConnectorCounters } from './counters.ts'
import { fenceEarlierTasks } from './earlier-tasks.ts'
import { openSinkRun } from './sink-run.ts'
import { openSourceRun, type RunParts } from './source-run.ts'
import type { ConnectorStatus, TaskState } from './status.ts'
import { type TaskRun, TaskRunner } from './task-runner.ts'

export type RunnerParts = Omit<RunParts, 'counters' | 'task' | 'signal'>

/** One connector: its tasks, and their state as one. Other connectors do not notice when it fails. */
export class ConnectorRunner {
  readonly config: SourceConfig | SinkConfig
  readonly counters = new ConnectorCounters()
  readonly #tasks: readonly TaskRunner[]
  #fencing: Promise<void> | undefined
  #running: Promise<void> | undefined
  readonly #log: Logger

  constructor(config: SourceConfig | SinkConfig, parts: RunnerParts) {
    this.config = config
    this.#log = parts.log.child({ connector: config.name })
    const openers = this.#openers(parts)
    this.#tasks = openers.map(
      (open, id) =>
        new TaskRunner({
          id,
          open: async signal => {
            await this.#fenced(parts.broker, openers.length)
            return open(signal)
          },
          backoffMs: parts.config.worker['task.restart.backoff.ms'],
          backoffMaxMs: parts.config.worker['task.restart.backoff.max.ms'],
          counters: this.counters,
          clock: parts.clock,
          random: parts.random,
          log: this.#log,
        }),
    )
  }

  /** Starts the tasks, once; resolves when none runs any more. */
  run(): Promise<void> {
    this.#running ??= this.#run()
    return this.#running
  }

  async #run(): Promise<void> {
    await Promise.all(this.#tasks.map(task => task.keepRunning()))
    this.#log.info({ state: this.state }, 'the connector has ended')
  }

  stop(): void {
    for (const task of this.#tasks) task.stop()
  }

  /** To every task; answers what each will do. */
  async signal(signal: TaskSignal): Promise<string> {
    const answers = await Promise.all(this.#tasks.map(task => task.signal(signal)))
    return [...new Set(answers)].join(' ')
  }

  /** Sinks: no more records will be written. */
  end(): void {
    for (const task of this.#tasks) task.end()
  }

  /** The connector's state: that of its worst task. */
  get state(): TaskState {
    const states = this.#tasks.map(task => task.status().state)
    const order: readonly TaskState[] = [
      'FAILED',
      'RESTARTING',
      'RUNNING',
      'UNASSIGNED',
      'PAUSED',
      'STOPPED',
      'FINISHED',
    ]
    return order.find(state => states.includes(state)) ?? 'UNASSIGNED'
  }

  status(topics: readonly string[], lag: number | undefined): ConnectorStatus {
    return {
      name: this.config.name,
      pipeline: this.config.pipeline,
      kind: this.config.kind,
      type: this.config.connector.name,
      topics,
      state: this.state,
      tasks: this.#tasks.map(task => task.status()),
      counters: this.counters.snapshot(),
      lag,
      facts: { ...this.counters.facts },
      events: { ...this.counters.events },
    }
  }

  /** Once, before the first task opens, and again when it failed. */
  #fenced(broker: Broker, tasks: number): Promise<void> {
    this.#fencing ??= fenceEarlierTasks(broker, this.config, tasks).catch(error => {
      this.#fencing = undefined
      throw error
    })
    return this.#fencing
  }

  #openers(parts: RunnerParts): readonly ((signal: AbortSignal) => Promise<TaskRun>)[] {
    const { config } = this
    const runParts = (task: number, signal: AbortSignal): RunParts => ({
      ...parts,
      log: this.#log.child({ task }),
      counters: this.counters,
      task,
      signal,
    })
    const tasksMax = config.common['tasks.max']
    if (config.kind === 'source') {
      return config.connector
        .plan(config.options as never, tasksMax)
        .map((options, task) => signal => openSourceRun(config, options, runParts(task, signal)))
    }
    return Array.from({ length: tasksMax }, (_, task) => signal => openSinkRun(config, runParts(task, signal)))
  }
}
