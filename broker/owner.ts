import {
  type Clock,
  errorCode,
  type FileHandle,
  type Files,
  KtsError,
  type Logger,
  type Processes,
  type ProcessIdentity,
  readWhole,
  writeWhole,
} from '../base/index.ts'

/** A file that cannot be read and is younger than this may be one that is just being written. */
const WRITING_MS = 5000
const NAME = /^owner-(\d{1,15})\.json$/

/** Who works on a data directory, and where it answers. */
export interface OwnerRecord extends ProcessIdentity {
  readonly openedAt: number
  /** Base URL of the REST API, as soon as it listens. */
  readonly address: string | undefined
}

export interface OwnerParts {
  readonly files: Files
  /** `<data directory>/meta`, which exists. */
  readonly directory: string
  readonly clock: Clock
  readonly processes: Processes
  readonly logger: Logger
}

interface OwnerFile {
  readonly number: number
  readonly path: string
  /** Undefined: it cannot be read. */
  readonly record: OwnerRecord | undefined
  readonly mtimeMs: number
}

/**
 * One owner per data directory. The owner's file is `owner-<n>.json`; who finds the owner dead creates number n+1 with
 * O_EXCL, so of several that try only one succeeds, and no live owner's file is ever touched. Looking again after the
 * creation catches whoever decided on an older listing.
 */
export class Owner {
  readonly #files: Files
  readonly #path: string
  #record: OwnerRecord

  /**
   * Rejects with DATA_DIR_IN_USE; `details.passes` says that it ends within seconds, as another process is just taking the
   * directory or was killed while it did.
   */
  static async take(parts: OwnerParts): Promise<Owner> {
    const { files, directory, clock, processes, logger } = parts
    const before = await listOwners(files, directory)
    for (const file of before) refuseLive(parts, file)
    const path = `${directory}/owner-${Math.max(-1, ...before.map(f => f.number)) + 1}.json`
    const record = { ...processes.self, openedAt: clock.now(), address: undefined }
    await create(files, path, record)
    try {
      for (const file of await listOwners(files, directory)) {
        if (file.path === path) continue
        refuseLive(parts, file)
        await files.unlink(file.path)
        logger.warn(
          { path: file.path, pid: file.record?.pid },
          'the last owner of the data directory ended without closing it',
        )
      }
      await files.syncDirectory(directory)
    } catch (error) {
      await files.unlink(path)
      throw error
    }
    return new Owner(files, path, record)
  }

  private constructor(files: Files, path: string, record: OwnerRecord) {
    this.#files = files
    this.#path = path
    this.#record = record
  }

  /** Says where the REST API answers. */
  async setAddress(address: string | undefined): Promise<void> {
    this.#record = { ...this.#record, address }
    await writeWhole(this.#files, this.#path, encode(this.#record))
  }

  /** The directory is free again. */
  async release(): Promise<void> {
    await this.#files.unlink(this.#path)
  }
}

/** Who owns a data directory, by its own word: it may have died since (`Processes.isRunning`). Undefined: nobody. */
export async function readOwner(files: Files, dataDir: string): Promise<OwnerRecord | undefined> {
  return (await listOwners(files, `${dataDir}/meta`)).at(-1)?.record
}

function refuseLive({ clock, processes, directory }: OwnerParts, { record, path, mtimeMs }: OwnerFile): void {
  const place = directory.replace(/\/meta$/, '')
  const inUse = (message: string, details: object = { ...record }) =>
    new KtsError('DATA_DIR_IN_USE', `data directory ${place}: ${message}`, { details: { ...details } })
  if (record === undefined) {
    if (Math.abs(clock.now() - mtimeMs) >= WRITING_MS) return
    throw inUse(`another process is just taking it (${path}); try again in a few seconds`, { passes: true })
  }
  if (record.host !== processes.self.host) {
    throw inUse(
      `in use by process ${record.pid} on host ${record.host}; stop it there. If that host is gone for good, delete ${path}`,
    )
  }
  if (processes.isRunning(record))
    throw inUse(`in use by process ${record.pid}; stop it, or choose another with --data-dir`)
}

/** In order of number. Files that vanish meanwhile are left out. */
async function listOwners(files: Files, directory: string): Promise<OwnerFile[]> {
  const found: OwnerFile[] = []
  for (const name of await listOrNothing(files, directory)) {
    const match = NAME.exec(name)
    if (match === null) continue
    const path = `${directory}/${name}`
    try {
      const { mtimeMs } = await files.stat(path)
      const bytes = await readWhole(files, path, 1 << 16)
      if (bytes !== undefined) found.push({ number: Number(match[1]), path, record: decode(bytes), mtimeMs })
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error
    }
  }
  return found.sort((a, b) => a.number - b.number)
}

async function listOrNothing(files: Files, directory: string): Promise<readonly string[]> {
  try {
    return await files.list(directory)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return []
    throw error
  }
}

async function create(files: Files, path: string, record: OwnerRecord): Promise<void> {
  let file: FileHandle
  try {
    file = await files.open(path, 'exclusive')
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
    throw new KtsError('DATA_DIR_IN_USE', `${path}: another process took the data directory at this moment; stop one`)
  }
  try {
    await file.write([encode(record)], 0)
    await file.datasync()
  } catch (error) {
    // Left behind, it would look like a process that is just taking the directory. What failed is the better cause.
    await files.unlink(path).catch(() => undefined)
    throw error
  } finally {
    await file.close()
  }
}

function encode(record: OwnerRecord): Buffer {
  return Buffer.from(`${JSON.stringify(record)}\n`)
}

function decode(bytes: Buffer): OwnerRecord | undefined {
  try {
    const { host, pid, bootId, startTime, openedAt, address } = JSON.parse(bytes.toString()) as OwnerRecord
    const text = (value: unknown) => (typeof value === 'string' ? value : undefined)
    if (typeof host !== 'string' || typeof pid !== 'number' || typeof openedAt !== 'number') return undefined
    return { host, pid, openedAt, bootId: text(bootId), startTime: text(startTime), address: text(address) }
  } catch {
    return undefined
  }
}
