import type { Asked } from '../signals.ts'
import { formatProblem } from '../../runtime/index.ts'
import { loadPipeline, startConfig } from '../compose.ts'
import type { LogLevel } from '../log.ts'
import { openProgress } from '../progress.ts'
import { Reloading, stateOf } from '../reload.ts'
import { runPipeline, tellStop } from '../run-pipeline.ts'

export interface StartOptions {
  readonly dataDir?: string
  readonly logLevel: LogLevel
  readonly allowDestructive?: boolean
}

/** Runs until everything is read and delivered, until nothing can run any more, or until `stopping`. */
export async function start(files: readonly string[], options: StartOptions, asked: Asked): Promise<void> {
  const { stopping } = asked
  const state = await stateOf(files)
  const config = await loadPipeline(files, { dataDir: options.dataDir })
  const progress = openProgress(options.logLevel)
  tellStop(stopping, progress.log)
  for (const warning of config.warnings) progress.log.warn({}, formatProblem(warning))
  if (process.getuid?.() === 0)
    progress.log.warn({}, 'running as root: a user of its own that may read the sources is safer')
  if (stopping.aborted) return progress.log.info({}, 'stopped')
  const pipeline = await startConfig(config, { log: progress.log, allowDestructive: options.allowDestructive })
  progress.log.info({ url: pipeline.url, dataDir: config.dataDir, files: config.files }, 'started')
  const ended = new AbortController()
  const { dataDir } = options
  const reloading = new Reloading({ files, dataDir, pipeline, log: progress.log, signal: ended.signal })
  asked.onReload(() => reloading.ask())
  const followed = reloading.run(state)
  await runPipeline(pipeline, progress, stopping).finally(() => ended.abort())
  await followed
}
