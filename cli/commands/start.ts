import { sleep, systemClock } from '../../base/index.ts'
import { type ConnectorStatus, formatProblem } from '../../runtime/index.ts'
import { loadPipeline, type Pipeline, startConfig } from '../compose.ts'
import { EXIT_FAILED, Reported } from '../failure.ts'
import type { LogLevel } from '../log.ts'
import { openProgress, type Progress } from '../progress.ts'
import { onStopSignal } from '../signals.ts'

export interface StartOptions {
  readonly dataDir?: string
  readonly logLevel: LogLevel
}

const LOOK_MS = 1000

/** Runs until everything is read and delivered, until nothing can run any more, or until a signal. */
export async function start(files: readonly string[], options: StartOptions): Promise<void> {
  const config = await loadPipeline(files, { dataDir: options.dataDir })
  const progress = openProgress(options.logLevel)
  for (const warning of config.warnings) progress.log.warn({}, formatProblem(warning))
  if (process.getuid?.() === 0)
    progress.log.warn({}, 'running as root: a user of its own that may read the sources is safer')
  const pipeline = await startConfig(config, progress.log)
  progress.log.info({ url: pipeline.url, dataDir: config.dataDir, files: config.files }, 'started')
  await run(pipeline, progress)
}

/** Shows how it goes until the end; rejects with Reported when a connector has failed for good and nothing is left. */
export async function run(pipeline: Pipeline, progress: Progress): Promise<void> {
  const ending = new AbortController()
  let bySignal = false
  onStopSignal(signal => {
    bySignal = true
    progress.log.info({ signal }, 'stopping: draining and committing; a second signal stops at once')
    ending.abort()
  })
  void pipeline.finished.then(() => ending.abort())
  while (!ending.signal.aborted) {
    await pipeline.status().then(
      status => progress.show(status),
      error => progress.log.warn({ err: error }, 'the status could not be read'),
    )
    await sleep(systemClock, LOOK_MS, ending.signal)
  }
  const status = await pipeline.stop()
  progress.end(status)
  const failed = status.connectors.filter(connector => connector.state === 'FAILED')
  for (const connector of failed) progress.log.error(...failure(connector))
  if (failed.length > 0 && !bySignal) throw new Reported(EXIT_FAILED)
  progress.log.info({}, bySignal ? 'stopped' : 'finished: everything was read and delivered')
}

function failure({ name, tasks }: ConnectorStatus): [object, string] {
  const trace = tasks.find(task => task.trace !== undefined)?.trace
  return [{ connector: name, trace }, 'failed for good: mend the cause and start again, it goes on where it was']
}
