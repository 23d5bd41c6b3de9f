import { KtsError, nodeFiles, silentLogger, systemClock, systemRandom } from '../../base/index.ts'
import type { Broker } from '../../broker/index.ts'
import { forgetConnector, type WorkerConfig } from '../../runtime/index.ts'
import { loadPipeline, openStoppedLog } from '../compose.ts'
import { UsageError } from '../failure.ts'
import { findWorker } from '../find-worker.ts'
import { processOutput } from '../output.ts'
import { escapeControls } from '../text.ts'

const CLEAN_UP_MS = 60_000

export interface DeleteOptions {
  readonly file: string
  readonly dataDir?: string
  readonly dropSlot?: boolean
  readonly offline?: boolean
}

/**
 * Undoes a connector: what it made in the system it reads first, then its positions, so that a delete that was cut short
 * can be given again. Records in topics and objects in stores stay.
 */
export async function deleteConnector(name: string, options: DeleteOptions): Promise<void> {
  const output = processOutput()
  const config = await loadPipeline([options.file], { dataDir: options.dataDir })
  const found = await findWorker({ dataDir: config.dataDir })
  if (found.kind === 'running')
    throw new UsageError(`a worker runs at ${found.url}: stop it first, delete works on what does not run`)
  const broker = await openStoppedLog(config.dataDir)
  try {
    for (const line of await cleanUp(name, config, broker, options)) output.line(escapeControls(line))
    const forgotten = await forgetConnector(broker, name)
    for (const line of forgotten) output.line(line)
    if (forgotten.length === 0) output.line(`nothing was kept of ${name}`)
  } finally {
    await broker.close()
  }
}

async function cleanUp(name: string, { sources, sinks }: WorkerConfig, broker: Broker, options: DeleteOptions) {
  const connector = [...sources, ...sinks].find(one => one.name === name)
  if (connector === undefined) {
    const kept = (await broker.checkpoints(name)).length > 0 || (await broker.committed(`connect-${name}`)).length > 0
    const known = [...sources, ...sinks].map(one => one.name).join(', ')
    if (!kept)
      throw new UsageError(`no connector ${JSON.stringify(name)} in the file (${known}), and nothing kept of one`)
    return [`${name} is in the file no more: what it made in the system it reads stays there`]
  }
  if (connector.kind === 'sink' || connector.connector.cleanUp === undefined) return []
  const checkpoints = await broker.checkpoints(name)
  const { dropSlot = false, offline = false } = options
  const request = {
    dropSlot,
    offline,
    checkpoints: checkpoints.map(({ partition, value }) => ({ partition, position: value })),
  }
  const context = {
    connector: name,
    clock: systemClock,
    random: systemRandom,
    files: nodeFiles,
    log: silentLogger,
    env: process.env,
    signal: AbortSignal.timeout(CLEAN_UP_MS),
  }
  try {
    return await connector.connector.cleanUp(connector.options as never, request, context)
  } catch (error) {
    if (!(error instanceof KtsError)) throw error
    const way = `nothing of ${name} was forgotten; if its system is gone for good, forget it with --offline`
    throw new KtsError(error.code, `${error.message}; ${way}`, { cause: error })
  }
}
