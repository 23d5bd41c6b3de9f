import { resolve } from 'node:path'
import { KtsError, type Logger, nodeFiles, silentLogger, sleep, systemClock, systemRandom } from '../base/index.ts'
import { type EmbeddedBroker, openEmbeddedBroker } from '../broker/index.ts'
import { SINKS, SOURCES } from '../connectors/index.ts'
import {
  BROKER_OPTIONS,
  type Catalogue,
  type ConnectorChanges,
  type LoadedConfig,
  loadConfig,
  TRANSFORMS,
  VERSION,
  Worker,
  type WorkerConfig,
  type WorkerStatus,
} from '../runtime/index.ts'
import { checkRestHost, openRestServer, type RestServer } from '../web/index.ts'

/** A little longer than a data directory seems to be just taken (broker/owner.ts). */
const TAKING_MS = 6000
const TAKING_LOOK_MS = 200

/** Everything a pipeline file may name. */
export const CATALOGUE: Catalogue = { sources: SOURCES, sinks: SINKS, transforms: TRANSFORMS }

export interface ConfigOptions {
  /** Where the log lies; default: `.kts-connect` beside the first file. */
  readonly dataDir?: string | undefined
  /** For `${env:NAME}` and KTS_DATA_DIR; default: the process's. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
}

export interface PipelineOptions extends ConfigOptions {
  /** Default: says nothing. */
  readonly log?: Logger | undefined
  /** Topics may be changed so that records are deleted; see DESTRUCTIVE_CHANGE. */
  readonly allowDestructive?: boolean | undefined
}

/** What a worker starts with besides its configuration. */
export type RunOptions = Omit<PipelineOptions, 'dataDir'>

/** A worker that runs, with its log and its REST server. */
export interface Pipeline {
  /** As it is now: `apply` changes it. */
  readonly config: WorkerConfig
  /** Address of the REST API. */
  readonly url: string
  /** Nothing is left to do: every source has ended and every sink has delivered. Never rejects; `status` says how it went. */
  readonly finished: Promise<void>
  status(): Promise<WorkerStatus>
  /**
   * Goes over to another configuration: only connectors that are new, gone or different in it are started and stopped.
   * Rejects, with everything as it was, where its topics cannot be made as it says. `worker` and `broker` stay as they are.
   */
  apply(config: WorkerConfig): Promise<ConnectorChanges>
  /** Drains and commits within `task.shutdown.graceful.timeout.ms`, then closes log and server. How it stood at the end. */
  stop(): Promise<WorkerStatus>
}

/** Rejects with a ConfigError that holds every problem; touches nothing but the files it reads. */
export async function loadPipeline(files: readonly string[], options: ConfigOptions = {}): Promise<LoadedConfig> {
  const env = options.env ?? process.env
  const dataDir = options.dataDir === undefined ? undefined : resolve(options.dataDir)
  const config = await loadConfig(
    files.map(file => resolve(file)),
    { catalogue: CATALOGUE, files: nodeFiles, env, dataDir },
  )
  checkRestHost(config.worker['rest.host.name'])
  return config
}

/** Starts what `files` (YAML files or folders of them) describe. Nothing is left open when it rejects. */
export async function startPipeline(files: readonly string[], options: PipelineOptions = {}): Promise<Pipeline> {
  return startConfig(await loadPipeline(files, options), options)
}

/** The composition root: here, and nowhere else, the real clock, disk and randomness meet the parts. */
export async function startConfig(config: WorkerConfig, options: RunOptions = {}): Promise<Pipeline> {
  const { log = silentLogger, allowDestructive = false, env = process.env } = options
  const broker = await openLog(config.dataDir, config.broker, log)
  const environment = { broker, clock: systemClock, random: systemRandom, files: nodeFiles, log, env, allowDestructive }
  let worker: Worker | undefined
  let rest: RestServer
  try {
    const running = await Worker.start(config, environment)
    worker = running
    rest = await openRestServer({
      host: config.worker['rest.host.name'],
      port: config.worker['rest.port'],
      worker,
      connectors: () => [...running.config.sources, ...running.config.sinks],
      version: VERSION,
      clusterId: broker.clusterId,
    })
    await broker.setAddress(rest.url)
  } catch (error) {
    await worker?.stop()
    await broker.close()
    throw error
  }
  const running = worker
  return {
    get config() {
      return running.config
    },
    url: rest.url,
    finished: running.finished,
    status: () => running.status(),
    apply: next => running.apply(next),
    async stop() {
      await rest.close()
      await running.stop()
      const status = await running.status()
      await broker.close()
      return status
    },
  }
}

/** The log of a worker that does not run, for looking into it. Nothing is deleted: no sink has said what it still needs. */
export function openStoppedLog(dataDir: string) {
  const defaults = Object.fromEntries(Object.entries(BROKER_OPTIONS).map(([name, spec]) => [name, spec.default]))
  return openLog(dataDir, defaults as WorkerConfig['broker'], silentLogger)
}

/** Waits for what passes within seconds: a process that was killed while it took the directory looks as if it still did. */
async function openLog(directory: string, options: WorkerConfig['broker'], log: Logger): Promise<EmbeddedBroker> {
  const parts = { directory, options, files: nodeFiles, clock: systemClock, random: systemRandom, log }
  const until = systemClock.monotonic() + TAKING_MS
  for (;;) {
    try {
      return await openEmbeddedBroker(parts)
    } catch (error) {
      const passes = error instanceof KtsError && error.code === 'DATA_DIR_IN_USE' && error.details?.passes === true
      if (!passes || systemClock.monotonic() >= until) throw error
      await sleep(systemClock, TAKING_LOOK_MS)
    }
  }
}
