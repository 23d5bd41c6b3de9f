import { dirname, join, resolve } from 'node:path'
import { errorCode, type Files, nodeFiles, type Processes, systemProcesses } from '../base/index.ts'
import { readOwner } from '../broker/index.ts'
import { UsageError } from './failure.ts'

/** How a command was told which worker it is about; all are optional. */
export interface WorkerOptions {
  /** The file (or folder) the worker was started with. */
  readonly file?: string
  readonly dataDir?: string
  readonly url?: string
}

export type FoundWorker =
  | { readonly kind: 'running'; readonly url: string; readonly pid: number | undefined }
  | { readonly kind: 'stopped'; readonly dataDir: string }

interface Surroundings {
  readonly files: Files
  readonly processes: Processes
  readonly env: Readonly<Record<string, string | undefined>>
}

const DATA_DIR = '.kts-connect'

/**
 * By address, else through the owner file in the data directory: the one named, the one beside the pipeline file,
 * KTS_DATA_DIR, or `.kts-connect` in the current folder. Throws UsageError where there is none.
 */
export async function findWorker(
  options: WorkerOptions,
  { files, processes, env }: Surroundings = { files: nodeFiles, processes: systemProcesses, env: process.env },
): Promise<FoundWorker> {
  if (options.url !== undefined) return { kind: 'running', url: options.url, pid: undefined }
  const dataDir = await dataDirOf(options, files, env)
  await checkDataDir(dataDir, files)
  const owner = await readOwner(files, dataDir)
  if (owner === undefined) return { kind: 'stopped', dataDir }
  if (owner.host !== processes.self.host) {
    throw new UsageError(`${dataDir} is in use by process ${owner.pid} on host ${owner.host}: ask there`)
  }
  if (!processes.isRunning(owner)) return { kind: 'stopped', dataDir }
  if (owner.address === undefined) {
    throw new UsageError(
      `${dataDir} is in use by process ${owner.pid}, which has no REST address (yet): try again in a moment`,
    )
  }
  return { kind: 'running', url: owner.address, pid: owner.pid }
}

async function dataDirOf(options: WorkerOptions, files: Files, env: Readonly<Record<string, string | undefined>>) {
  if (options.dataDir !== undefined) return resolve(options.dataDir)
  const fromEnv = env.KTS_DATA_DIR
  if (fromEnv !== undefined && fromEnv !== '') return resolve(fromEnv)
  if (options.file === undefined) return resolve(DATA_DIR)
  const file = resolve(options.file)
  const { kind } = await files.stat(file)
  return join(kind === 'directory' ? file : dirname(file), DATA_DIR)
}

async function checkDataDir(dataDir: string, files: Files): Promise<void> {
  try {
    if ((await files.stat(dataDir)).kind === 'directory') return
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTDIR') throw error
  }
  throw new UsageError(
    `no log at ${dataDir}. Name the worker by the file it was started with (-f pipeline.yaml), by its data directory ` +
      '(--data-dir DIR) or by its address (--url http://127.0.0.1:8083)',
  )
}
