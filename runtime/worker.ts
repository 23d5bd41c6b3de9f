import type { Broker } from '../broker/index.ts'
import { KtsError, sleep, type TaskSignal } from './api/index.ts'
import type { SinkConfig, SourceConfig, WorkerConfig } from './config/types.ts'
import { type ConnectorChanges, connectorChanges } from './config-changes.ts'
import { ConnectorRunner } from './connector-runner.ts'
import { consumerOf, groupOf } from './sink-run.ts'
import type { Environment } from './source-run.ts'
import type { ConnectorStatus, WorkerStatus } from './status.ts'
import { Topics } from './topics.ts'
import { VERSION } from './version.ts'

/** All connectors of a configuration, running on one broker. */
export class Worker {
  readonly broker: Broker
  /** Every source has read all there is and every sink has delivered it, or all of them have ended otherwise. */
  readonly finished: Promise<void>
  readonly #environment: Environment
  readonly #topics: Topics
  readonly #startedAt: number
  #config: WorkerConfig
  #runners: readonly ConnectorRunner[]
  /** One change of the configuration after the other. */
  #applying: Promise<unknown> = Promise.resolve()
  #changes = 0
  #changed = signalOf()
  /** Sinks were told that nobody writes any more. */
  #draining = false
  #ending = false

  private constructor(config: WorkerConfig, environment: Environment, topics: Topics) {
    this.#config = config
    this.broker = environment.broker
    this.#environment = environment
    this.#topics = topics
    this.#startedAt = environment.clock.now()
    this.#runners = connectorsOf(config).map(connector => this.#runner(connector))
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

  get config(): WorkerConfig {
    return this.#config
  }

  async status(): Promise<WorkerStatus> {
    const connectors = this.#runners.map(runner =>
      runner.config.kind === 'source'
        ? runner.status(this.#topics.writtenBy(runner.config), undefined)
        : this.#sinkStatus(runner, runner.config),
    )
    return {
      version: VERSION,
      startedAt: this.#startedAt,
      dataDir: this.#config.dataDir,
      connectors: await Promise.all(connectors),
    }
  }

  /**
   * Answers the signal's id, one of its own where it has none, and in a sentence what the connector's tasks will do. Rejects
   * with NOT_RUNNING, CONFIG_INVALID or NO_CONNECTOR.
   */
  async signal(connector: string, signal: Omit<TaskSignal, 'id'> & { readonly id?: string | undefined }) {
    const runner = this.#runners.find(one => one.config.name === connector)
    if (runner === undefined) throw new KtsError('NO_CONNECTOR', `Connector ${connector} not found`)
    const id = signal.id ?? this.#environment.random.bytes(16).toString('hex')
    return { id, message: await runner.signal({ ...signal, id }) }
  }

  /**
   * Goes over to another configuration: connectors that are new in it are started, those that are not in it any more are
   * stopped, and those whose options differ are stopped and started anew; the others notice nothing. Positions are kept.
   * Rejects, with everything as it was, where topics cannot be made as it has them. Settings of the process (`worker`,
   * `broker`) stay.
   */
  apply(config: WorkerConfig): Promise<ConnectorChanges> {
    const applied = this.#applying.then(() => this.#apply(config))
    this.#applying = applied.catch(() => undefined)
    return applied
  }

  /**
   * Ends reading, commits what was read and what is durable downstream. After `task.shutdown.graceful.timeout.ms` tasks
   * are left where they are: nothing is lost, some work is repeated at the next start.
   */
  async stop(): Promise<void> {
    this.#ending = true
    await this.#stop(this.#runners, this.finished)
  }

  async #apply({ topics, sources, sinks, files }: WorkerConfig): Promise<ConnectorChanges> {
    if (this.#ending) throw new KtsError('CLOSED', 'the worker is ending: it takes no other configuration')
    const { broker } = this
    const before = this.#config
    const config = { ...before, files, topics, sources, sinks }
    const changes = connectorChanges(before, config)
    await broker.holdFor([...before.sinks, ...sinks].map(consumerOf))
    try {
      await this.#topics.reconfigure(config)
    } catch (error) {
      await broker.holdFor(before.sinks.map(consumerOf))
      throw error
    }
    // A sink that was told that its end has come would not wait for what is written now.
    const ended = this.#draining ? before.sinks.map(sink => sink.name) : []
    const gone = new Set([...changes.removed, ...changes.changed, ...ended])
    const going = this.#runners.filter(runner => gone.has(runner.config.name))
    await this.#stop(going, Promise.all(going.map(runner => runner.run())))
    await broker.holdFor(sinks.map(consumerOf))
    this.#config = config
    if (!this.#ending) this.#replace(connectorsOf(config), gone)
    return changes
  }

  #replace(connectors: readonly (SourceConfig | SinkConfig)[], gone: ReadonlySet<string>): void {
    this.#draining = false
    const staying = new Map(this.#runners.map(runner => [runner.config.name, runner]))
    for (const name of gone) staying.delete(name)
    this.#runners = connectors.map(connector => staying.get(connector.name) ?? this.#runner(connector))
    this.#changes++
    this.#changed.fire()
    this.#changed = signalOf()
    for (const runner of this.#runners) void runner.run()
  }

  #runner(connector: SourceConfig | SinkConfig): ConnectorRunner {
    return new ConnectorRunner(connector, { ...this.#environment, config: this.#config, topics: this.#topics })
  }

  async #stop(runners: readonly ConnectorRunner[], ended: Promise<unknown>): Promise<void> {
    for (const runner of runners) runner.stop()
    const timeoutMs = this.#config.worker['task.shutdown.graceful.timeout.ms']
    const given = new AbortController()
    const inTime = await Promise.race([
      ended.then(() => true),
      sleep(this.#environment.clock, timeoutMs, given.signal).then(() => false),
    ])
    given.abort()
    if (!inTime) this.#environment.log.warn({ timeoutMs }, 'tasks did not stop in time; what they had open is repeated')
  }

  /** Until nothing runs and nothing has been changed meanwhile. */
  async #run(): Promise<void> {
    let seen: number
    do {
      seen = this.#changes
      const changed = this.#changed.fired
      const { sources, sinks } = this.#byKind()
      const delivered = Promise.all(sinks.map(runner => runner.run()))
      await Promise.race([Promise.all(sources.map(runner => runner.run())), changed])
      await this.#applying
      if (seen !== this.#changes) continue
      // Nobody here writes any more. Without sources of its own a worker delivers what others write, and never ends by itself.
      this.#draining = sources.length > 0
      if (this.#draining) for (const runner of sinks) runner.end()
      await Promise.race([delivered, changed])
      await this.#applying
    } while (seen !== this.#changes)
    this.#ending = true
  }

  #byKind() {
    const ofKind = (kind: string) => this.#runners.filter(runner => runner.config.kind === kind)
    return { sources: ofKind('source'), sinks: ofKind('sink') }
  }

  async #sinkStatus(runner: ConnectorRunner, sink: SinkConfig): Promise<ConnectorStatus> {
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

function signalOf() {
  let fire = () => {}
  const fired = new Promise<void>(resolve => (fire = resolve))
  return { fired, fire }
}

function connectorsOf({ sources, sinks }: WorkerConfig): readonly (SourceConfig | SinkConfig)[] {
  return [...sources, ...sinks]
}
