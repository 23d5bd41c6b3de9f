import type { Broker } from '../broker/index.ts'
import { sleep } from './api/index.ts'
import type { SinkConfig, WorkerConfig } from './config/types.ts'
import { ConnectorRunner } from './connector-runner.ts'
import { consumerOf, groupOf } from './sink-run.ts'
import type { Environment } from './source-run.ts'
import type { ConnectorStatus, WorkerStatus } from './status.ts'
import { Topics } from './topics.ts'
import { VERSION } from './version.ts'

/** All connectors of a configuration, running on one broker. */
export class Worker {
  readonly broker: Broker
  readonly config: WorkerConfig
  /** Every source has read all there is and every sink has delivered it, or all of them have ended otherwise. */
  readonly finished: Promise<void>
  readonly #environment: Environment
  readonly #sources: readonly ConnectorRunner[]
  readonly #sinks: readonly ConnectorRunner[]
  readonly #topics: Topics
  readonly #startedAt: number

  private constructor(config: WorkerConfig, environment: Environment, topics: Topics) {
    this.config = config
    this.broker = environment.broker
    this.#environment = environment
    this.#topics = topics
    this.#startedAt = environment.clock.now()
    const parts = { ...environment, config, topics }
    this.#sources = config.sources.map(source => new ConnectorRunner(source, parts))
    this.#sinks = config.sinks.map(sink => new ConnectorRunner(sink, parts))
    this.finished = this.#run()
  }

  /** Creates the configured topics, tells the broker what its sinks still need, and starts every connector. */
  static async start(config: WorkerConfig, environment: Environment): Promise<Worker> {
    const topics = new Topics(environment.broker, config, environment)
    // Before anything else could delete: what a sink has not committed stays.
    await environment.broker.holdFor(config.sinks.map(consumerOf))
    await topics.createConfigured()
    return new Worker(config, environment, topics)
  }

  async status(): Promise<WorkerStatus> {
    const sources = this.#sources.map(runner => {
      const { config } = runner
      return runner.status(config.kind === 'source' ? this.#topics.writtenBy(config) : [], undefined)
    })
    const sinks = await Promise.all(this.#sinks.map(runner => this.#sinkStatus(runner)))
    return {
      version: VERSION,
      startedAt: this.#startedAt,
      dataDir: this.config.dataDir,
      connectors: [...sources, ...sinks],
    }
  }

  /**
   * Ends reading, commits what was read and what is durable downstream. After `task.shutdown.graceful.timeout.ms` tasks
   * are left where they are: nothing is lost, some work is repeated at the next start.
   */
  async stop(): Promise<void> {
    for (const runner of [...this.#sources, ...this.#sinks]) runner.stop()
    const timeoutMs = this.config.worker['task.shutdown.graceful.timeout.ms']
    const given = new AbortController()
    const inTime = await Promise.race([
      this.finished.then(() => true),
      sleep(this.#environment.clock, timeoutMs, given.signal).then(() => false),
    ])
    given.abort()
    if (!inTime) this.#environment.log.warn({ timeoutMs }, 'tasks did not stop in time; what they had open is repeated')
  }

  async #run(): Promise<void> {
    const sinks = Promise.all(this.#sinks.map(runner => runner.run()))
    await Promise.all(this.#sources.map(runner => runner.run()))
    // Nobody here writes any more. Without sources of its own a worker delivers what others write, and never ends by itself.
    if (this.#sources.length > 0) for (const runner of this.#sinks) runner.end()
    await sinks
  }

  async #sinkStatus(runner: ConnectorRunner): Promise<ConnectorStatus> {
    const sink = runner.config as SinkConfig
    const { topics, topicsRegex } = consumerOf(sink)
    const committed = await this.broker.committed(groupOf(sink))
    const described = await this.broker.topics()
    const read = described.filter(t => topics.includes(t.name) || (!t.internal && topicsRegex?.test(t.name)))
    let lag = 0
    let lost = 0
    for (const { name, partitions } of read) {
      for (let partition = 0; partition < partitions; partition++) {
        const { lastStableOffset, logStartOffset, unconsumedDeleted = 0 } = await this.broker.partition(name, partition)
        lost += unconsumedDeleted
        const position = committed.find(c => c.topic === name && c.partition === partition)?.offset ?? logStartOffset
        lag += Math.max(0, lastStableOffset - position)
      }
    }
    const status = runner.status(
      read.map(t => t.name),
      lag,
    )
    // Since the start, in its topics: which of several sinks had not committed it, the log does not say.
    return lost === 0
      ? status
      : { ...status, events: { ...status.events, 'deleted by retention before delivery': lost } }
  }
}
