import { findWorker, type WorkerOptions } from './find-worker.ts'
import { LocalLog, type LogAccess, RemoteLog } from './log-access.ts'

export interface OpenedLog {
  readonly access: LogAccess
  /** A worker runs, so there may be more to come. */
  readonly running: boolean
}

/** The log of the worker that `options` name: over REST while it runs, else opened here, so that no worker starts on it meanwhile. */
export async function openAccess(options: WorkerOptions): Promise<OpenedLog> {
  const found = await findWorker(options)
  if (found.kind === 'running') return { access: new RemoteLog(found.url), running: true }
  // Only a stopped log needs the engine: the usual case starts faster without loading it.
  const { openStoppedLog } = await import('./compose.ts')
  return { access: new LocalLog(await openStoppedLog(found.dataDir)), running: false }
}
